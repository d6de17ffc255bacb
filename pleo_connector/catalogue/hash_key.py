"""The key under which personal data are hashed: HMAC-SHA-256, so that names cannot be guessed without the key."""

from __future__ import annotations

import hmac
import re

from pleo_connector.errors import ConfigurationError

LEAST_BYTES = 32

_HASHED = re.compile(rb"hmac:[0-9a-f]{64}")


class HashKey:
    """A key; it shows itself nowhere. ConfigurationError for one that is too short."""

    __slots__ = ("_key",)

    def __init__(self, key: str) -> None:
        self._key = key.encode()
        if len(self._key) < LEAST_BYTES:
            raise ConfigurationError(
                f"PLEO_HASH_KEY must have at least {LEAST_BYTES} bytes, and this one has {len(self._key)}; "
                "make one with: python -c 'import secrets; print(secrets.token_urlsafe(48))'."
            )

    def __repr__(self) -> str:
        return "HashKey(***)"

    def __reduce__(self) -> str:
        raise TypeError("a key is not pickled")

    def of(self, value: bytes) -> str:
        """`hmac:` and 64 digits; the same value gives the same text. What is hashed already stays as it is."""
        if _HASHED.fullmatch(value):
            return value.decode()
        return "hmac:" + hmac.digest(self._key, value, "sha256").hex()
