"""Compares the keys of a load's rows in the form that COPY takes: faults, parents of children, and changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pleo_connector.warehouses import staging
from pleo_connector.warehouses.comparing import differ, flags
from pleo_connector.warehouses.merge import DECISIVE, ROW
from pleo_connector.warehouses.postgres_rows import UUID


@dataclass(frozen=True, slots=True)
class Compared:
    """How a load's parents differ from the stored ones; row numbers ascend."""

    changed: np.ndarray
    """Rows whose fingerprint or deletion differs from that of the stored row."""
    written: np.ndarray
    """Those and the new ones."""
    deleted: int
    """How many of them turn into tombstones."""


def compared(served: pa.Table, stored: pa.Table) -> Compared:
    """Compare `served` with the result of `PostgresMergeSql.stored_beside`."""
    numbers = stored[ROW].to_numpy()
    mine = served.select(list(DECISIVE)).take(stored[ROW])
    was, now = flags(stored["is_deleted"]), flags(pc.is_valid(mine["_deleted_at"]))
    differs = differ(mine["_row_hash"], stored["_row_hash"]) | (was != now) | differ(mine["_deleted_source"], stored["_deleted_source"])
    is_written = np.ones(served.num_rows, dtype=bool)
    is_written[numbers[~differs]] = False
    is_deleted = flags(pc.is_valid(served["_deleted_at"])) & is_written
    is_deleted[numbers[was]] = False
    return Compared(np.sort(numbers[differs]), np.flatnonzero(is_written), int(np.count_nonzero(is_deleted)))


def key_faults(rows: pa.Table, key: Sequence[str]) -> tuple[int, int]:
    """(rows without a part of their key, keys that occur more than once)."""
    uuids = len(key) == 1 and rows.num_rows and rows.schema.field(key[0]).type == UUID and not rows[key[0]].null_count
    if uuids and (np.diff(np.sort(_beginnings(rows[key[0]]))) > 0).all():
        return 0, 0  # a fifth of the time that counting takes
    return staging.key_faults(_keys(rows, key), key)


def by_key(rows: pa.Table, key: Sequence[str]) -> pa.Table:
    """The rows as an index of UUIDs has them: most look-ups in that order need the index page of the look-up before.

    Rows with other keys stay as they are.
    """
    if len(key) > 1 or rows.schema.field(key[0]).type != UUID:
        return rows
    return rows.take(pa.array(np.argsort(_beginnings(rows[key[0]]))))


def _beginnings(uuids: pa.ChunkedArray) -> np.ndarray:
    """The first eight bytes of each, as a number; in their order UUIDs are almost in their own."""
    numbers_of_chunks = []
    for chunk in uuids.chunks:
        numbers = np.frombuffer(chunk.buffers()[1], ">u8").reshape(-1, 2)
        numbers_of_chunks.append(numbers[chunk.offset : chunk.offset + len(chunk), 0])
    return np.concatenate(numbers_of_chunks or [np.array([], ">u8")]).astype(np.uint64)


def orphans(rows: pa.Table, columns: Sequence[str], parents: pa.Table, key: Sequence[str]) -> int:
    """How many rows have no parent among these."""
    known: int = pc.sum(_among(rows, columns, parents, key)).as_py() or 0
    return int(rows.num_rows) - known


def same_keys(rows: pa.Table, columns: Sequence[str], parents: pa.Table, key: Sequence[str]) -> pa.Table:
    """The rows whose parent is among these."""
    return rows.filter(_among(rows, columns, parents, key))


def _among(rows: pa.Table, columns: Sequence[str], parents: pa.Table, key: Sequence[str]) -> Any:
    (column,), (name,) = columns, key  # the catalogue's parents have a key of one column
    known = _keys(parents, [name]).column(0).drop_null()
    return pc.is_in(_keys(rows, [column]).column(0), value_set=known.combine_chunks(), skip_nulls=True)


def _keys(rows: pa.Table, key: Sequence[str]) -> pa.Table:
    """Key columns as variable-length bytes where they are fixed: not all kernels take those."""
    keys = rows.select(list(key))
    return pa.table([column.cast(pa.binary()) if column.type == UUID else column for column in keys.columns], names=list(key))
