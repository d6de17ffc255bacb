"""The operator's sessions, and how often somebody may guess."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import secrets

from itsdangerous import BadSignature, TimestampSigner

from pleo_connector.auth.redaction import REDACTOR
from pleo_connector.portal.facts import Facts, digest
from pleo_connector.portal.visitors import derived

LIFETIME = 8 * 3600.0
_KIND, _GUESS = "session", "guess"
_GUESSES = 5
GUESS_SPAN = 900.0
"""Seconds in which an address may guess wrong five times."""


class Sessions:
    """Sessions in the facts, so that logging out ends one everywhere; a new password ends all."""

    def __init__(self, facts: Facts, secret: str, password: str) -> None:
        self._facts = facts
        self._password = password
        self._fingerprint = hmac.new(derived(secret, "password"), password.encode(), hashlib.sha256).hexdigest()
        self._signer = TimestampSigner(secret, salt="pleo-connector operator", key_derivation="hmac", digest_method=hashlib.sha256)

    def may_guess(self, address: str) -> bool:
        """Count one guess, before it is compared: many at once do not slip through."""
        return self._facts.count(_GUESS, _network(address), GUESS_SPAN) <= _GUESSES

    def log_in(self, password: str, address: str) -> str | None:
        """A cookie for a new session, always a new value; None when the password is wrong."""
        if not hmac.compare_digest(digest(password), digest(self._password)):
            return None
        self._facts.take(_GUESS, _network(address))
        identity = secrets.token_urlsafe(32)
        self._facts.put(_KIND, digest(identity), self._fingerprint, LIFETIME)
        cookie = self._signer.sign(identity).decode()
        REDACTOR.register(cookie, identity, passing=True)
        return cookie

    def of(self, cookie: str) -> str | None:
        """The session of a cookie, while it lasts."""
        try:
            identity = self._signer.unsign(cookie, max_age=int(LIFETIME)).decode()
        except (BadSignature, ValueError):
            return None
        kept = self._facts.get(_KIND, digest(identity))
        return identity if kept is not None and hmac.compare_digest(kept, self._fingerprint) else None

    def log_out(self, identity: str) -> None:
        """End a session in every process."""
        self._facts.take(_KIND, digest(identity))


def _network(address: str) -> str:
    """Who guesses: an address, or the /64 network that an IPv6 host chooses its own from."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else address  # noqa: PLR2004
