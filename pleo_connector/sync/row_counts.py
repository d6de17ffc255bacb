"""Counts of what the warehouse holds, by company and month, in one query each.

`Transaction.scalar` gives one value, so a query's groups come as one text: it works alike in every warehouse.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import MAXYEAR, MINYEAR, UTC, datetime

from pleo_connector.catalogue import Stream, Table, Window
from pleo_connector.warehouses import Transaction

SERVED_NOW = "(_deleted_source IS NULL OR _deleted_source <> 'sweep_absent')"
"""Rows that Pleo still serves: live, or flagged as deleted."""

ByMonth = dict[str, dict[datetime, int]]
"""Company -> first moment of a month -> rows."""


def total(transaction: Transaction, stream: Stream, where: str = SERVED_NOW) -> int:
    """Rows of the stream's table."""
    return int(str(transaction.scalar(f"SELECT count(*) FROM {{schema}}.{stream.tables()[0].name} WHERE {where}")))


def by_column(transaction: Transaction, stream: Stream, column: str | None) -> dict[str | None, int]:
    """Rows of the stream's table by the key in a column; without a column, all of them, under None."""
    if column is None:
        return {None: total(transaction, stream)}
    table = stream.tables()[0]
    query = f"SELECT CAST({column} AS VARCHAR) AS who, count(*) AS n FROM {{schema}}.{table.name} WHERE {SERVED_NOW} GROUP BY 1"
    return {who: int(n) for who, n in _groups(transaction, query, "who")}


def by_month(transaction: Transaction, stream: Stream, where: str = SERVED_NOW) -> ByMonth:
    """Rows of a stream with windows."""
    if stream.window is None:
        return {}
    table, moment = stream.tables()[0], stream.window.column
    groups = _groups(
        transaction,
        f"SELECT CAST({table.company_column} AS VARCHAR) AS who, CAST(extract(year FROM {moment}) AS INTEGER) AS y, "
        f"CAST(extract(month FROM {moment}) AS INTEGER) AS m, count(*) AS n FROM {{schema}}.{table.name} WHERE {where} GROUP BY 1, 2, 3",
        "who",
        "y",
        "m",
    )
    months: ByMonth = {}
    for who, year, month, n in groups:
        if MINYEAR <= int(year) <= MAXYEAR:  # earlier versions stored other years
            months.setdefault(who, {})[datetime(int(year), int(month), 1, tzinfo=UTC)] = int(n)
    return months


def open_months(transaction: Transaction, stream: Stream, since: datetime) -> ByMonth:
    """Months with a living record, from `since` on, that is not final in every respect: how many such records each has."""
    if stream.window is None or not stream.window.final:
        return {}
    return by_month(transaction, stream, f"_deleted_at IS NULL AND {stream.window.column} >= {moment(since)} AND ({_open(stream.window)})")


def by_sweep(transaction: Transaction, stream: Stream, sweeps: Sequence[str]) -> dict[str, int]:
    """How many rows were last written by each of these sweeps."""
    return rows_by_sweep(transaction, stream.tables()[0], sweeps, "_sweep_id")


def rows_by_sweep(transaction: Transaction, table: Table, sweeps: Sequence[str], column: str = "sweep_id") -> dict[str, int]:
    """How many rows of a table name each of these sweeps."""
    if not sweeps:
        return {}
    ids = ", ".join(map(text, sweeps))
    query = f"SELECT {column} AS who, count(*) AS n FROM {{schema}}.{table.name} WHERE {column} IN ({ids}) GROUP BY 1"
    return {who: int(n) for who, n in _groups(transaction, query, "who")}


def text(value: str) -> str:
    """A value as SQL text."""
    return "'" + value.replace("'", "''") + "'"


def moment(value: datetime) -> str:
    """A UTC moment as SQL."""
    return f"TIMESTAMPTZ '{value.isoformat(sep=' ')}'"


def _open(window: Window) -> str:
    left = " OR ".join(f"{column} NOT IN ({', '.join(map(text, values))})" for column, values in window.final)
    if window.void is None:
        return left
    column, values = window.void
    return f"({left}) AND ({column} IS NULL OR {column} NOT IN ({', '.join(map(text, values))}))"


def _groups(transaction: Transaction, query: str, *names: str) -> list[list[str]]:
    """The rows of a query as texts: the named columns, then `n`. Their values hold neither spaces nor commas."""
    line = " || ' ' || ".join(f"CAST({name} AS VARCHAR)" for name in (*names, "n"))
    groups = transaction.scalar(f"SELECT string_agg({line}, ',') FROM ({query}) AS grouped")
    return [group.split(" ") for group in str(groups).split(",")] if groups is not None else []
