"""Databases for token stores, on the tests' PostgreSQL server."""

from __future__ import annotations

import psycopg

from tests.postgres_server import new_database as fresh_database

__all__ = ["fresh_database", "run"]


def run(url: str, statement: str) -> list[tuple[object, ...]]:
    """Execute one statement; its rows, or nothing."""
    with psycopg.connect(url, autocommit=True) as db:
        done = db.execute(statement)
        return list(done.fetchall()) if done.description else []
