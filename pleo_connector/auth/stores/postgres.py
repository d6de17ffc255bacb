"""The token store of several hosts: a row in PostgreSQL, and an advisory lock of a session of its own.

The server drops the lock when its session ends, but an owner that was merely cut off may still be at work: holding
the lock does not prove that the owner of an open intent is dead. Times are the server's. Reads and writes share
one connection per process, the lock has one of its own for as long as it is held.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from pleo_connector.auth.stores.postgres_lock import HOLDERS, PostgresLockHandle, lock_key
from pleo_connector.auth.stores.postgres_session import Server, Session, close, driver
from pleo_connector.auth.stores.postgres_table import NO_INTENT, NOW, ensured, stored
from pleo_connector.auth.stores.protocol import Intent, Record, State
from pleo_connector.auth.stores.row import record_of
from pleo_connector.errors import RefreshUnavailable, TokenStoreCorrupt

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T")

_ROOM = 8192  # bytes that a page does not hold beside others, so that the server asks its disk for some


class PostgresTokenStore:
    """Sealed tokens in `pleo_connector.connection` of a PostgreSQL database."""

    lock_proves_owner_dead = False

    def __init__(self, url: str) -> None:
        self._server = Server(url)
        self._psycopg = driver()
        self._made: dict[int, Session] = {}
        # Not a method of this object: it would keep the object alive.
        weakref.finalize(self, _close_all, self._made)

    @property
    def place(self) -> str:
        """Host and database."""
        return self._server.place

    def __repr__(self) -> str:
        return f"PostgresTokenStore({self.place!r})"

    def read(self, connection: str) -> Record | None:
        """The record, or None when never stored (the schema is then not created)."""

        def ask(db: psycopg.Connection[dict[str, Any]]) -> dict[str, Any] | None:
            return db.execute(f"select *, {NOW} as read_at from pleo_connector.connection where name = %s", (connection,)).fetchone()

        row = self._do(ask, again=True)
        return None if row is None else record_of(row)

    def prove_writable(self) -> None:
        """Do what a login does, and roll it back; ConfigurationError for a pooler that shares sessions."""

        def store(db: psycopg.Connection[dict[str, Any]]) -> dict[str, Any] | None:
            with db.transaction(force_rollback=True):
                return stored(db, "", secrets.token_bytes(_ROOM), named=ensured(db))

        self._session().check()
        if self._do(store, ping=True) is None:
            raise self._corrupt("it stores nothing")

    @contextlib.contextmanager
    def lock(self, connection: str, timeout: float) -> Iterator[PostgresLockHandle]:
        """Hold the advisory lock of one connection; RefreshUnavailable after `timeout` seconds."""
        self._session().check()
        key, mine = lock_key(connection), os.getpid()
        db = self._server.connect()
        try:
            try:
                limits = (f"{max(1, round(timeout * 1000))}ms", f"{round(timeout + 10)}s")
                db.execute("select set_config('lock_timeout', %s, false), set_config('statement_timeout', %s, false)", limits)
                db.execute("select pg_advisory_lock(%s)", (key,))
            except self._psycopg.errors.LockNotAvailable:
                raise RefreshUnavailable(
                    f"Another process holds the token lock of {connection} at PostgreSQL {self.place} for longer than {timeout:g} s; "
                    "try again, or look for a hung process."
                ) from None
            except self._psycopg.Error as error:
                raise self._server.unavailable(error) from None
            yield PostgresLockHandle(db, key)
        finally:
            if os.getpid() == mine:
                with contextlib.suppress(self._psycopg.Error):  # closing ends the lock too, a little later
                    db.execute("select pg_advisory_unlock_all()")
                close(db)

    def reseal(self, connection: str, generation: int, blob: bytes) -> bool:
        """Replace the blob by the same tokens under another key."""
        statement = "update pleo_connector.connection set blob = %s where name = %s and generation = %s and blob is not null"
        return self._change(statement, blob, connection, generation)

    def records(self) -> list[Record]:
        """Every connection that was ever stored."""

        def ask(db: psycopg.Connection[dict[str, Any]]) -> list[dict[str, Any]]:
            return db.execute(f'select *, {NOW} as read_at from pleo_connector.connection order by name collate "C"').fetchall()

        return [record_of(row) for row in self._do(ask, again=True) or ()]

    def holder(self, connection: str) -> str | None:
        """Who holds the lock now, or None."""

        def ask(db: psycopg.Connection[dict[str, Any]]) -> dict[str, Any] | None:
            return db.execute(
                f"select application_name as name, client_addr::text as address from pg_stat_activity where pid in ({HOLDERS}) limit 1",
                {"key": lock_key(connection)},
            ).fetchone()

        row = self._do(ask, again=True)
        return None if row is None else " from ".join(part for part in (row["name"] or "an unnamed client", row["address"]) if part)

    def begin(self, connection: str, generation: int, intent: Intent) -> bool:
        """Open the intent if the record is active and of this generation."""
        return self._change(
            f"update pleo_connector.connection set state = 'refreshing', updated_at = {NOW}, intent_id = %s, intent_host = %s, intent_pid = %s, "
            "intent_started = %s, intent_deadline = %s, intent_access_dead = %s, intent_last_retry = %s "
            "where name = %s and generation = %s and state = 'active'",
            intent.id,
            intent.host,
            intent.pid,
            intent.started,
            intent.deadline,
            intent.access_dead,
            intent.last_retry,
            connection,
            generation,
        )

    def commit(self, connection: str, generation: int, intent_id: str, blob: bytes) -> bool:
        """Store both tokens in one write, if this intent is still the open one."""
        return self._change(
            f"update pleo_connector.connection set generation = generation + 1, state = 'active', blob = %s, reason = '', updated_at = {NOW}, "
            f"refreshed_at = {NOW}, {NO_INTENT} where name = %s and generation = %s and state = 'refreshing' and intent_id = %s",
            blob,
            connection,
            generation,
            intent_id,
        )

    def rescue(self, connection: str, generation: int, blob: bytes) -> bool:
        """Store tokens whose owner had been taken for dead, if nothing newer was stored since."""
        return self._change(
            f"update pleo_connector.connection set generation = generation + 1, state = 'active', blob = %s, reason = '', updated_at = {NOW}, "
            f"refreshed_at = {NOW}, {NO_INTENT} where name = %s and generation = %s and state = 'reauth_required'",
            blob,
            connection,
            generation,
        )

    def mark(self, connection: str, generation: int, state: State, reason: str, intent_id: str | None = None) -> bool:
        """Set state and reason, clear the intent."""
        return self._change(
            f"update pleo_connector.connection set state = %s, reason = %s, updated_at = {NOW}, {NO_INTENT} "
            "where name = %s and generation = %s and (%s::text is null or intent_id = %s)",
            state.value,
            reason,
            connection,
            generation,
            intent_id,
            intent_id,
        )

    def replace(self, connection: str, blob: bytes) -> int:
        """Store the tokens of a new login; creates the schema when missing."""

        def store(db: psycopg.Connection[dict[str, Any]]) -> dict[str, Any] | None:
            with db.transaction():
                named = ensured(db)
            return stored(db, connection, blob, named=named)

        self._session().check()
        row = self._do(store, ping=True)
        if row is None:
            raise self._corrupt("it stored nothing")
        return int(row["generation"])

    def delete(self, connection: str) -> None:
        """Forget the tokens, keep the generation."""
        self._change(
            f"update pleo_connector.connection set generation = generation + 1, state = 'disconnected', blob = null, reason = '', "
            f"updated_at = {NOW}, {NO_INTENT} where name = %s and state <> 'disconnected'",
            connection,
        )

    def _change(self, statement: str, *values: object) -> bool:
        def change(db: psycopg.Connection[dict[str, Any]]) -> dict[str, Any]:
            return {"changed": db.execute(statement, values).rowcount}

        done = self._do(change, ping=True)
        return done is not None and done["changed"] == 1

    def _session(self) -> Session:
        pid = os.getpid()
        return self._made.get(pid) or self._made.setdefault(pid, Session(self._server))

    def _do(
        self,
        ask: Callable[[psycopg.Connection[dict[str, Any]]], T],
        *,
        again: bool = False,
        ping: bool = False,
    ) -> T | None:
        """`again`: a lost connection may simply be asked again. `ping`: see first that it is there. None when the schema is not."""
        session = self._session()
        with session.guard:
            for attempt in (1, 2):
                db = session.connection(ping=ping)
                try:
                    return ask(db)
                except (self._psycopg.errors.UndefinedTable, self._psycopg.errors.InvalidSchemaName):
                    return None
                except self._psycopg.errors.UndefinedColumn:
                    raise self._corrupt("its tables are of another version") from None
                except self._psycopg.Error as error:
                    if again and attempt == 1 and (db.closed or db.broken):
                        continue
                    raise self._server.unavailable(error) from None
        raise AssertionError("unreachable")

    def _corrupt(self, why: str) -> TokenStoreCorrupt:
        return TokenStoreCorrupt(
            f"The token store in the schema pleo_connector at PostgreSQL {self.place} is damaged: {why}. It was left as it is; "
            "restore it, or drop the schema and run `pleo-connector connect`."
        )


def _close_all(made: dict[int, Session]) -> None:
    session = made.get(os.getpid())
    if session is not None:
        session.close()
