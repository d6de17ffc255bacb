"""Which browser is which: a random cookie for each, and the form keys that only its own pages hold."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets

_COOKIE_VALUE = re.compile(r"[A-Za-z0-9_-]{43}")


def derived(secret: str, purpose: str) -> bytes:
    """A key of 32 bytes for one purpose."""
    return hmac.digest(secret.encode(), f"pleo-connector portal {purpose}".encode(), "sha256")


class Visitors:
    """Browsers, known by a random value of 256 bits that never leaves their cookie."""

    def __init__(self, secret: str) -> None:
        self._key = derived(secret, "forms")

    @staticmethod
    def fresh() -> str:
        """A value for a browser that has none, or that must get another."""
        return secrets.token_urlsafe(32)

    @staticmethod
    def known(value: str) -> str | None:
        """The value of a cookie if it looks like one of ours."""
        return value if _COOKIE_VALUE.fullmatch(value) else None

    def form_key(self, holder: str, purpose: str) -> str:
        """What a form must bring back: another site can neither read nor guess it. `holder` is a visitor or a session."""
        return hmac.new(self._key, f"{purpose}\0{holder}".encode(), hashlib.sha256).hexdigest()

    def is_form_key(self, given: str, holder: str | None, purpose: str) -> bool:
        """Whether a form came from a page that this very browser was shown."""
        return holder is not None and hmac.compare_digest(given.encode(), self.form_key(holder, purpose).encode())
