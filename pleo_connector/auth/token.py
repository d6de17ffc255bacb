"""A pair of tokens and when it is time to replace it."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

from pleo_connector.auth.secret import Secret

DEFAULT_LIFETIME = 300.0
_LONGEST = 366 * 86400.0  # an access token said to live longer is a mistake (milliseconds, say)

_log = logging.getLogger(__name__)
_warned: set[str] = set()


@dataclass(frozen=True, slots=True)
class TokenSet:
    """What one answer of the token endpoint gave; times are seconds since the epoch, by this host's clock.

    The same tokens seen by another clock are equal.
    """

    access: Secret
    refresh: Secret
    issued_at: float = field(compare=False)
    """When the request that brought these was STARTED, so expiry is never late."""
    lifetime: float
    scope: str = ""
    introspects_refresh: bool = False
    """True when the server was seen to answer `active` for a live refresh token of this grant."""
    took: float = 0.0
    """Seconds from that request's start until these were ready to be stored."""

    def aged(self, stored_ago: float | None, now: float) -> Self:
        """These as a host sees them whose clock says `now`, where the store tells by its own clock how long ago they arrived.

        Without that (None, unchanged), hosts whose clocks differ by more than a token's life would each take the other's
        tokens for dead, and refresh in turns.
        """
        return self if stored_ago is None else replace(self, issued_at=now - stored_ago - self.took)

    @property
    def expires_at(self) -> float:
        """When the access token stops working, by this host's clock."""
        return self.issued_at + self.lifetime

    @property
    def leeway(self) -> float:
        """Seconds before expiry at which a refresh is due.

        The same in every process that shares a store: a process that refreshed earlier than the
        others would kill the access token that they still trust.
        """
        return min(max(15.0, 0.1 * self.lifetime), 0.5 * self.lifetime)

    def is_due(self, now: float) -> bool:
        """True when it is time to refresh."""
        # A clock set back must not keep a dead token alive for longer than its life.
        return now >= self.expires_at - self.leeway or now < self.issued_at - self.lifetime

    def has_expired(self, now: float) -> bool:
        """True when the access token no longer works, as far as this host's clock can tell."""
        return now >= self.expires_at

    def to_json(self) -> dict[str, Any]:
        """The content in clear, for sealing only."""
        return {
            "access": self.access.reveal(),
            "refresh": self.refresh.reveal(),
            "issued_at": self.issued_at,
            "lifetime": self.lifetime,
            "scope": self.scope,
            "introspects_refresh": self.introspects_refresh,
            "took": self.took,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """The reverse of `to_json`; KeyError, TypeError or ValueError when it is something else."""
        return cls(
            access=Secret(str(content["access"])),
            refresh=Secret(str(content["refresh"])),
            issued_at=float(content["issued_at"]),
            lifetime=float(content["lifetime"]),
            scope=str(content["scope"]),
            introspects_refresh=bool(content["introspects_refresh"]),
            took=float(content.get("took", 0.0)),  # tokens from before it was noted have none
        )


def lifetime_from(expires_in: object) -> float:
    """Seconds from an `expires_in`, whatever the server put there; 300 s when it makes no sense, warned once."""
    try:
        seconds = float(expires_in) if isinstance(expires_in, int | float | str) and not isinstance(expires_in, bool) else math.nan
    except ValueError:
        seconds = math.nan
    if 0 < seconds <= _LONGEST:
        return seconds
    kind = "no" if expires_in is None else "an unusable"
    if kind not in _warned:
        _warned.add(kind)
        _log.warning("Pleo's token answer has %s expires_in; the access token is taken to live %d s.", kind, DEFAULT_LIFETIME)
    return DEFAULT_LIFETIME
