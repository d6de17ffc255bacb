"""The facts of several hosts: a table beside the token store in PostgreSQL; times are the server's."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pleo_connector.auth.stores.postgres_session import Server, close, driver
from pleo_connector.portal.facts import Fact, statements

_TABLE = "pleo_connector.portal_item"
_NOW = "extract(epoch from clock_timestamp())::double precision"


class PostgresFacts:
    """Facts in `pleo_connector.portal_item`; a connection is opened per operation, so that no process keeps one."""

    def __init__(self, url: str) -> None:
        self._server = Server(url)
        self._sql = statements(_TABLE, _NOW, lambda name: f"%({name})s")

    def put(self, kind: str, key: str, value: str, seconds: float) -> None:
        """Keep a fact, and forget those whose time is over."""
        self._run(self._sql.sweep)
        self._run(self._sql.put, kind=kind, key=key, value=value, tries=0, seconds=seconds)

    def get(self, kind: str, key: str) -> str | None:
        """The value, while it is kept."""
        return _value(self._run(self._sql.get, kind=kind, key=key))

    def take(self, kind: str, key: str, value: str | None = None) -> str | None:
        """Remove a fact and return its value."""
        return _value(self._run(self._sql.take, kind=kind, key=key, value=value))

    def count(self, kind: str, key: str, seconds: float) -> int:
        """Add one to a count, and return it."""
        return int(self._run(self._sql.count, kind=kind, key=key, value="", tries=1, seconds=seconds)[0]["tries"])

    def all(self, kind: str) -> list[Fact]:
        """Everything of a kind that is kept."""
        return [Fact(row["key"], row["value"], row["expires_at"]) for row in self._run(self._sql.all, kind=kind)]

    def _run(self, statement: str, **values: object) -> list[dict[str, Any]]:
        errors = driver().errors
        db = self._server.connect()

        def execute() -> list[dict[str, Any]]:
            done = db.execute(statement, values)
            return list(done.fetchall()) if done.description else []

        try:
            try:
                return execute()
            except (errors.UndefinedTable, errors.InvalidSchemaName):
                self._create(db.execute)
                return execute()
        except driver().Error as error:
            raise self._server.unavailable(error) from None
        finally:
            close(db)

    def _create(self, execute: Callable[[str], object]) -> None:
        """Once: two processes that create at the same time may both be told that it is there already."""
        for statement in ("create schema if not exists pleo_connector", self._sql.create):
            try:
                execute(statement)
            except (driver().errors.UniqueViolation, driver().errors.DuplicateTable, driver().errors.DuplicateSchema):
                continue


def _value(rows: list[dict[str, Any]]) -> str | None:
    return rows[0]["value"] if rows else None
