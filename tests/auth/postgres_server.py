"""Databases for token stores, on the tests' PostgreSQL server."""

from __future__ import annotations

import psycopg

from tests.postgres_server import new_database as fresh_database

__all__ = ["end_locks", "fresh_database", "run"]


def run(url: str, statement: str) -> list[tuple[object, ...]]:
    """Execute one statement; its rows, or nothing."""
    with psycopg.connect(url, autocommit=True) as db:
        done = db.execute(statement)
        return list(done.fetchall()) if done.description else []


def end_locks(url: str) -> int:
    """End the sessions that hold an advisory lock, as an administrator or a failing network would; how many there were."""
    holders = "select distinct pid from pg_locks where locktype = 'advisory' and granted and pid <> pg_backend_pid()"
    return len(run(url, f"select pg_terminate_backend(pid) from ({holders}) as holders"))
