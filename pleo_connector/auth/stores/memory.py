"""A token store in memory, for tests and for one process that needs no second run."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from pleo_connector.auth.stores.protocol import Intent, Record, State
from pleo_connector.errors import RefreshUnavailable


class _Held:
    def still_held(self) -> bool:
        return True


class MemoryTokenStore:
    """Keeps records in a dict; threads of one process only."""

    lock_proves_owner_dead = True

    def __init__(self, *, clock: Callable[[], float] = time.time) -> None:
        self._clock = clock
        self._records: dict[str, Record] = {}
        self._guard = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}

    def read(self, connection: str) -> Record | None:
        """The record, or None when never stored."""
        with self._guard:
            return self._records.get(connection)

    def prove_writable(self) -> None:
        """Memory always is."""

    @contextmanager
    def lock(self, connection: str, timeout: float) -> Iterator[_Held]:
        """Hold the lock of one connection; RefreshUnavailable after `timeout` seconds."""
        with self._guard:
            lock = self._locks.setdefault(connection, threading.Lock())
        if not lock.acquire(timeout=timeout):
            raise RefreshUnavailable(f"Another thread holds the token lock of {connection} for longer than {timeout:g} s; try again.")
        try:
            yield _Held()
        finally:
            lock.release()

    def begin(self, connection: str, generation: int, intent: Intent) -> bool:
        """Open the intent if the record is active and of this generation."""
        with self._guard:
            record = self._records.get(connection)
            if record is None or record.generation != generation or record.state is not State.ACTIVE:
                return False
            self._records[connection] = replace(record, state=State.REFRESHING, intent=intent, updated_at=self._clock())
            return True

    def commit(self, connection: str, generation: int, intent_id: str, blob: bytes) -> bool:
        """Store new tokens if this intent is the open one."""
        with self._guard:
            record = self._records.get(connection)
            if record is None or record.generation != generation or record.intent is None or record.intent.id != intent_id:
                return False
            now = self._clock()
            self._records[connection] = Record(connection, generation + 1, State.ACTIVE, blob, None, "", now, now, lineage=record.lineage)
            return True

    def rescue(self, connection: str, generation: int, blob: bytes) -> bool:
        """Store tokens whose owner had been taken for dead, if nothing newer was stored since."""
        with self._guard:
            record = self._records.get(connection)
            if record is None or record.generation != generation or record.state is not State.REAUTH_REQUIRED:
                return False
            now = self._clock()
            self._records[connection] = Record(connection, generation + 1, State.ACTIVE, blob, None, "", now, now, lineage=record.lineage)
            return True

    def mark(self, connection: str, generation: int, state: State, reason: str, intent_id: str | None = None) -> bool:
        """Set state and reason, clear the intent, if of this generation."""
        with self._guard:
            record = self._records.get(connection)
            if record is None or record.generation != generation:
                return False
            if intent_id is not None and (record.intent is None or record.intent.id != intent_id):
                return False
            self._records[connection] = replace(record, state=state, reason=reason, intent=None, updated_at=self._clock())
            return True

    def replace(self, connection: str, blob: bytes) -> int:
        """Store the tokens of a new login."""
        with self._guard:
            before = self._records.get(connection)
            generation = (before.generation if before else 0) + 1
            now = self._clock()
            lineage = secrets.token_hex(8)
            self._records[connection] = Record(connection, generation, State.ACTIVE, blob, None, "", now, now, lineage=lineage)
            return generation

    def delete(self, connection: str) -> None:
        """Forget the tokens, keep the generation."""
        with self._guard:
            record = self._records.get(connection)
            if record is not None and record.state is not State.DISCONNECTED:
                self._records[connection] = replace(
                    record,
                    generation=record.generation + 1,
                    state=State.DISCONNECTED,
                    blob=None,
                    intent=None,
                    reason="",
                    updated_at=self._clock(),
                )

    def reseal(self, connection: str, generation: int, blob: bytes) -> bool:
        """Replace the blob."""
        with self._guard:
            record = self._records.get(connection)
            if record is None or record.generation != generation or record.blob is None:
                return False
            self._records[connection] = replace(record, blob=blob)
            return True

    def records(self) -> list[Record]:
        """Every connection."""
        with self._guard:
            return [self._records[name] for name in sorted(self._records)]

    def holder(self, connection: str) -> str | None:
        """Who holds the lock."""
        with self._guard:
            lock = self._locks.get(connection)
        return "a thread of this process" if lock is not None and lock.locked() else None
