"""Typed relations to final frames: survivors only, system columns added, columns in the declared order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import cache

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pleo_connector.catalogue import Storage, Stream, Table
from pleo_connector.catalogue.types import AMOUNT_SCALE, MONEY_SCALE, RATE_SCALE
from pleo_connector.frames.batch import Served
from pleo_connector.frames.rows import Indices, Rows, mask_of

ARROW_TYPES: dict[Storage, pa.DataType] = {
    Storage.TEXT: pa.string(),
    Storage.JSON: pa.string(),
    Storage.UUID: pa.string(),
    Storage.BOOLEAN: pa.bool_(),
    Storage.BIGINT: pa.int64(),
    Storage.MONEY: pa.decimal128(38, MONEY_SCALE),
    Storage.AMOUNT: pa.decimal128(38, AMOUNT_SCALE),
    Storage.RATE: pa.decimal128(18, RATE_SCALE),
    Storage.TIMESTAMP: pa.timestamp("us", "UTC"),
    Storage.DATE: pa.date32(),
    Storage.BYTES: pa.binary(),
}
"""The Arrow type of each storage kind; UUIDs are canonical lower-case text."""


@cache
def arrow_schema(table: Table) -> pa.Schema:
    """The Arrow schema of a table's frames."""
    return pa.schema([(field.name, ARROW_TYPES[field.storage]) for field in table.fields])


def empty_frames(stream: Stream) -> dict[str, pd.DataFrame]:
    """A frame without rows for each table of the stream."""
    return {table.name: _empty(table) for table in stream.tables()}


def _empty(table: Table) -> pd.DataFrame:
    return _to_pandas(arrow_schema(table).empty_table())


def _to_pandas(table: pa.Table) -> pd.DataFrame:
    frame: pd.DataFrame = table.to_pandas(types_mapper=pd.ArrowDtype)
    return frame


class Assembly:
    """Which records survive, and the columns that their rows and their children's rows share."""

    def __init__(
        self,
        stream: Stream,
        pages: Sequence[Served],
        now: datetime,
        top: Rows,
        hashes: pa.Array,
        page: Indices,
        good: npt.NDArray[np.bool_],
    ) -> None:
        """`page` and `good` have one element per row of `top`."""
        self._stream, self._top = stream, top
        keys = top.columns[stream.key]
        self._survivors = _last_of_each_key(keys, good)
        self.duplicates = int(good.sum()) - len(self._survivors)
        self._alive = mask_of(self._survivors, len(top))
        page_of = pa.array(page)
        deleted = top.columns[stream.deleted_flag] if stream.deleted_flag else pa.nulls(len(top), pa.timestamp("us"))
        self._shared: dict[str, pa.Array] = {
            f"{stream.record}_{stream.key}": keys,
            "_company_id": pa.array([p.company_id for p in pages], pa.string()).take(page_of),
            "_synced_at": pa.repeat(pa.scalar(now, pa.timestamp("us", "UTC")), len(top)),
            "_deleted_at": deleted,
            "_deleted_source": pc.if_else(deleted.is_valid(), "api_flag", pa.scalar(None, pa.string())),
            "_row_hash": hashes,
            "_sweep_id": pa.array([p.sweep_id for p in pages], pa.string()).take(page_of),
        }

    def frames(self) -> dict[str, pd.DataFrame]:
        """One frame per table of the stream, those without rows included."""
        by_table = {rows.level.table.name: rows for rows in self._top.walk()}
        return {
            table.name: self._frame(by_table[table.name]) if table.name in by_table else _empty(table) for table in self._stream.tables()
        }

    def _frame(self, rows: Rows) -> pd.DataFrame:
        table, top = rows.level.table, rows is self._top
        places = dict(zip(table.key[1:], rows.positions, strict=True))
        alive = self._alive[rows.record]
        if rows.absent is not None:
            alive &= ~rows.absent
        survivors = None if alive.all() else pa.array(np.flatnonzero(alive))
        of_record = pa.array(rows.record)
        columns: list[pa.Array] = []
        for name in table.column_names:
            if name in places:
                column = pa.array(places[name])
            elif name in rows.columns:
                column = rows.columns[name]
            elif name in rows.carried:
                column = rows.carried[name]
            else:
                column = self._shared[name] if top else self._shared[name].take(of_record)
            columns.append(column if survivors is None else column.take(survivors))
        # DuckDB's and Arrow's naive timestamps are UTC already.
        typed = [column.cast(kind) for column, kind in zip(columns, arrow_schema(table).types, strict=True)]
        return _to_pandas(pa.Table.from_arrays(typed, schema=arrow_schema(table)))


def _last_of_each_key(keys: pa.Array, good: npt.NDArray[np.bool_]) -> Indices:
    """Rows of good records, of each key only the last served, in the order served."""
    rows = np.flatnonzero(good)
    chosen = keys.take(pa.array(rows)) if len(rows) < len(keys) else keys
    if pc.count_distinct(chosen).as_py() == len(rows):
        return rows
    last = pa.table({"key": chosen, "row": rows}).group_by("key").aggregate([("row", "max")])
    return np.sort(last["row_max"].to_numpy())
