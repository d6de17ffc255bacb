"""From a pandas frame to the Arrow table that a warehouse stages: the declared types, nothing copied that already fits."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pleo_connector.catalogue import Storage, Table
from pleo_connector.catalogue.types import AMOUNT_SCALE, MONEY_SCALE, RATE_SCALE
from pleo_connector.errors import WarehouseError

ARROW: dict[Storage, pa.DataType] = {
    Storage.TEXT: pa.string(),
    Storage.UUID: pa.string(),
    Storage.BOOLEAN: pa.bool_(),
    Storage.BIGINT: pa.int64(),
    Storage.MONEY: pa.decimal128(38, MONEY_SCALE),
    Storage.AMOUNT: pa.decimal128(38, AMOUNT_SCALE),
    Storage.RATE: pa.decimal128(18, RATE_SCALE),
    Storage.TIMESTAMP: pa.timestamp("us", tz="UTC"),
    Storage.DATE: pa.date32(),
    Storage.JSON: pa.string(),
    Storage.BYTES: pa.binary(),
}
"""What staging and `read` hold for each storage kind; UUID and JSON travel as text."""

_TEXTS = (pa.string(), pa.large_string(), pa.string_view())


def staged(table: Table, frame: pd.DataFrame, row: str) -> pa.Table:
    """The frame's rows with the declared columns, in order and exactly typed, and their number in column `row`.

    WarehouseError for columns or values that are not the declared ones.
    """
    if set(frame.columns) != set(table.column_names) or len(frame.columns) != len(table.fields):
        wrong = sorted(set(map(str, frame.columns)) ^ set(table.column_names))
        raise WarehouseError(f"Rows for table {table.name} do not have its columns: missing, unknown or twice are {wrong}.")
    arrays = []
    for field in table.fields:
        wanted = ARROW[field.storage]
        try:
            arrays.append(_fit(pa.Array.from_pandas(frame[field.name]), wanted))
        except (pa.ArrowException, TypeError, ValueError) as error:
            reason = str(error).splitlines()[0]
            raise WarehouseError(
                f"Table {table.name}, column {field.name}: the values do not fit {field.storage.value} ({reason})."
            ) from error
    return pa.table([*arrays, pa.array(np.arange(len(frame)))], names=[*table.column_names, row])


def _fit(values: Any, wanted: Any) -> Any:
    # Any: the stubs spell out every pair of array and type
    if values.type == wanted or (wanted == pa.string() and values.type in _TEXTS):
        return values
    if values.null_count == len(values):  # a column of nothing has whatever type pandas gave it
        return pa.nulls(len(values), wanted)
    return values.cast(wanted)


def typed(table: Table, rows: pa.Table) -> pa.Table:
    """Rows read back, with the Arrow types of the declaration whatever the driver made of them."""
    types = {field.name: ARROW[field.storage] for field in table.fields}
    arrays = []
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        plain = column.cast(column.type.storage_type) if isinstance(column.type, pa.BaseExtensionType) else column
        arrays.append(plain if plain.type == types[name] else plain.cast(types[name]))
    return pa.table(arrays, names=rows.column_names)


def key_faults(rows: pa.Table, key: Sequence[str]) -> tuple[int, int]:
    """(rows without a part of their key, keys that occur more than once; 0 where the first is not)."""
    missing = functools.reduce(pc.or_, [pc.is_null(rows[name]) for name in key])
    nulls: int = pc.sum(missing).as_py() or 0
    if nulls or not rows.num_rows:
        return nulls, 0
    counts = rows.select(list(key)).group_by(list(key)).aggregate([([], "count_all")])["count_all"]
    return 0, pc.sum(pc.greater(counts, 1)).as_py() or 0


def refuse_faults(table: Table, nulls: int, twice: int) -> None:
    """WarehouseError for staged rows with missing or duplicate keys."""
    key = ", ".join(table.key)
    if nulls:
        raise WarehouseError(f"{nulls} rows for table {table.name} lack their key ({key}); nothing of this load was written.")
    if twice:
        raise WarehouseError(f"{twice} keys ({key}) occur more than once in one load of table {table.name}; nothing of it was written.")
