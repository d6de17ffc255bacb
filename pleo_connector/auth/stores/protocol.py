"""What a token store must do: keep one sealed record per connection, and one refresher at a time.

A new store is one file that passes `tests/auth/test_every_token_store.py`.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class State(StrEnum):
    """Where a connection is in its life."""

    ACTIVE = "active"
    REFRESHING = "refreshing"
    """Somebody wrote down that a refresh is about to be sent; its outcome is not known yet."""
    REAUTH_REQUIRED = "reauth_required"
    DISCONNECTED = "disconnected"


@dataclass(frozen=True, slots=True)
class Intent:
    """The durable note "I am about to send the refresh token", written before it is sent."""

    id: str
    host: str
    pid: int
    started: float
    """Seconds since the epoch, by the owner's clock."""
    deadline: float
    """After this moment the owner has given up, if it lives. It is `started` once Pleo has answered that it is unavailable."""
    access_dead: bool = False
    """The access token had been refused before: it can not tell whether the refresh went through."""
    last_retry: bool = False
    """The one retry that is allowed when nobody can tell whether the refresh went through."""

    @property
    def unavailable(self) -> bool:
        """Pleo answered 503: nobody waits for an answer any more, and the request is sent again once no server can be at work on it."""
        return self.deadline <= self.started


@dataclass(frozen=True, slots=True)
class Record:
    """One connection as stored. `generation` only grows, so a late commit never beats a newer login."""

    connection: str
    generation: int
    state: State
    blob: bytes | None
    """The sealed tokens; None once disconnected."""
    intent: Intent | None
    reason: str
    updated_at: float
    refreshed_at: float | None
    """When tokens last arrived, by login or refresh."""
    read_at: float | None = None
    """The store's own time when this was read, where it keeps the times; else they are this host's."""
    lineage: str | None = None
    """A random name of the login that these tokens go back to; None in rows from before logins had names."""
    host: str | None = None
    """The host that stored tokens last, where a store belongs to one host; None elsewhere, and where it is not known."""

    @property
    def stored_ago(self) -> float | None:
        """Seconds since tokens last arrived, by the store's own clock; None where it has none."""
        if self.read_at is None or self.refreshed_at is None:
            return None
        return max(0.0, self.read_at - self.refreshed_at)


class LockHandle(Protocol):
    """The refresh lock of one connection while it is held."""

    def still_held(self) -> bool:
        """False when the lock was lost (its file replaced, its session ended)."""
        ...


class TokenStore(Protocol):
    """Sealed tokens with compare-and-set, and a lock between processes.

    All methods may raise TokenStoreCorrupt (not ours; untouched) and TokenStoreUnavailable (busy,
    full, read-only, gone). What returns is durable.
    """

    lock_proves_owner_dead: bool
    """True when holding the lock proves that the owner of an open intent is dead (flock), not merely cut off."""

    def read(self, connection: str) -> Record | None:
        """The record, or None when this connection was never stored."""
        ...

    def prove_writable(self) -> None:
        """See that a login could be stored now, by a write that leaves no record; raises what that write would."""
        ...

    def lock(self, connection: str, timeout: float) -> AbstractContextManager[LockHandle]:
        """Hold the refresh lock; RefreshUnavailable after `timeout` seconds. Not re-entrant, one thread."""
        ...

    def begin(self, connection: str, generation: int, intent: Intent) -> bool:
        """Write the intent and state `refreshing`, if generation still is this one and state is `active`."""
        ...

    def commit(self, connection: str, generation: int, intent_id: str, blob: bytes) -> bool:
        """Store the new tokens as generation + 1, state `active`, if this intent is still the open one."""
        ...

    def rescue(self, connection: str, generation: int, blob: bytes) -> bool:
        """Store tokens whose owner had been taken for dead: if the state is `reauth_required`, and of this generation still."""
        ...

    def mark(self, connection: str, generation: int, state: State, reason: str, intent_id: str | None = None) -> bool:
        """Set state and reason and clear the intent, if generation still is this one (and so is the open intent, where given)."""
        ...

    def replace(self, connection: str, blob: bytes) -> int:
        """Store the tokens of a new login, under a new lineage, whatever was there; returns the new generation."""
        ...

    def delete(self, connection: str) -> None:
        """Forget the tokens: no blob, state `disconnected`, generation + 1. Nothing if never stored."""
        ...

    def reseal(self, connection: str, generation: int, blob: bytes) -> bool:
        """Replace the blob by the same tokens under another key, if generation still is this one and tokens are there."""
        ...

    def records(self) -> list[Record]:
        """The record of every connection that was ever stored, sorted by name; one question, however many there are."""
        ...

    def holder(self, connection: str) -> str | None:
        """Who holds the refresh lock now, as far as can be told; None when nobody does. May take the lock for a moment."""
        ...
