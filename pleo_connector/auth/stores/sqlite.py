"""The token store of one host: an SQLite file, and a lock file beside it that is never removed.

Rollback journal and `synchronous=EXTRA`, so what is committed survives a power cut. A connection
is opened per operation (0.2 ms): nothing is shared between threads or inherited by a fork. The
kernel drops the file lock when its process dies, so holding it proves that the owner of an open
intent is dead.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pleo_connector.auth.stores.file_lock import FileLockHandle, held
from pleo_connector.auth.stores.files import (
    check_folder,
    check_private_file,
    file_system_of,
    make_private_folder,
    refuse_network_file_system,
)
from pleo_connector.auth.stores.protocol import Intent, Record, State
from pleo_connector.errors import RefreshUnavailable, TokenStoreCorrupt, TokenStoreUnavailable

_APPLICATION_ID = 0x504C454F  # "PLEO": a file without it was not written here
_VERSION = 1
_DUCKDB_MARK = slice(8, 12)  # where a DuckDB file says "DUCK"
_PATIENCE = 10.0
_PADDING = 4096  # the commit must not need a page that a full disk cannot give

_TABLE = """
create table connection (
  name text primary key,
  generation integer not null,
  state text not null check (state in ('active', 'refreshing', 'reauth_required', 'disconnected')),
  blob blob,
  reason text not null default '',
  updated_at real not null,
  refreshed_at real,
  intent_id text,
  intent_host text,
  intent_pid integer,
  intent_started real,
  intent_deadline real,
  intent_access_dead integer,
  intent_last_retry integer,
  padding blob,
  lineage text,
  host text
) strict
"""
_LATER_COLUMNS = ("lineage", "host")
"""Stores of the first version lack them and get them at the next write; that version goes on reading such a store."""
_NO_INTENT = (
    "intent_id = null, intent_host = null, intent_pid = null, intent_started = null, intent_deadline = null, "
    "intent_access_dead = null, intent_last_retry = null, padding = null"
)


class SqliteTokenStore:
    """Sealed tokens in one private SQLite file (0600, in a 0700 folder)."""

    lock_proves_owner_dead = True

    def __init__(
        self,
        path: Path,
        *,
        clock: Callable[[], float] = time.time,
        file_system: Callable[[Path], str] = file_system_of,
        patience: float = _PATIENCE,
        host: Callable[[], str | None] = lambda: None,
    ) -> None:
        """`patience`: seconds to wait for another process's transaction; `host`: the name of this host, to be stored with new tokens."""
        self.path = path.parent.resolve() / path.name
        self._clock = clock
        self._patience = patience
        self._host = host
        if self.path.parent.exists():
            check_folder(self.path.parent)
            refuse_network_file_system(self.path, file_system(self.path.parent))
        check_private_file(self.path, "token store")

    def read(self, connection: str) -> Record | None:
        """The record, or None when this connection was never stored (the file is then not created)."""
        if not self._written():
            return None
        with self._open() as db:
            row = db.execute("select * from connection where name = ?", (connection,)).fetchone()
        return None if row is None else _record(row)

    @contextlib.contextmanager
    def lock(self, connection: str, timeout: float) -> Iterator[FileLockHandle]:
        """Hold the lock file of one connection; RefreshUnavailable after `timeout` seconds."""
        make_private_folder(self.path.parent)
        with held(self._lock_file(connection), timeout) as handle:
            yield handle

    def begin(self, connection: str, generation: int, intent: Intent) -> bool:
        """Open the intent, and take the disk pages that the commit will need."""
        return self._change(
            "update connection set state = 'refreshing', updated_at = ?, intent_id = ?, intent_host = ?, intent_pid = ?, "
            "intent_started = ?, intent_deadline = ?, intent_access_dead = ?, intent_last_retry = ?, padding = zeroblob(?) "
            "where name = ? and generation = ? and state = 'active'",
            self._clock(),
            intent.id,
            intent.host,
            intent.pid,
            intent.started,
            intent.deadline,
            intent.access_dead,
            intent.last_retry,
            _PADDING,
            connection,
            generation,
        )

    def commit(self, connection: str, generation: int, intent_id: str, blob: bytes) -> bool:
        """Store both tokens in one write, if this intent is still the open one."""
        now = self._clock()
        return self._change(
            f"update connection set generation = generation + 1, state = 'active', blob = ?, reason = '', updated_at = ?, "
            f"refreshed_at = ?, lineage = coalesce(lineage, ?), host = ?, {_NO_INTENT} "
            "where name = ? and generation = ? and state = 'refreshing' and intent_id = ?",
            blob,
            now,
            now,
            secrets.token_hex(8),
            self._host(),
            connection,
            generation,
            intent_id,
        )

    def rescue(self, connection: str, generation: int, blob: bytes) -> bool:
        """Store tokens whose owner had been taken for dead, if nothing newer was stored since."""
        now = self._clock()
        return self._change(
            f"update connection set generation = generation + 1, state = 'active', blob = ?, reason = '', updated_at = ?, "
            f"refreshed_at = ?, lineage = coalesce(lineage, ?), host = ?, {_NO_INTENT} "
            "where name = ? and generation = ? and state = 'reauth_required'",
            blob,
            now,
            now,
            secrets.token_hex(8),
            self._host(),
            connection,
            generation,
        )

    def mark(self, connection: str, generation: int, state: State, reason: str, intent_id: str | None = None) -> bool:
        """Set state and reason, clear the intent."""
        return self._change(
            f"update connection set state = ?, reason = ?, updated_at = ?, {_NO_INTENT} "
            "where name = ? and generation = ? and (? is null or intent_id = ?)",
            state.value,
            reason,
            self._clock(),
            connection,
            generation,
            intent_id,
            intent_id,
        )

    def replace(self, connection: str, blob: bytes) -> int:
        """Store the tokens of a new login; creates folder and file when missing."""
        self._create()
        now = self._clock()
        with self._open(write=True) as db:
            row = db.execute(
                "insert into connection (name, generation, state, blob, updated_at, refreshed_at, lineage, host) "
                "values (?, 1, 'active', ?, ?, ?, ?, ?) "
                "on conflict (name) do update set generation = generation + 1, state = 'active', blob = excluded.blob, reason = '', "
                "updated_at = excluded.updated_at, refreshed_at = excluded.refreshed_at, lineage = excluded.lineage, host = excluded.host, "
                f"{_NO_INTENT} returning generation",
                (connection, blob, now, now, secrets.token_hex(8), self._host()),
            ).fetchone()
        return int(row["generation"])

    def delete(self, connection: str) -> None:
        """Forget the tokens; `secure_delete` overwrites them in the file."""
        if self._written():
            self._change(
                f"update connection set generation = generation + 1, state = 'disconnected', blob = null, reason = '', "
                f"updated_at = ?, {_NO_INTENT} where name = ? and state <> 'disconnected'",
                self._clock(),
                connection,
            )

    def reseal(self, connection: str, generation: int, blob: bytes) -> bool:
        """Replace the blob by the same tokens under another key."""
        statement = "update connection set blob = ? where name = ? and generation = ? and blob is not null"
        return self._change(statement, blob, connection, generation)

    def records(self) -> list[Record]:
        """Every connection that was ever stored."""
        if not self._written():
            return []
        with self._open() as db:
            return [_record(row) for row in db.execute("select * from connection order by name")]

    def holder(self, connection: str) -> str | None:
        """Whether anybody holds the lock file; the kernel does not say who."""
        if not self._lock_file(connection).exists():
            return None
        try:
            with held(self._lock_file(connection), 0):
                return None
        except RefreshUnavailable:
            return "a process of this host"

    def permissions(self) -> str:
        """The file's mode as four octal digits, or `-` when there is no file yet."""
        try:
            return f"{stat.S_IMODE(self.path.stat().st_mode):04o}"
        except OSError:
            return "-"

    def _lock_file(self, connection: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{hashlib.sha256(connection.encode()).hexdigest()[:12]}.lock")

    def _written(self) -> bool:
        # An empty file is a store that somebody is creating, or was killed creating.
        return check_private_file(self.path, "token store") and self.path.stat().st_size > 0

    def _create(self) -> None:
        make_private_folder(self.path.parent)
        refuse_network_file_system(self.path, file_system_of(self.path.parent))
        if not check_private_file(self.path, "token store"):
            try:
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600))
            except FileExistsError:
                pass  # another process was first
            except OSError as error:
                raise TokenStoreUnavailable(
                    f"The token store {self.path} cannot be created: {error.strerror}; check the disk, its space and permissions."
                ) from None
        with self._open(write=True, creating=True) as db:
            if db.execute("pragma application_id").fetchone()[0] == 0:
                db.execute(_TABLE)
                db.execute(f"pragma application_id = {_APPLICATION_ID}")
                db.execute(f"pragma user_version = {_VERSION}")

    def _change(self, statement: str, *values: object) -> bool:
        if not self._written():
            return False
        with self._open(write=True) as db:
            return db.execute(statement, values).rowcount == 1

    @contextlib.contextmanager
    def _open(self, *, write: bool = False, creating: bool = False) -> Iterator[sqlite3.Connection]:
        try:
            # mode=rw: a file that vanished in between must not come back empty.
            db = sqlite3.connect(f"{self.path.as_uri()}?mode=rw", uri=True, timeout=self._patience, isolation_level=None)
            db.row_factory = sqlite3.Row
            with contextlib.closing(db):
                self._check(db, creating=creating)
                if not write:
                    yield db
                    return
                db.execute("begin immediate")
                try:
                    if not creating:
                        _add_later_columns(db)
                    yield db
                    db.execute("commit")
                except BaseException:
                    if db.in_transaction:
                        db.execute("rollback")
                    raise
        except sqlite3.Error as error:
            raise self._translated(error) from None

    def _check(self, db: sqlite3.Connection, *, creating: bool) -> None:
        for pragma in ("journal_mode = delete", "synchronous = extra", "secure_delete = on", "trusted_schema = off"):
            db.execute(f"pragma {pragma}").fetchall()
        ours = db.execute("pragma application_id").fetchone()[0]
        empty = creating and ours == 0 and db.execute("select count(*) from sqlite_schema").fetchone()[0] == 0
        if ours != _APPLICATION_ID and not empty:
            raise self._corrupt("it is an SQLite file that pleo-connector did not write")
        version = db.execute("pragma user_version").fetchone()[0]
        if not empty and version != _VERSION:
            raise self._corrupt(f"it has version {version}, and this pleo-connector reads version {_VERSION}")

    def _translated(self, error: sqlite3.Error) -> TokenStoreCorrupt | TokenStoreUnavailable:
        # OperationalError is what passes (busy, full, read-only); other DatabaseErrors mean the bytes are wrong.
        if isinstance(error, sqlite3.OperationalError) and "no such table" not in str(error) and "malformed" not in str(error):
            return TokenStoreUnavailable(
                f"The token store {self.path} cannot be used now: {error}; check the disk, its space and permissions."
            )
        with contextlib.suppress(OSError), self.path.open("rb") as file:
            if file.read(_DUCKDB_MARK.stop)[_DUCKDB_MARK] == b"DUCK":
                return TokenStoreCorrupt(
                    f"{self.path} is a DuckDB file, which cannot keep tokens; it was left as it is. "
                    "Set PLEO_TOKEN_STORE to another file, or to postgresql://... for several hosts."
                )
        return self._corrupt(str(error))

    def _corrupt(self, why: str) -> TokenStoreCorrupt:
        return TokenStoreCorrupt(
            f"The token store {self.path} is damaged: {why}. It was left as it is; "
            "restore it, or move it away and run `pleo-connector connect`."
        )


def _add_later_columns(db: sqlite3.Connection) -> None:
    there = {row["name"] for row in db.execute("select name from pragma_table_info('connection')")}
    for column in _LATER_COLUMNS:
        if there and column not in there:
            db.execute(f"alter table connection add column {column} text")


def _record(row: sqlite3.Row) -> Record:
    later = {column: row[column] for column in _LATER_COLUMNS if column in row.keys()}  # noqa: SIM118 - a Row yields values
    intent = None
    if row["intent_id"] is not None:
        intent = Intent(
            id=row["intent_id"],
            host=row["intent_host"],
            pid=row["intent_pid"],
            started=row["intent_started"],
            deadline=row["intent_deadline"],
            access_dead=bool(row["intent_access_dead"]),
            last_retry=bool(row["intent_last_retry"]),
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
        **later,
    )
