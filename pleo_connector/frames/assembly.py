"""Typed relations to final frames: survivors only, system columns added, columns in the declared order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from functools import cache

import duckdb
import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pleo_connector.catalogue import LogicalType, Storage, Stream, Table
from pleo_connector.catalogue.types import MONEY_SCALE, RATE_SCALE
from pleo_connector.frames import expressions as sql
from pleo_connector.frames.batch import Served
from pleo_connector.frames.currencies import exponents
from pleo_connector.frames.quarantine import SetAside
from pleo_connector.frames.reading import ReadLevel, arrow_of

Indices = npt.NDArray[np.int64]

ARROW_TYPES: dict[Storage, pa.DataType] = {
    Storage.TEXT: pa.string(),
    Storage.JSON: pa.string(),
    Storage.UUID: pa.string(),
    Storage.BOOLEAN: pa.bool_(),
    Storage.BIGINT: pa.int64(),
    Storage.MONEY: pa.decimal128(38, MONEY_SCALE),
    Storage.RATE: pa.decimal128(18, RATE_SCALE),
    Storage.TIMESTAMP: pa.timestamp("us", "UTC"),
    Storage.DATE: pa.date32(),
}
"""The Arrow type of each storage kind; UUIDs are canonical lower-case text."""


def arrow_schema(table: Table) -> pa.Schema:
    """The Arrow schema of a table's frames."""
    return pa.schema([(field.name, ARROW_TYPES[field.storage]) for field in table.fields])


def empty_frames(stream: Stream) -> dict[str, pd.DataFrame]:
    """A frame without rows for each table of the stream."""
    return {table.name: _to_pandas(arrow_schema(table).empty_table()) for table in stream.tables()}


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
        con: duckdb.DuckDBPyConnection,
        read: ReadLevel,
        hashes: pa.Table,
        aside: SetAside,
    ) -> None:
        self._stream, self._con, self._read = stream, con, read
        top = _rows(con, read)
        records = top["i"].to_numpy()
        good = ~np.isin(records, np.fromiter(aside.reasons, np.int64, len(aside.reasons)))
        winners = _last_of_each_key(top[stream.key], good)
        self.duplicates = int(good.sum()) - len(winners)
        self._top = top.take(pa.array(winners)) if len(winners) < len(records) else top
        kept = self._top["i"].to_numpy()
        self._row_of = np.full(int(records.max(initial=-1)) + 1, -1, np.int64)
        self._row_of[kept] = np.arange(len(kept))
        order = np.empty(len(self._row_of), np.int64)
        order[hashes["i"].to_numpy()] = np.arange(len(hashes))
        page = self._top["page"]
        deleted = self._top[stream.deleted_flag] if stream.deleted_flag else pa.nulls(len(kept), pa.timestamp("us"))
        self._shared: dict[str, pa.ChunkedArray | pa.Array] = {
            f"{stream.record}_{stream.key}": self._top[stream.key],
            "_company_id": pa.array([p.company_id for p in pages], pa.string()).take(page),
            "_synced_at": pa.repeat(pa.scalar(now, pa.timestamp("us", "UTC")), len(kept)),
            "_deleted_at": deleted,
            "_deleted_source": pc.if_else(pc.is_valid(deleted), "api_flag", pa.scalar(None, pa.string())),
            "_row_hash": hashes["hash"].take(pa.array(order[kept])),
            "_sweep_id": pa.array([p.sweep_id for p in pages], pa.string()).take(page),
        }

    def frames(self) -> dict[str, pd.DataFrame]:
        """One frame per table of the stream, those without rows included."""
        frames = empty_frames(self._stream)
        for read in self._read.walk():
            table = read.level.table
            frames[table.name] = self._parents(table) if read is self._read else self._children(read)
        return frames

    def _parents(self, table: Table) -> pd.DataFrame:
        names = set(self._top.column_names)
        return _conformed({name: self._top[name] if name in names else self._shared[name] for name in table.column_names}, table)

    def _children(self, read: ReadLevel) -> pd.DataFrame:
        level = read.level
        rows = _rows(self._con, read)
        parent = self._row_of[rows["i"].to_numpy()]
        if (parent < 0).any():
            rows, parent = rows.filter(pa.array(parent >= 0)), parent[parent >= 0]
        places = dict(zip(level.table.key[1:], level.positions, strict=True))
        take = pa.array(parent)
        columns: dict[str, pa.ChunkedArray | pa.Array] = {}
        for name in level.table.column_names:
            if name in places:
                columns[name] = rows[places[name]]
            elif name in rows.column_names:
                columns[name] = rows[name]
            else:
                columns[name] = self._shared[name].take(take)
        return _conformed(columns, level.table)


def _rows(con: duckdb.DuckDBPyConnection, read: ReadLevel) -> pa.Table:
    """A level's typed rows, amounts of money included."""
    level = read.level
    page = ("page",) if level.depth == 0 else ()
    wanted = ", ".join([*level.place, *page, *(sql.quoted(name) for name in level.typed), "_extra"])
    rows = arrow_of(con, f"SELECT {wanted} FROM {read.relation}")
    for column in level.columns:
        if column.type is LogicalType.MONEY:
            rows = rows.append_column(column.name, amounts(rows[f"{column.name}_minors"], rows[f"{column.name}_currency"]))
    return rows


@cache
def _units() -> tuple[pa.Array, pa.Array]:
    """Currency codes, and what one smallest unit of each is worth."""
    known = exponents()
    units = [Decimal(1).scaleb(-exponent) for exponent in known.values()]
    return pa.array(list(known), pa.string()), pa.array(units, pa.decimal128(5, MONEY_SCALE))


def amounts(minors: pa.ChunkedArray, currency: pa.ChunkedArray) -> pa.ChunkedArray:
    """Exact amounts; NULL where the currency is unknown to ISO 4217 or has no smallest unit."""
    codes, units = _units()
    unit = units.take(pc.index_in(currency, codes).combine_chunks())
    exact = pc.multiply(minors.combine_chunks().cast(pa.decimal128(19, 0)), unit)
    return pa.chunked_array([exact.cast(pa.decimal128(38, MONEY_SCALE))])


def _last_of_each_key(keys: pa.ChunkedArray, good: npt.NDArray[np.bool_]) -> Indices:
    """Rows of good records, of each key only the last served, in the order served."""
    rows = np.flatnonzero(good)
    chosen = keys.take(pa.array(rows)) if len(rows) < len(keys) else keys
    if pc.count_distinct(chosen).as_py() == len(rows):
        return rows
    last = pa.table({"key": chosen, "row": rows}).group_by("key").aggregate([("row", "max")])
    return np.sort(last["row_max"].to_numpy())


def _conformed(columns: dict[str, pa.ChunkedArray | pa.Array], table: Table) -> pd.DataFrame:
    """Exact types; DuckDB's naive timestamps are UTC already."""
    return _to_pandas(pa.table(columns).cast(arrow_schema(table)))
