"""The facts of one host: an SQLite file of its own beside the token store, under the same rules."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from pleo_connector.auth.stores.files import check_private_file, file_system_of, make_private_folder, refuse_network_file_system
from pleo_connector.errors import TokenStoreUnavailable
from pleo_connector.portal.facts import Fact, statements

_PATIENCE = 10.0


class SqliteFacts:
    """Facts in a private file (0600); a connection is opened per operation."""

    def __init__(self, path: Path, *, clock: Callable[[], float] = time.time) -> None:
        self.path = path
        self._clock = clock
        self._sql = statements("item", ":now", lambda name: f":{name}")

    def put(self, kind: str, key: str, value: str, seconds: float) -> None:
        """Keep a fact, and forget those whose time is over."""
        with self._open() as db:
            self._run(db, self._sql.sweep)
            self._run(db, self._sql.put, kind=kind, key=key, value=value, tries=0, seconds=seconds)

    def get(self, kind: str, key: str) -> str | None:
        """The value, while it is kept."""
        with self._open() as db:
            return _first(self._run(db, self._sql.get, kind=kind, key=key))

    def take(self, kind: str, key: str, value: str | None = None) -> str | None:
        """Remove a fact and return its value."""
        with self._open() as db:
            return _first(self._run(db, self._sql.take, kind=kind, key=key, value=value))

    def count(self, kind: str, key: str, seconds: float) -> int:
        """Add one to a count, and return it."""
        with self._open() as db:
            return int(self._run(db, self._sql.count, kind=kind, key=key, value="", tries=1, seconds=seconds)[0][0])

    def all(self, kind: str) -> list[Fact]:
        """Everything of a kind that is kept."""
        with self._open() as db:
            return [Fact(*row) for row in self._run(db, self._sql.all, kind=kind)]

    def _run(self, db: sqlite3.Connection, statement: str, **values: object) -> list[tuple[Any, ...]]:
        parameters: Mapping[str, object] = {**values, "now": self._clock()}
        return db.execute(statement, parameters).fetchall()

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        self._make_file()
        try:
            with contextlib.closing(sqlite3.connect(self.path, timeout=_PATIENCE, isolation_level=None)) as db:
                for pragma in ("journal_mode = delete", "synchronous = extra", "secure_delete = on", "trusted_schema = off"):
                    db.execute(f"pragma {pragma}").fetchall()
                db.execute("begin immediate")
                try:
                    db.execute(self._sql.create)
                    yield db
                    db.execute("commit")
                except BaseException:
                    if db.in_transaction:
                        db.execute("rollback")
                    raise
        except sqlite3.Error as error:
            raise TokenStoreUnavailable(
                f"The portal's file {self.path} cannot be used: {error}; check the disk, its space and permissions. "
                "If it is damaged, delete it: links that were not used, and sessions, then end."
            ) from None

    def _make_file(self) -> None:
        make_private_folder(self.path.parent)
        refuse_network_file_system(self.path, file_system_of(self.path.parent))
        if not check_private_file(self.path, "portal's file"):
            with contextlib.suppress(FileExistsError):  # another process was first
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600))


def _first(rows: list[tuple[Any, ...]]) -> str | None:
    return rows[0][0] if rows else None
