"""The token store of one host: an SQLite file, and a lock file beside it that is never removed.

Rollback journal and `synchronous=EXTRA`, so what is committed survives a power cut. A connection
is opened per operation (0.2 ms): nothing is shared between threads or inherited by a fork. The
kernel drops the file lock when its process dies, so holding it proves that the owner of an open
intent is dead.
"""

from __future__ import annotations

import contextlib
import hashlib
import secrets
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from pleo_connector.auth.stores.file_lock import FileLockHandle, held
from pleo_connector.auth.stores.files import file_system_of, make_private_folder
from pleo_connector.auth.stores.protocol import Intent, Record, State
from pleo_connector.auth.stores.row import record_of
from pleo_connector.auth.stores.sqlite_file import PADDING, SqliteFile, take_room
from pleo_connector.auth.stores.sqlite_table import NO_INTENT
from pleo_connector.errors import RefreshUnavailable

_PATIENCE = 10.0


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
        self._host = host
        self._file = SqliteFile(self.path, file_system, patience)

    def read(self, connection: str) -> Record | None:
        """The record, or None when this connection was never stored (the file is then not created)."""
        if not self._file.written():
            return None
        with self._file.open() as db:
            row = db.execute("select * from connection where name = ?", (connection,)).fetchone()
        return None if row is None else record_of(dict(row))

    def prove_writable(self) -> None:
        """Write and take back as much as a login needs; where there is no store yet, in the folder that it would be made in."""
        self._file.prove_writable()

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
            PADDING,
            connection,
            generation,
            keep_journal=True,
            take=True,
        )

    def commit(self, connection: str, generation: int, intent_id: str, blob: bytes) -> bool:
        """Store both tokens in one write, if this intent is still the open one."""
        now = self._clock()
        return self._change(
            f"update connection set generation = generation + 1, state = 'active', blob = ?, reason = '', updated_at = ?, "
            f"refreshed_at = ?, lineage = coalesce(lineage, ?), host = ?, {NO_INTENT} "
            "where name = ? and generation = ? and state = 'refreshing' and intent_id = ?",
            blob,
            now,
            now,
            secrets.token_hex(8),
            self._host(),
            connection,
            generation,
            intent_id,
            keep_journal=True,
        )

    def rescue(self, connection: str, generation: int, blob: bytes) -> bool:
        """Store tokens whose owner had been taken for dead, if nothing newer was stored since."""
        now = self._clock()
        return self._change(
            f"update connection set generation = generation + 1, state = 'active', blob = ?, reason = '', updated_at = ?, "
            f"refreshed_at = ?, lineage = coalesce(lineage, ?), host = ?, {NO_INTENT} "
            "where name = ? and generation = ? and state = 'reauth_required'",
            blob,
            now,
            now,
            secrets.token_hex(8),
            self._host(),
            connection,
            generation,
            keep_journal=True,
        )

    def mark(self, connection: str, generation: int, state: State, reason: str, intent_id: str | None = None) -> bool:
        """Set state and reason, clear the intent."""
        return self._change(
            f"update connection set state = ?, reason = ?, updated_at = ?, {NO_INTENT} "
            "where name = ? and generation = ? and (? is null or intent_id = ?)",
            state.value,
            reason,
            self._clock(),
            connection,
            generation,
            intent_id,
            intent_id,
            keep_journal=True,
        )

    def replace(self, connection: str, blob: bytes) -> int:
        """Store the tokens of a new login; creates folder and file when missing."""
        self._file.create()
        now = self._clock()
        with self._file.open(write=True) as db:
            row = db.execute(
                "insert into connection (name, generation, state, blob, updated_at, refreshed_at, lineage, host) "
                "values (?, 1, 'active', ?, ?, ?, ?, ?) "
                "on conflict (name) do update set generation = generation + 1, state = 'active', blob = excluded.blob, reason = '', "
                "updated_at = excluded.updated_at, refreshed_at = excluded.refreshed_at, lineage = excluded.lineage, host = excluded.host, "
                f"{NO_INTENT} returning generation",
                (connection, blob, now, now, secrets.token_hex(8), self._host()),
            ).fetchone()
        return int(row["generation"])

    def delete(self, connection: str) -> None:
        """Forget the tokens; `secure_delete` overwrites them in the file."""
        if self._file.written():
            self._change(
                f"update connection set generation = generation + 1, state = 'disconnected', blob = null, reason = '', "
                f"updated_at = ?, {NO_INTENT} where name = ? and state <> 'disconnected'",
                self._clock(),
                connection,
            )

    def reseal(self, connection: str, generation: int, blob: bytes) -> bool:
        """Replace the blob by the same tokens under another key."""
        statement = "update connection set blob = ? where name = ? and generation = ? and blob is not null"
        return self._change(statement, blob, connection, generation)

    def records(self) -> list[Record]:
        """Every connection that was ever stored."""
        if not self._file.written():
            return []
        with self._file.open() as db:
            return [record_of(dict(row)) for row in db.execute("select * from connection order by name")]

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

    def _change(self, statement: str, *values: object, keep_journal: bool = False, take: bool = False) -> bool:
        if not self._file.written():
            return False
        with self._file.open(write=True, keep_journal=keep_journal) as db:
            if take:
                take_room(db)
            return db.execute(statement, values).rowcount == 1
