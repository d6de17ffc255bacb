"""Tells whether a proxy between us and PostgreSQL hands our statements to different sessions.

Such a proxy (PgBouncer in transaction or statement mode, for one) would take our lock on one session and
release it on another. One idle client gets the same session again and again, so a second one keeps it busy.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

_MINE = "select count(*) as held, pg_backend_pid() as pid from pg_locks where locktype = 'advisory' and pid = pg_backend_pid() and objid = %s and classid = %s"


def shares_sessions(first: psycopg.Connection[dict[str, Any]], second: psycopg.Connection[dict[str, Any]]) -> bool:
    """True when a lock of `first` does not stay with it; both are fresh connections in autocommit mode."""
    space, number = secrets.randbits(31), secrets.randbits(31)
    pids, held = set(), []

    def look() -> None:
        row = first.execute(_MINE, (number, space)).fetchone() or {}
        pids.add(row["pid"])
        held.append(row["held"])

    first.execute("select pg_advisory_lock(%s, %s)", (space, number))
    try:
        look()
        with second.transaction():
            pids_of_second = {row["pid"] for row in second.execute("select pg_backend_pid() as pid")}
            look()
        look()
    finally:
        first.execute("select pg_advisory_unlock_all()")
    return len(pids) != 1 or pids == pids_of_second or held != [1, 1, 1]
