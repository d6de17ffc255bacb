"""Notes of several hosts: rows in PostgreSQL, beside those of the token store. Time is the server's."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from pleo_connector.auth.stores.notes import Edit
from pleo_connector.auth.stores.postgres_session import Server, close, driver

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T")

TABLE = "create table if not exists pleo_connector.note (name text primary key, text text)"
_NOW = "extract(epoch from clock_timestamp())::double precision as now"


class PostgresNotes:
    """Notes in `pleo_connector.note` of a PostgreSQL database."""

    def __init__(self, url: str) -> None:
        self._server = Server(url)
        self._psycopg = driver()
        self._guard = threading.Lock()
        self._open: list[psycopg.Connection[dict[str, Any]]] = []
        # Not a method of this object: it would keep the object alive.
        weakref.finalize(self, _close_all, self._open)

    def __repr__(self) -> str:
        return f"PostgresNotes({self._server.place!r})"

    def change(self, name: str, edit: Edit[T]) -> T:
        """Replace the text by what `edit` makes of it, in one transaction; again when the connection was lost."""

        def ask(db: psycopg.Connection[dict[str, Any]]) -> T:
            with db.transaction():
                row = db.execute("select text from pleo_connector.note where name = %s for update", (name,)).fetchone()
                while row is None:
                    # Two that are first: the second waits here, and then finds the row of the first.
                    db.execute("insert into pleo_connector.note (name) values (%s) on conflict (name) do nothing", (name,))
                    row = db.execute("select text from pleo_connector.note where name = %s for update", (name,)).fetchone()
                # The time is asked for when the row is ours: of two, the later one sees the later time.
                now = (db.execute(f"select {_NOW}").fetchone() or {})["now"]
                text, told = edit(row["text"], now)
                db.execute("update pleo_connector.note set text = %s where name = %s", (text, name))
            return told

        return self._do(ask)

    def read(self, name: str) -> tuple[str | None, float]:
        """The text, and the time."""

        def ask(db: psycopg.Connection[dict[str, Any]]) -> tuple[str | None, float]:
            statement = f"select (select text from pleo_connector.note where name = %s) as text, {_NOW}"
            row = db.execute(statement, (name,)).fetchone() or {}
            return row["text"], row["now"]

        return self._do(ask)

    def close(self) -> None:
        """End the connection."""
        with self._guard:
            _close_all(self._open)

    def _do(self, ask: Callable[[psycopg.Connection[dict[str, Any]]], T]) -> T:
        missing = (self._psycopg.errors.UndefinedTable, self._psycopg.errors.InvalidSchemaName)
        with self._guard:
            for attempt in (1, 2, 3):
                if not self._open:
                    self._open.append(self._server.connect())
                (db,) = self._open
                try:
                    return ask(db)
                except missing:
                    self._create(db)
                except self._psycopg.Error as error:
                    lost = db.closed or db.broken
                    if lost:
                        _close_all(self._open)
                    if attempt == 3 or not lost:  # noqa: PLR2004 - the attempts above
                        raise self._server.unavailable(error) from None
        raise AssertionError("unreachable")

    def _create(self, db: psycopg.Connection[dict[str, Any]]) -> None:
        try:
            with db.transaction():
                db.execute("select pg_advisory_xact_lock(hashtext('pleo_connector.note'))")
                # What is there already is not asked for again: this user may not be allowed to create it.
                there = db.execute("select to_regnamespace('pleo_connector') is not null as there").fetchone()
                if there is not None and not there["there"]:
                    db.execute("create schema pleo_connector")
                db.execute(TABLE)
        except self._psycopg.Error as error:
            raise self._server.unavailable(error) from None


def _close_all(connections: list[psycopg.Connection[dict[str, Any]]]) -> None:
    while connections:
        close(connections.pop())
