"""Logins under way: from the button until Pleo sends the browser back, in whichever process that arrives.

The state's digest is the key, the verifier is sealed with a key made from PLEO_PORTAL_SECRET, and both are bound to one
browser and to the authorisation server that was asked. Each works once.
"""

from __future__ import annotations

import base64
import hmac
import json
from dataclasses import dataclass
from enum import Enum
from typing import Any

from cryptography.fernet import Fernet, InvalidToken

from pleo_connector.auth.redaction import REDACTOR
from pleo_connector.auth.redirect import AuthorizationRequest
from pleo_connector.auth.secret import Secret
from pleo_connector.portal.facts import Facts, digest
from pleo_connector.portal.visitors import derived

LIFETIME = 1800.0
"""Seconds that a person may take at Pleo, and to try again after a failure."""
_KIND, _CLAIM, _OUTCOME = "attempt", "claim", "outcome"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One login, and the connection that it is for."""

    label: str
    scopes: str
    request: AuthorizationRequest


class NoAttempt(Enum):
    """Why a redirect is not taken."""

    UNKNOWN = "never begun here, too old, or answered already"
    ELSEWHERE = "begun in another browser"


class Attempts:
    """The logins of all processes that share secret and facts."""

    def __init__(self, facts: Facts, secret: str, issuer: str) -> None:
        """`issuer` is what the authorisation server calls itself; empty for its URL."""
        self._facts = facts
        self._issuer = issuer
        self._fernet = Fernet(base64.urlsafe_b64encode(derived(secret, "attempts")))

    def begin(self, label: str, visitor: str, *, auth_url: str, client_id: str, redirect_uri: str, scopes: str) -> str:
        """The address at Pleo to send this browser to; from now on it may answer, and try again if that fails."""
        request = AuthorizationRequest(auth_url, client_id, redirect_uri, scopes)
        state = request.state.reveal()
        REDACTOR.register(state, passing=True)
        content = [label, digest(visitor), auth_url, client_id, redirect_uri, scopes, request.verifier.reveal()]
        self._facts.put(_KIND, digest(state), self._fernet.encrypt(json.dumps(content).encode()).decode(), LIFETIME)
        self._facts.put(_CLAIM, digest(visitor), label, LIFETIME)
        return request.url

    def answered(self, state: str, visitor: str) -> Attempt | NoAttempt:
        """The login that a redirect answers, once; a redirect in another browser leaves it as it is."""
        REDACTOR.register(state, passing=True)
        sealed = self._facts.get(_KIND, digest(state))
        content = None if sealed is None else self._opened(sealed)
        if content is None:
            return NoAttempt.UNKNOWN
        label, owner, auth_url, client_id, redirect_uri, scopes, verifier = content
        if not hmac.compare_digest(owner, digest(visitor)):
            return NoAttempt.ELSEWHERE
        if self._facts.take(_KIND, digest(state)) is None:
            return NoAttempt.UNKNOWN
        request = AuthorizationRequest(
            auth_url, client_id, redirect_uri, scopes, issuer=self._issuer, state=Secret(state), verifier=Secret(verifier)
        )
        return Attempt(label, scopes, request)

    def _opened(self, sealed: str) -> list[str] | None:
        try:
            content: list[str] = json.loads(self._fernet.decrypt(sealed.encode(), ttl=int(LIFETIME)))
        except InvalidToken:
            return None
        return content

    def claimed(self, visitor: str) -> str | None:
        """The connection that this browser may try again for; once, because each try begins a new login."""
        return self._facts.take(_CLAIM, digest(visitor))

    def may_try_again(self, visitor: str) -> bool:
        """Whether `claimed` would give one."""
        return self._facts.get(_CLAIM, digest(visitor)) is not None

    def end(self, visitor: str) -> None:
        """The browser has connected, and may not do so again."""
        self._facts.take(_CLAIM, digest(visitor))

    def keep_outcome(self, visitor: str, outcome: dict[str, Any]) -> None:
        """What this browser is shown once it has left the address that holds the code."""
        self._facts.put(_OUTCOME, digest(visitor), json.dumps(outcome), LIFETIME)

    def outcome(self, visitor: str) -> dict[str, Any] | None:
        """The same, as often as it asks."""
        kept = self._facts.get(_OUTCOME, digest(visitor))
        return None if kept is None else json.loads(kept)
