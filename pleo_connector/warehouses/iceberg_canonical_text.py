"""Canonical text of values that can be written in several ways: UUIDs and JSON are text in Iceberg, and are compared as text."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Set as AbstractSet

import duckdb
import numpy as np
import pyarrow as pa

from pleo_connector.catalogue import Storage, Table
from pleo_connector.warehouses.iceberg_places import PlacesSql

_LENGTH, _DASHES = 36, [8, 13, 18, 23]
_AT_ONCE = 8192
"""Texts that are checked together: few enough for the processor's cache."""


def canonical(
    places_sql: PlacesSql,
    connection: duckdb.DuckDBPyConnection,
    query: Callable[[str], pa.Table],
    table: Table,
    rows: pa.Table,
    columns: AbstractSet[str],
) -> pa.Table:
    """The rows with these columns in canonical form; DuckDB converts values that are not."""
    uuids = {field.name for field in table.fields if field.storage is Storage.UUID} & columns
    right = {name for name in uuids if all(map(is_canonical, rows[name].chunks))}
    if (plain := places_sql.plain(table, columns - right, "_pleo_unspelled")) is None:
        return rows
    connection.register("_pleo_unspelled", rows)
    made = query(plain)
    connection.unregister("_pleo_unspelled")
    for column in made.column_names:
        rows = rows.set_column(rows.schema.get_field_index(column), column, made[column].cast(pa.string()))
    return rows


def is_canonical(values: pa.Array) -> bool:
    """Whether all UUIDs are in canonical form. A regular expression takes five times as long."""
    text = values.cast(pa.string())
    known = len(text) - text.null_count
    _, offsets, letters = text.buffers()
    if not known or letters is None:
        return not known
    ends = np.frombuffer(offsets, np.int32)[text.offset : text.offset + len(text) + 1]
    lengths = np.diff(ends)
    if np.count_nonzero(lengths == _LENGTH) != known or int(ends[-1] - ends[0]) != known * _LENGTH:
        return False
    letters_of_texts = np.frombuffer(letters, np.uint8)[ends[0] : ends[-1]].reshape(known, _LENGTH)
    return all(_are_right(letters_of_texts[begin : begin + _AT_ONCE]) for begin in range(0, known, _AT_ONCE))


def _are_right(letters: np.ndarray) -> bool:
    digits = np.count_nonzero(letters - ord("0") < 10) + np.count_nonzero(letters - ord("a") < 6)  # noqa: PLR2004 - unsigned: what is below is large
    return bool(digits == len(letters) * (_LENGTH - len(_DASHES)) and (letters[:, _DASHES] == ord("-")).all())
