"""Did the refresh go through? Two ways to ask that touch nothing.

Pleo rotates both tokens at once and kills the old pair, so the old pair's own state is the answer.
Sending the old refresh token again would also tell, and would cost the grant.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from pleo_connector.auth.access_probe import AccessProbe
from pleo_connector.auth.endpoint import TokenEndpoint
from pleo_connector.auth.stores.protocol import Intent
from pleo_connector.auth.token import TokenSet

_MARGIN = 2.0  # seconds before expiry from which a 401 may be mere expiry


class Verdict(Enum):
    """What became of a refresh whose answer is not known."""

    NOT_ROTATED = auto()
    ROTATED = auto()
    UNREACHABLE = auto()
    """Somebody could tell, and does not answer now."""
    NOBODY_KNOWS = auto()
    """No way to ask is left: the access token is dead anyway, and the server does not introspect."""


class Oracle:
    """Asks introspection first, then the API with the old access token where that can still tell."""

    def __init__(self, endpoint: TokenEndpoint, probe: AccessProbe, *, clock: Callable[[], float]) -> None:
        self._endpoint = endpoint
        self._probe = probe
        self._clock = clock

    def ask(self, tokens: TokenSet, intent: Intent) -> Verdict:
        """The verdict on `intent`, which was about replacing `tokens`."""
        answer = self._endpoint.introspect(tokens.refresh, "refresh_token")
        if answer and answer["active"]:
            return Verdict.NOT_ROTATED
        if not intent.access_dead and self._clock() < tokens.expires_at - _MARGIN:
            # A read confirms "inactive": a server says so too of a client that may no longer introspect.
            works = self._probe.works(tokens.access)
            if works is None:
                return Verdict.UNREACHABLE
            return Verdict.NOT_ROTATED if works else Verdict.ROTATED
        if not tokens.introspects_refresh:
            return Verdict.NOBODY_KNOWS
        # "Inactive" counts only from a server that was seen to know live refresh tokens.
        return Verdict.UNREACHABLE if answer is None else Verdict.ROTATED if answer else Verdict.NOBODY_KNOWS
