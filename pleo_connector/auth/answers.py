"""What can come of one request to the token endpoint, and the guard that sorts it.

Only two kinds of answer reach Authlib's parser: a complete pair of bearer tokens, and a proper
OAuth error. Its parser takes any JSON object for a token, so the rest must not get there.
"""

from __future__ import annotations

import email.utils
import json
import re
import time
from dataclasses import dataclass
from typing import Any

from pleo_connector.auth.secret import Secret
from pleo_connector.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Granted:
    """A new pair of tokens."""

    access: Secret
    refresh: Secret
    lifetime: float
    scope: str | None
    """As the server wrote it; None when it said nothing, which means "as asked"."""


@dataclass(frozen=True, slots=True)
class NotProcessed:
    """The request did not arrive, or was turned away before it was looked at: the tokens are as before."""

    why: str
    retry_after: float | None = None
    worth_retrying: bool = True
    setting: ConfigurationError | None = None
    """What a person has to put right first, where it is that."""


@dataclass(frozen=True, slots=True)
class Refused:
    """A proper OAuth error: the request was looked at, and nothing was rotated."""

    error: str


@dataclass(frozen=True, slots=True)
class Uncertain:
    """The request was sent and no usable answer came: the server may or may not have rotated."""

    why: str
    unavailable: bool = False
    """The answer says that the service is unavailable (503). It seldom hides a rotation, so it alone never means that the grant is lost."""
    retry_after: float | None = None


Answer = Granted | NotProcessed | Refused | Uncertain

GRANT_GONE = frozenset({"invalid_grant", "invalid_token", "invalid_refresh_token"})
"""Error codes for a grant that no longer exists. Pleo documents the first two."""
CLIENT_WRONG = frozenset({"invalid_client", "unauthorized_client"})
SCOPE_WRONG = frozenset({"invalid_scope", "insufficient_scope"})
REQUEST_WRONG = frozenset({"invalid_request", "unsupported_grant_type"})
_EXPLAINED = GRANT_GONE | CLIENT_WRONG | SCOPE_WRONG | REQUEST_WRONG

_TOO_EARLY = (425, 429)
_UNAVAILABLE = (408, 503)
_CHALLENGE = re.compile(r'\berror\s*=\s*"?([^\s",]+)')
_NOT_IN_A_CODE = re.compile(r"[^\x20-\x21\x23-\x5B\x5D-\x7E]")
_LONGEST_CODE = 60
_LONGEST_WAIT = 3600.0


class Unusable(Exception):
    """Carries NotProcessed or Uncertain out of Authlib's hook."""

    def __init__(self, outcome: NotProcessed | Uncertain) -> None:
        super().__init__(outcome.why)
        self.outcome = outcome


class Accepted:
    """A checked answer in the two attributes that Authlib's parser reads."""

    def __init__(self, status_code: int, content: dict[str, Any]) -> None:
        self.status_code = status_code
        self._content = content

    def json(self) -> dict[str, Any]:
        """The checked content."""
        return self._content


def accept(status: int, headers: dict[str, str], body: bytes) -> Accepted:
    """The answer if it is one of the two good kinds; Unusable for everything else.

    `headers` have lower-case names. No part of the body is ever put into a message.
    """
    wait = retry_after_seconds(headers.get("retry-after"))
    if status in _TOO_EARLY:
        raise Unusable(NotProcessed(f"Pleo answered {status}", wait))
    if status in _UNAVAILABLE:
        raise Unusable(Uncertain(f"Pleo answered {status}", unavailable=True, retry_after=wait))
    content = _object(body) or {}
    error = _error_code(content, headers)
    if status == 200:  # noqa: PLR2004 - the one status of RFC 6749 section 5.1
        problem = _why_not_tokens(content)
        if not problem:
            return Accepted(200, content)
        if error not in GRANT_GONE:
            raise Unusable(Uncertain(f"Pleo answered 200 {problem} ({len(body)} bytes)"))
    if error and (status in (400, 401, 403) or (status < 500 and error in _EXPLAINED)):  # noqa: PLR2004
        _raise_if_busy(status, error, wait)
        # Only the code: a description may hold characters on which Authlib's error class itself fails.
        return Accepted(status, {"error": error})
    if 400 <= status < 500 or 300 <= status < 400:  # noqa: PLR2004
        raise Unusable(NotProcessed(f"Pleo answered {status} without an OAuth error", worth_retrying=False))
    raise Unusable(Uncertain(f"Pleo answered {status}"))


def _error_code(content: dict[str, Any], headers: dict[str, str]) -> str:
    """The `error` of the body (RFC 6749), else of the header WWW-Authenticate (RFC 6750), in small letters, short and printable; empty where neither has one.

    A code that a standard explains is also taken where Pleo's other services put theirs: `{"type": "..."}`, `{"error": {"code": "..."}}`.
    """
    error = content.get("error")
    challenge = _CHALLENGE.search(headers.get("www-authenticate", ""))
    codes = _codes(error, challenge and challenge[1])
    nested = error if isinstance(error, dict) else content
    elsewhere = [code for code in _codes(nested.get("code"), nested.get("type")) if code in _EXPLAINED]
    return next(iter(codes + elsewhere), "")


def _codes(*found: Any) -> list[str]:
    texts = [each.strip().lower() for each in found if isinstance(each, str)]
    return [_NOT_IN_A_CODE.sub("?", text)[:_LONGEST_CODE] for text in texts if text]


def _raise_if_busy(status: int, error: str, wait: float | None) -> None:
    """Error codes that stand for 429, 503 and 500 where a server must answer 400."""
    why = f"Pleo answered {status} {error}"
    if error == "slow_down":
        raise Unusable(NotProcessed(why, wait))
    if error in ("temporarily_unavailable", "server_error"):
        raise Unusable(Uncertain(why, unavailable=error == "temporarily_unavailable", retry_after=wait))


def retry_after_seconds(value: str | None) -> float | None:
    """Seconds from a Retry-After header (a number or a date), None when absent or senseless; at most an hour."""
    if not value:
        return None
    try:
        seconds = float(value)
    except ValueError:
        try:
            seconds = email.utils.parsedate_to_datetime(value).timestamp() - time.time()
        except (TypeError, ValueError):
            return None
    return min(max(seconds, 0.0), _LONGEST_WAIT) if seconds == seconds else None  # noqa: PLR0124 - NaN


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _why_not_tokens(content: dict[str, Any]) -> str:
    if not content:
        return "without a JSON object"
    for name in ("access_token", "refresh_token"):
        if not isinstance(content.get(name), str) or not content[name]:
            return f"without {name}"
    kind = content.get("token_type", "bearer")  # Pleo's pages do not show token_type
    if not isinstance(kind, str) or kind.lower() != "bearer":
        return "with a token type other than bearer"
    return ""
