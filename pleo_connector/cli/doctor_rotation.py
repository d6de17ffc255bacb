"""Checks of `doctor` on the refreshing of tokens: when it last happened, and whether somebody is at it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from pleo_connector.cli.findings import Finding, fine, worth_a_look

if TYPE_CHECKING:
    from pleo_connector.auth import ConnectionStatus

IDLE_DAYS = 45
"""Pleo ends a grant that was not refreshed for some time, at least 60 days."""


def check_rotation(told: ConnectionStatus, now: datetime | None = None) -> Iterator[Finding]:
    """Last refresh and generation, an open refresh, and the lock; `now` is for tests."""
    when = now or datetime.now(UTC)
    if told.last_refresh is not None:
        days = (when - datetime.fromisoformat(told.last_refresh)).days
        found = f"{told.last_refresh}, {days} days ago; generation {told.generation}"
        if days >= IDLE_DAYS:
            advice = "run `pleo-connector refresh` or a sync: Pleo ends a grant that is idle for about 60 days"
            yield worth_a_look("last refresh", found, advice)
        else:
            yield fine("last refresh", found)
    if told.state == "refreshing" and told.lock_holder is None:
        yield worth_a_look(
            "refresh lock", f"nobody holds it, and {told.reason}", "the next request finds out what became of it; nothing to do"
        )
    else:
        yield fine("refresh lock", f"held by {told.lock_holder}" if told.lock_holder else "free")
