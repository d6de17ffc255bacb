"""What the portal's processes must agree on: links not yet used, logins under way, sessions, wrong guesses.

Small facts that live for a while, beside the token store. Nothing in here opens anything by itself: keys that are secrets are
kept as their digest, and a verifier is sealed. Facts that are lost make links and sessions invalid, and nothing worse.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact; `until` in seconds since the epoch."""

    key: str
    value: str
    until: float


class Facts(Protocol):
    """Facts by kind and key. Every method is atomic, and durable when it returns."""

    def put(self, kind: str, key: str, value: str, seconds: float) -> None:
        """Keep a fact for so many seconds, in place of an earlier one."""
        ...

    def get(self, kind: str, key: str) -> str | None:
        """The value, while it is kept."""
        ...

    def take(self, kind: str, key: str, value: str | None = None) -> str | None:
        """Remove a fact and return its value: of many callers only one gets it. With `value`, only if it is that."""
        ...

    def count(self, kind: str, key: str, seconds: float) -> int:
        """Add one to a count, and return it; it starts again `seconds` after its first."""
        ...

    def all(self, kind: str) -> list[Fact]:
        """Everything of a kind that is kept, by key."""
        ...


def digest(secret: str) -> str:
    """What a secret is kept as."""
    return hashlib.sha256(secret.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class Statements:
    """The SQL of the facts, for one dialect."""

    create: str
    put: str
    get: str
    take: str
    count: str
    all: str
    sweep: str


def statements(table: str, now: str, parameter: Callable[[str], str]) -> Statements:
    """`now` gives seconds since the epoch; `parameter` writes a named one."""

    def written(sql: str) -> str:
        return re.sub(r":(\w+)", lambda found: now if found[1] == "now" else parameter(found[1]), sql.replace("TABLE", table))

    kept = "kind = :kind and key = :key and expires_at > :now"
    insert = "insert into TABLE as t (kind, key, value, tries, expires_at) values (:kind, :key, :value, :tries, :now + :seconds)"
    again = f"{insert} on conflict (kind, key) do update set"
    return Statements(
        create=f"create table if not exists {table} (kind text not null, key text not null, value text not null, "
        "tries integer not null, expires_at double precision not null, primary key (kind, key))",
        put=written(f"{again} value = excluded.value, tries = excluded.tries, expires_at = excluded.expires_at"),
        get=written(f"select value from TABLE where {kept}"),
        take=written(f"delete from TABLE where {kept} and (cast(:value as text) is null or value = cast(:value as text)) returning value"),
        count=written(
            f"{again} tries = case when t.expires_at > :now then t.tries + 1 else 1 end, "
            "expires_at = case when t.expires_at > :now then t.expires_at else excluded.expires_at end returning tries"
        ),
        all=written("select key, value, expires_at from TABLE where kind = :kind and expires_at > :now order by key"),
        sweep=written("delete from TABLE where expires_at <= :now"),
    )
