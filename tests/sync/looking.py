"""Looking into a warehouse with its own driver, as an analyst would."""

from __future__ import annotations

from collections.abc import Iterable
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
