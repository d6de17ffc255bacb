"""Sealing tokens: Fernet keys, and what the sealed content is bound to.

Fernet has no associated data, so connection, issuer and client are inside the sealed text and
checked on opening: a row copied from another connection does not open as this one's.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from pleo_connector.auth.advice import how_to_begin_anew, how_to_connect
from pleo_connector.auth.redaction import REDACTOR
from pleo_connector.auth.secret import Secret
from pleo_connector.auth.token import TokenSet
from pleo_connector.errors import ConfigurationError, ReauthRequired, TokenStoreCorrupt, WrongKey

_CONTENT_VERSION = 1
MAKE_ONE = 'as made by `python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"`'


@dataclass(frozen=True, slots=True)
class Binding:
    """What tokens belong to; `issuer` is the authorisation server's URL."""

    connection: str
    issuer: str
    client_id: str


class KeyRing:
    """The keys that seal and open tokens: the first seals, all open."""

    def __init__(self, keys: Sequence[Secret], origin: str) -> None:
        """`keys` are urlsafe-base64 Fernet keys; `origin` says where they come from, for messages."""
        if not keys:
            raise ConfigurationError(f"{origin} holds no key.")
        try:
            fernets = [Fernet(key.reveal()) for key in keys]
        except ValueError:
            raise ConfigurationError(
                f"{origin} holds something that is not a Fernet key; a key is 32 random bytes in URL-safe base64, {MAKE_ONE}."
            ) from None
        REDACTOR.register(*keys)
        self.origin = origin
        self.count = len(fernets)
        self._fernet = MultiFernet(fernets)
        self._primary = base64.urlsafe_b64decode(keys[0].reveal())

    def __reduce__(self) -> str:
        raise TypeError("keys are not pickled")

    @property
    def key_id(self) -> str:
        """Eight hex digits that name the sealing key and tell nothing about it."""
        return hashlib.sha256(b"pleo-connector key id\0" + self._primary).hexdigest()[:8]

    def fingerprint(self, secret: Secret) -> str:
        """Eight hex digits that name a token in logs: the same in every process with this key."""
        return hmac.new(self._primary, b"fingerprint\0" + secret.reveal().encode(), hashlib.sha256).hexdigest()[:8]

    def seal(self, tokens: TokenSet, binding: Binding) -> bytes:
        """The sealed bytes of a pair of tokens."""
        REDACTOR.register(tokens.access, tokens.refresh, passing=True, of=binding.connection)
        content = {
            "version": _CONTENT_VERSION,
            "connection": binding.connection,
            "issuer": binding.issuer,
            "client_id": binding.client_id,
            "tokens": tokens.to_json(),
        }
        return self._fernet.encrypt(json.dumps(content).encode())

    def open(self, blob: bytes, binding: Binding) -> TokenSet:
        """The tokens; WrongKey, TokenStoreCorrupt, or ReauthRequired when another server issued them."""
        content = self.check(blob, binding)
        try:
            belongs = (content["connection"], content["client_id"])
            issuer, tokens = content["issuer"], TokenSet.from_json(content["tokens"])
        except (KeyError, TypeError, ValueError):
            raise TokenStoreCorrupt(
                f"The stored tokens of {binding.connection} are not in a form this version knows; nothing was changed."
            ) from None
        if belongs != (binding.connection, binding.client_id):
            raise TokenStoreCorrupt(
                f"The tokens stored for {binding.connection} belong to another connection; nothing was changed. "
                f"To log in again, {how_to_connect(binding.connection)}."
            )
        REDACTOR.register(tokens.access, tokens.refresh, passing=True, of=binding.connection)
        if issuer != binding.issuer:
            raise ReauthRequired(
                f"The stored tokens of {binding.connection} were issued by {issuer}, and PLEO_AUTH_URL is now {binding.issuer}; "
                f"set it back, or {how_to_connect(binding.connection)}."
            )
        return tokens

    def check(self, blob: bytes, binding: Binding) -> Any:
        """The content in clear, whatever it is; WrongKey when no key here opens it."""
        return json.loads(self._decrypted(blob, binding.connection))

    def seals(self, blob: bytes) -> bool:
        """Whether the first key sealed this."""
        try:
            Fernet(base64.urlsafe_b64encode(self._primary)).decrypt(blob)
        except InvalidToken:
            return False
        return True

    def reseal(self, blob: bytes, connection: str) -> bytes:
        """The same content sealed with the first key; WrongKey when no key here opens it."""
        return self._fernet.encrypt(self._decrypted(blob, connection))

    def _decrypted(self, blob: bytes, connection: str) -> bytes:
        try:
            return self._fernet.decrypt(blob)
        except InvalidToken:
            raise WrongKey(
                f"The stored tokens of {connection} do not open with the key from {self.origin}; they were left as they are. "
                f"Set PLEO_TOKEN_KEYS to the key they were sealed with; if it is lost, {how_to_begin_anew(connection)}."
            ) from None
