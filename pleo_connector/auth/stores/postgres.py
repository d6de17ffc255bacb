"""The token store of several hosts: a row in PostgreSQL, and an advisory lock of a session of its own.

The server drops the lock when its session ends, but an owner that was merely cut off may still be at work: holding
the lock does not prove that the owner of an open intent is dead. Times are the server's. Reads and writes share
one connection per process, the lock has one of its own for as long as it is held.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, TypeVar

from pleo_connector.auth.stores.pooler import shares_sessions
from pleo_connector.auth.stores.postgres_notes import TABLE as NOTES
from pleo_connector.auth.stores.postgres_session import Server, close, driver
from pleo_connector.auth.stores.protocol import Intent, Record, State
from pleo_connector.errors import ConfigurationError, RefreshUnavailable, TokenStoreCorrupt

if TYPE_CHECKING:
    import psycopg

T = TypeVar("T")

_VERSION = 1
_SCHEMA = """
create schema if not exists pleo_connector;
create table if not exists pleo_connector.token_store (version integer not null);
insert into pleo_connector.token_store select {version} where not exists (select from pleo_connector.token_store);
create table if not exists pleo_connector.connection (
  name text primary key,
  generation bigint not null,
  state text not null check (state in ('active', 'refreshing', 'reauth_required', 'disconnected')),
  blob bytea,
  reason text not null default '',
  updated_at double precision not null,
  refreshed_at double precision,
  intent_id text,
  intent_host text,
  intent_pid integer,
  intent_started double precision,
  intent_deadline double precision,
  intent_access_dead boolean,
  intent_last_retry boolean,
  lineage text
);
{notes}
"""
_NOW = "extract(epoch from clock_timestamp())::double precision"
_NO_INTENT = (
    "intent_id = null, intent_host = null, intent_pid = null, intent_started = null, intent_deadline = null, "
    "intent_access_dead = null, intent_last_retry = null"
)


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
            row = self._db.execute(f"select exists ({_HOLDERS} and pid = pg_backend_pid()) as held", {"key": self._key}).fetchone()
        except driver().Error:
            return False
        return row is not None and bool(row["held"])


_HOLDERS = (
    "select pid from pg_locks where locktype = 'advisory' and granted and objsubid = 1 and database = "
    "(select oid from pg_database where datname = current_database()) and (classid::bigint << 32) | objid::bigint = %(key)s"
)


class PostgresTokenStore:
    """Sealed tokens in `pleo_connector.connection` of a PostgreSQL database."""

    lock_proves_owner_dead = False

    def __init__(self, url: str) -> None:
        self._server = Server(url)
        self._psycopg = driver()
        self._made: dict[int, _Session] = {}
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
            return db.execute(f"select *, {_NOW} as read_at from pleo_connector.connection where name = %s", (connection,)).fetchone()

        row = self._do(ask, again=True)
        return None if row is None else _record(row)

    @contextlib.contextmanager
    def lock(self, connection: str, timeout: float) -> Iterator[PostgresLockHandle]:
        """Hold the advisory lock of one connection; RefreshUnavailable after `timeout` seconds."""
        self._session().check()
        key, mine = _key(connection), os.getpid()
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
            return db.execute(f'select *, {_NOW} as read_at from pleo_connector.connection order by name collate "C"').fetchall()

        return [_record(row) for row in self._do(ask, again=True) or ()]

    def holder(self, connection: str) -> str | None:
        """Who holds the lock now, or None."""

        def ask(db: psycopg.Connection[dict[str, Any]]) -> dict[str, Any] | None:
            return db.execute(
                f"select application_name as name, client_addr::text as address from pg_stat_activity where pid in ({_HOLDERS}) limit 1",
                {"key": _key(connection)},
            ).fetchone()

        row = self._do(ask, again=True)
        return None if row is None else " from ".join(part for part in (row["name"] or "an unnamed client", row["address"]) if part)

    def begin(self, connection: str, generation: int, intent: Intent) -> bool:
        """Open the intent if the record is active and of this generation."""
        return self._change(
            f"update pleo_connector.connection set state = 'refreshing', updated_at = {_NOW}, intent_id = %s, intent_host = %s, intent_pid = %s, "
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
            f"update pleo_connector.connection set generation = generation + 1, state = 'active', blob = %s, reason = '', updated_at = {_NOW}, "
            f"refreshed_at = {_NOW}, {_NO_INTENT} where name = %s and generation = %s and state = 'refreshing' and intent_id = %s",
            blob,
            connection,
            generation,
            intent_id,
        )

    def rescue(self, connection: str, generation: int, blob: bytes) -> bool:
        """Store tokens whose owner had been taken for dead, if nothing newer was stored since."""
        return self._change(
            f"update pleo_connector.connection set generation = generation + 1, state = 'active', blob = %s, reason = '', updated_at = {_NOW}, "
            f"refreshed_at = {_NOW}, {_NO_INTENT} where name = %s and generation = %s and state = 'reauth_required'",
            blob,
            connection,
            generation,
        )

    def mark(self, connection: str, generation: int, state: State, reason: str, intent_id: str | None = None) -> bool:
        """Set state and reason, clear the intent."""
        return self._change(
            f"update pleo_connector.connection set state = %s, reason = %s, updated_at = {_NOW}, {_NO_INTENT} "
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
                db.execute("select pg_advisory_xact_lock(%s)", (_key("create the schema"),))
                # What is there already is not asked for again: this user may not be allowed to create anything.
                there = db.execute("select to_regclass('pleo_connector.connection') is not null as there").fetchone()
                if there is not None and not there["there"]:
                    db.execute(_SCHEMA.format(version=_VERSION, notes=NOTES))
                name, value, change = (", lineage", ", %s", ", lineage = excluded.lineage") if self._names_logins(db) else ("", "", "")
            return db.execute(
                f"insert into pleo_connector.connection as c (name, generation, state, blob, updated_at, refreshed_at{name}) "
                f"values (%s, 1, 'active', %s, {_NOW}, {_NOW}{value}) "
                "on conflict (name) do update set generation = c.generation + 1, state = 'active', blob = excluded.blob, reason = '', "
                f"updated_at = excluded.updated_at, refreshed_at = excluded.refreshed_at{change}, {_NO_INTENT} returning generation",
                (connection, blob, *([secrets.token_hex(8)] if name else [])),
            ).fetchone()

        self._session().check()
        row = self._do(store, ping=True)
        if row is None:
            raise self._corrupt("it stored nothing")
        return int(row["generation"])

    def _names_logins(self, db: psycopg.Connection[dict[str, Any]]) -> bool:
        """Whether there is a column for a login's name: tables of the first version get it if this user may add it."""
        there = db.execute(
            "select from pg_attribute where attrelid = 'pleo_connector.connection'::regclass and attname = 'lineage' and not attisdropped"
        ).fetchone()
        if there is not None:
            return True
        try:
            with db.transaction():
                db.execute("alter table pleo_connector.connection add column lineage text")
        except self._psycopg.errors.InsufficientPrivilege:
            return False
        return True

    def delete(self, connection: str) -> None:
        """Forget the tokens, keep the generation."""
        self._change(
            f"update pleo_connector.connection set generation = generation + 1, state = 'disconnected', blob = null, reason = '', "
            f"updated_at = {_NOW}, {_NO_INTENT} where name = %s and state <> 'disconnected'",
            connection,
        )

    def _change(self, statement: str, *values: object) -> bool:
        def change(db: psycopg.Connection[dict[str, Any]]) -> dict[str, Any]:
            return {"changed": db.execute(statement, values).rowcount}

        done = self._do(change, ping=True)
        return done is not None and done["changed"] == 1

    def _session(self) -> _Session:
        pid = os.getpid()
        return self._made.get(pid) or self._made.setdefault(pid, _Session(self._server))

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


class _Session:
    """One process's connection for reads and writes; use it while holding `guard`."""

    def __init__(self, server: Server) -> None:
        self.guard = threading.Lock()
        self._server = server
        self._db: psycopg.Connection[dict[str, Any]] | None = None
        self._direct = False

    def connection(self, *, ping: bool = False) -> psycopg.Connection[dict[str, Any]]:
        """The connection, made anew when it was lost."""
        db = self._db
        if db is not None and ping and not db.closed:
            try:
                db.execute("select 1")
            except driver().Error:
                close(db)
        if db is None or db.closed:
            db = self._db = self._server.connect()
        return db

    def check(self) -> None:
        """Refuse, once per process, a proxy through which a session lock does not hold."""
        with self.guard:
            if self._direct:
                return
            first, second = self._server.connect(), self._server.connect()
            try:
                shared = shares_sessions(first, second)
            except driver().Error as error:
                raise self._server.unavailable(error) from None
            finally:
                close(first)
                close(second)
            if shared:
                raise ConfigurationError(
                    f"PLEO_TOKEN_STORE goes to PostgreSQL {self._server.place} through a proxy that shares sessions (PgBouncer in transaction mode, "
                    "for one), where the lock of a refresh does not hold; name the server itself, or a pool in session mode."
                )
            self._direct = True

    def close(self) -> None:
        """End the session."""
        if self._db is not None:
            close(self._db)


def _close_all(made: dict[int, _Session]) -> None:
    session = made.get(os.getpid())
    if session is not None:
        session.close()


def _key(connection: str) -> int:
    """The number of a connection's advisory lock: 64 bits, signed."""
    return int.from_bytes(hashlib.sha256(b"pleo-connector\0" + connection.encode()).digest()[:8], "big", signed=True)


def _record(row: dict[str, Any]) -> Record:
    intent = None
    if row["intent_id"] is not None:
        intent = Intent(
            id=row["intent_id"],
            host=row["intent_host"],
            pid=row["intent_pid"],
            started=row["intent_started"],
            deadline=row["intent_deadline"],
            access_dead=row["intent_access_dead"],
            last_retry=row["intent_last_retry"],
        )
    return Record(
        connection=row["name"],
        generation=row["generation"],
        state=State(row["state"]),
        blob=row["blob"],
        intent=intent,
        reason=row["reason"],
        updated_at=row["updated_at"],
        refreshed_at=row["refreshed_at"],
        read_at=row["read_at"],
        lineage=row.get("lineage"),
    )
