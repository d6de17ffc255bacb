"""Pleo's OAuth rules, without HTTP: who gets a code, a token pair, a rotation, a refusal.

The rules that matter to a client:
  - PKCE with S256 always; redirect URIs match exactly; a code works once, and not for long.
  - A refresh gives a new pair and voids every earlier token of the grant at once, the access token too.
  - A refresh token that was rotated away, or has expired, voids the whole grant when it is used.
"""

from __future__ import annotations

import base64
import hashlib
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field

from pleo_connector.sandbox.counters import Counters

_VERIFIER = re.compile(r"[A-Za-z0-9._~-]{43,128}")
_CHALLENGE = re.compile(r"[A-Za-z0-9_-]{43}")


class OAuthRefusal(Exception):  # it is an answer of the protocol, not a failure
    """A refusal in the words of RFC 6749: `error`, `error_description` and the HTTP status."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(f"{error}: {description}")
        self.error, self.description, self.status = error, description, status


@dataclass(slots=True)
class Consent:
    """What the user is asked, and what a code stands for."""

    client_id: str
    redirect_uri: str
    scopes: tuple[str, ...]
    subject: str
    state: str = field(repr=False)
    challenge: str = field(repr=False)


@dataclass(slots=True)
class Grant:
    """One authorisation and its current pair; tokens never show in a repr."""

    client_id: str
    scopes: tuple[str, ...]
    subject: str
    identity: str = field(default_factory=lambda: secrets.token_hex(8))
    access_token: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    issued_at: float = 0.0
    access_expires: float = 0.0
    refresh_expires: float = 0.0
    revoked: bool = False


@dataclass(frozen=True, slots=True)
class Lifetimes:
    """Seconds that each thing lives."""

    access: float
    refresh: float
    code: float


class OAuthRules:
    """All grants of one sandbox. Not thread-safe: callers hold the sandbox's lock."""

    def __init__(self, lifetimes: Lifetimes, counters: Counters, clock: Callable[[], float]) -> None:
        self.lifetimes = lifetimes
        self._counters = counters
        self._clock = clock
        self._asked: dict[str, Consent] = {}
        self._codes: dict[str, tuple[Consent, float]] = {}
        self._spent_codes: dict[str, Grant | None] = {}
        self._grants: list[Grant] = []
        self._issued: dict[str, Grant] = {}

    # --- consent -------------------------------------------------------------------------------

    def ask(self, consent: Consent) -> str:
        """Note a consent page that was shown; returns its one-time ticket."""
        ticket = secrets.token_urlsafe(24)
        self._asked[ticket] = consent
        return ticket

    def answer(self, ticket: str) -> Consent | None:
        """The consent behind a ticket, once."""
        return self._asked.pop(ticket, None)

    def code_for(self, consent: Consent) -> str:
        """A code for a consent that was given."""
        code = secrets.token_urlsafe(24)
        self._codes[code] = (consent, self._clock() + self.lifetimes.code)
        return code

    # --- tokens --------------------------------------------------------------------------------

    def exchange(self, client_id: str, code: str, redirect_uri: str, verifier: str) -> Grant:
        """A new grant for a code. Any attempt spends the code; a second attempt voids what the first one got."""
        if code in self._spent_codes:
            earlier = self._spent_codes[code]
            if earlier is not None:
                self._void(earlier)
            raise OAuthRefusal("invalid_grant", "The authorization code was already used.")
        if code not in self._codes:
            raise OAuthRefusal("invalid_grant", "The authorization code is unknown.")
        consent, expires = self._codes.pop(code)
        self._spent_codes[code] = None
        if self._clock() >= expires:
            raise OAuthRefusal("invalid_grant", "The authorization code has expired.")
        if consent.client_id != client_id:
            raise OAuthRefusal("invalid_grant", "The authorization code was issued to another client.")
        if consent.redirect_uri != redirect_uri:
            raise OAuthRefusal("invalid_grant", "redirect_uri differs from the authorization request.")
        if not _VERIFIER.fullmatch(verifier):
            raise OAuthRefusal("invalid_request", "code_verifier must be 43 to 128 characters of A-Z a-z 0-9 - . _ ~.")
        if not secrets.compare_digest(challenge_of(verifier), consent.challenge):
            raise OAuthRefusal("invalid_grant", "code_verifier does not match code_challenge.")
        grant = Grant(client_id, consent.scopes, consent.subject)
        self._grants.append(grant)
        self._spent_codes[code] = grant
        self._issue(grant)
        self._counters.logins += 1
        return grant

    def refresh(self, client_id: str, refresh_token: str, scopes: tuple[str, ...] | None) -> Grant:
        """The grant with a new pair; misuse of an old token voids it."""
        grant = self._issued.get(refresh_token)
        if grant is None or grant.client_id != client_id or refresh_token == grant.access_token:
            raise OAuthRefusal("invalid_grant", "The refresh token is unknown.")
        if grant.revoked:
            raise OAuthRefusal("invalid_grant", "The authorization was revoked.")
        if refresh_token != grant.refresh_token:
            self._counters.reuse += 1
            self._void(grant)
            raise OAuthRefusal("invalid_grant", "The refresh token was already used; the authorization is revoked.")
        if self._clock() >= grant.refresh_expires:
            self._counters.reuse += 1
            self._void(grant)
            raise OAuthRefusal("invalid_grant", "The refresh token has expired; the authorization is revoked.")
        if scopes is not None and not set(scopes) <= set(grant.scopes):
            raise OAuthRefusal("invalid_scope", "The scope exceeds what was granted.")
        self._counters.late_refreshes += self._clock() >= grant.access_expires
        self._issue(grant)
        self._counters.refreshes += 1
        return grant

    def grant_of_access(self, token: str) -> Grant | None:
        """The grant whose current, unexpired access token this is."""
        grant = self._issued.get(token)
        if grant is None or grant.revoked or token != grant.access_token or self._clock() >= grant.access_expires:
            return None
        return grant

    def inspect(self, client_id: str, token: str) -> tuple[Grant, float] | None:
        """Grant and expiry of a token that is live and this client's own; looking at a token never voids anything."""
        grant = self._issued.get(token)
        if grant is None or grant.client_id != client_id or grant.revoked:
            return None
        expires = {grant.access_token: grant.access_expires, grant.refresh_token: grant.refresh_expires}.get(token)
        if expires is None or self._clock() >= expires:
            return None
        return grant, expires

    def expires_in(self) -> int:
        """Whole seconds that a new access token lives."""
        return max(1, int(self.lifetimes.access))

    # --- from outside --------------------------------------------------------------------------

    def revoke_all(self) -> int:
        """The user withdraws: every grant is void. Returns how many were live."""
        live = [grant for grant in self._grants if not grant.revoked]
        for grant in live:
            self._void(grant)
        return len(live)

    def revoke(self, client_id: str, subject: str) -> None:
        """The app is uninstalled for one customer: all its grants there are void."""
        for grant in self._grants:
            if (grant.client_id, grant.subject) == (client_id, subject):
                self._void(grant)

    def expire_access_tokens(self) -> int:
        """Every access token is over; refresh tokens still work."""
        live = [grant for grant in self._grants if self.grant_of_access(grant.access_token) is grant]
        for grant in live:
            grant.access_expires = self._clock()
        return len(live)

    def live_tokens(self) -> int:
        """How many access tokens the API takes at this moment."""
        return sum(self.grant_of_access(grant.access_token) is grant for grant in self._grants)

    def live_grants(self) -> int:
        """How many grants can still be refreshed."""
        return sum(not grant.revoked and self._clock() < grant.refresh_expires for grant in self._grants)

    def _issue(self, grant: Grant) -> None:
        now = self._clock()
        grant.access_token, grant.refresh_token = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        grant.issued_at, grant.access_expires, grant.refresh_expires = now, now + self.lifetimes.access, now + self.lifetimes.refresh
        self._issued[grant.access_token] = self._issued[grant.refresh_token] = grant

    def _void(self, grant: Grant) -> None:
        if not grant.revoked:
            grant.revoked = True
            self._counters.revoked_grants += 1


def challenge_of(verifier: str) -> str:
    """BASE64URL(SHA256(verifier)) without padding."""
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def is_challenge(text: str) -> bool:
    """True for the shape of an S256 challenge."""
    return bool(_CHALLENGE.fullmatch(text))
