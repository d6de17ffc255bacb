"""One-time invitation links: signed, for one connection, and only while it is still kept them.

The facts hold one open invitation per connection. Using a link takes it out, making another replaces it, so
whatever is not there any more works no longer.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any
from urllib.parse import quote

from itsdangerous import BadSignature, SignatureExpired, TimestampSigner, URLSafeTimedSerializer

from pleo_connector.auth.redaction import REDACTOR
from pleo_connector.errors import ConfigurationError
from pleo_connector.portal.facts import Facts
from pleo_connector.portal.place import Place

PATH = "/invitation"
_KIND = "invitation"
_LONGEST_TOKEN = 512
_SPAN = re.compile(r"(\d{1,4})([mhd])")
_UNITS = {"m": 60.0, "h": 3600.0, "d": 86400.0}
_SHORTEST, _LONGEST = 300.0, 90 * 86400.0


class Unusable(Enum):
    """Why a link does not work."""

    FORGED = "not made here, or changed on the way"
    EXPIRED = "too old"
    SPENT = "used already, withdrawn, or replaced by a newer one"


@dataclass(frozen=True, slots=True)
class Invitation:
    """A link that works; `label` names the connection and may be empty."""

    label: str
    identity: str


class Invitations:
    """Makes and takes links; shared by all processes that share secret and facts."""

    def __init__(self, facts: Facts, secret: str, place: Place, *, clock: Callable[[], float] = time.time) -> None:
        self._facts = facts
        self._place = place
        # Over the clock that is given: itsdangerous has one of its own.
        signer: dict[str, Any] = {"key_derivation": "hmac", "digest_method": hashlib.sha256, "clock": clock}
        self._serializer = URLSafeTimedSerializer(secret, salt="pleo-connector invitation", signer=_Signer, signer_kwargs=signer)

    def make(self, label: str, seconds: float) -> str:
        """A link for one connection; those made for it before no longer work."""
        identity = secrets.token_urlsafe(16)
        text = str(self._serializer.dumps([label, identity, int(seconds)]))
        self._facts.put(_KIND, label, identity, seconds)
        REDACTOR.register(text, passing=True)
        return f"{self._place.url}{PATH}?token={quote(text)}"

    def look(self, token: str) -> Invitation | Unusable:
        """What a link is for. Looking uses nothing up: programs that scan mail look too."""
        REDACTOR.register(token, passing=True)
        if len(token) > _LONGEST_TOKEN:
            return Unusable.FORGED
        try:
            label, identity, seconds = self._serializer.loads(token)
            self._serializer.loads(token, max_age=seconds)
        except SignatureExpired:
            return Unusable.EXPIRED
        except (BadSignature, ValueError, TypeError):
            return Unusable.FORGED
        if self._facts.get(_KIND, label) != identity:
            return Unusable.SPENT
        return Invitation(label, identity)

    def use(self, token: str) -> Invitation | Unusable:
        """The same, once: of all that come with one link, in any process, the first."""
        found = self.look(token)
        if isinstance(found, Invitation) and self._facts.take(_KIND, found.label, found.identity) is None:
            return Unusable.SPENT
        return found

    def withdraw(self, label: str) -> None:
        """The open link of a connection no longer works."""
        self._facts.take(_KIND, label)

    def open(self) -> dict[str, float]:
        """Label to the time (seconds since the epoch) until which its unused link works."""
        return {kept.key: kept.until for kept in self._facts.all(_KIND)}


def seconds_of(text: str) -> float:
    """The seconds of a span such as 7d, 12h or 30m; ConfigurationError for anything else."""
    found = _SPAN.fullmatch(text.strip())
    seconds = int(found[1]) * _UNITS[found[2]] if found else 0.0
    if not _SHORTEST <= seconds <= _LONGEST:
        raise ConfigurationError(f"A link cannot be valid for {text!r}; write 5m to 90d, such as 12h or 7d.")
    return seconds


class _Signer(TimestampSigner):
    def __init__(self, *args: Any, clock: Callable[[], float] = time.time, **options: Any) -> None:
        super().__init__(*args, **options)
        self._clock = clock

    def get_timestamp(self) -> int:
        return int(self._clock())
