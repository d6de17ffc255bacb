"""Looking into a warehouse with its own driver, as an analyst would."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import duckdb
import psycopg


def ask(url: str, sql: str) -> list[tuple[Any, ...]]:
    """The rows of a query; duckdb.Error or psycopg.Error when that cannot be."""
    return ask_all(url, [sql])[0]


def ask_all(url: str, queries: Iterable[str]) -> list[list[tuple[Any, ...]]]:
    """The rows of several queries, over one connection."""
    if url.startswith("duckdb:///"):
        with duckdb.connect(url.removeprefix("duckdb:///"), read_only=True) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            return [connection.execute(sql).fetchall() for sql in queries]
    with psycopg.connect(url, options="-c TimeZone=UTC") as analyst:
        return [analyst.execute(sql).fetchall() for sql in queries]


RUN_TIME = {"_sweeps": {"owner", "touched_at"}}
"""Who walks a sweep and when it was last touched: a run notes that before it loads anything."""


def tables_of(file: Path) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables, by column but those of run time."""
    with duckdb.connect(str(file), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        names = connection.execute("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'pleo'").fetchall()
        found = {}
        for (name,) in names:
            left_out = RUN_TIME.get(name)
            exclude = f"EXCLUDE ({', '.join(sorted(left_out))})" if left_out else ""
            found[name] = connection.execute(f"SELECT * {exclude} FROM pleo.{name} ORDER BY ALL").fetchall()
        return found


def assert_same(one: Path, other: Path) -> None:
    """Table by table, so that a difference is readable."""
    expected, found = tables_of(one), tables_of(other)
    assert found.keys() == expected.keys()
    for name, rows in expected.items():
        assert found[name] == rows, name
