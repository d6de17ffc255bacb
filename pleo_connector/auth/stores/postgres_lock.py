"""The advisory lock of one connection, held by a session of its own."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING, Any

from pleo_connector.auth.stores.postgres_session import driver

if TYPE_CHECKING:
    import psycopg

HOLDERS = (
    "select pid from pg_locks where locktype = 'advisory' and granted and objsubid = 1 and database = "
    "(select oid from pg_database where datname = current_database()) and (classid::bigint << 32) | objid::bigint = %(key)s"
)
"""Asks for the backends that hold the lock `%(key)s`."""


class PostgresLockHandle:
    """The advisory lock of one connection while its session lives."""

    def __init__(self, db: psycopg.Connection[dict[str, Any]], key: int) -> None:
        self._db = db
        self._key = key
        self._pid = os.getpid()

    def still_held(self) -> bool:
        """Ask the server; False in a fork, and when the session was ended."""
        if self._pid != os.getpid():
            return False
        try:
            row = self._db.execute(f"select exists ({HOLDERS} and pid = pg_backend_pid()) as held", {"key": self._key}).fetchone()
        except driver().Error:
            return False
        return row is not None and bool(row["held"])


def lock_key(connection: str) -> int:
    """The number of a connection's advisory lock: 64 bits, signed."""
    return int.from_bytes(hashlib.sha256(b"pleo-connector\0" + connection.encode()).digest()[:8], "big", signed=True)
