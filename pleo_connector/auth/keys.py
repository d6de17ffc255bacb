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
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

from pleo_connector.auth.redaction import REDACTOR
from pleo_connector.auth.secret import Secret
from pleo_connector.auth.stores.files import check_private_file, make_private_folder, write_private_file
from pleo_connector.auth.token import TokenSet
from pleo_connector.errors import ConfigurationError, ReauthRequired, TokenStoreCorrupt, WrongKey

_CONTENT_VERSION = 1
_MAKE = 'as made by `python -c "from cryptography.fernet import Fernet; print(Fernet.generate_key().decode())"`'


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
                f"{origin} holds something that is not a Fernet key; a key is 32 random bytes in URL-safe base64, {_MAKE}."
            ) from None
        REDACTOR.register(*keys)
        self.origin = origin
        self._fernet = MultiFernet(fernets)
        self._primary = base64.urlsafe_b64decode(keys[0].reveal())

    @property
    def key_id(self) -> str:
        """Eight hex digits that name the sealing key and tell nothing about it."""
        return hashlib.sha256(b"pleo-connector key id\0" + self._primary).hexdigest()[:8]

    def fingerprint(self, secret: Secret) -> str:
        """Eight hex digits that name a token in logs: the same in every process with this key."""
        return hmac.new(self._primary, b"fingerprint\0" + secret.reveal().encode(), hashlib.sha256).hexdigest()[:8]

    def seal(self, tokens: TokenSet, binding: Binding) -> bytes:
        """The sealed bytes of a pair of tokens."""
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
                "Run `pleo-connector connect` to log in again."
            )
        REDACTOR.register(tokens.access, tokens.refresh, passing=True)
        if issuer != binding.issuer:
            raise ReauthRequired(
                f"The stored tokens of {binding.connection} were issued by {issuer}, and PLEO_AUTH_URL is now {binding.issuer}; "
                "set it back, or run `pleo-connector connect`."
            )
        return tokens

    def check(self, blob: bytes, binding: Binding) -> Any:
        """The content in clear, whatever it is; WrongKey when no key here opens it."""
        try:
            return json.loads(self._fernet.decrypt(blob))
        except InvalidToken:
            raise WrongKey(
                f"The stored tokens of {binding.connection} do not open with the key from {self.origin}; they were left as they are. "
                "Set PLEO_TOKEN_KEYS to the key they were sealed with; if it is lost, "
                "run `pleo-connector disconnect` and then `pleo-connector connect`."
            ) from None


def load_keys(variable: Secret, key_file: Path | None, *, create: bool = False) -> KeyRing | None:
    """Keys from `PLEO_TOKEN_KEYS` (comma-separated, first seals), else from the key file.

    None when there is neither; with `create` (only the first login does that) a key file is made.
    """
    if variable:
        return KeyRing(_split(variable.reveal(), ","), "PLEO_TOKEN_KEYS")
    if key_file is None:
        if create:
            raise ConfigurationError(
                f"This token store is shared by several hosts, which all need the same key: set PLEO_TOKEN_KEYS; {_MAKE}."
            )
        return None
    if create and not check_private_file(key_file, "key file"):
        make_private_folder(key_file.parent)
        try:
            write_private_file(key_file, Fernet.generate_key() + b"\n")
        except FileExistsError:
            pass  # another login was first, and its key is as good
        except OSError as error:
            raise ConfigurationError(f"The key file {key_file} cannot be written: {error.strerror}; set PLEO_TOKEN_KEYS instead.") from None
    if not check_private_file(key_file, "key file"):
        return None
    try:
        text = key_file.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(f"The key file {key_file} cannot be read as text; restore it, or set PLEO_TOKEN_KEYS.") from None
    return KeyRing(_split(text, "\n"), f"the key file {key_file}")


def _split(text: str, separator: str) -> list[Secret]:
    return [Secret(part.strip()) for part in text.split(separator) if part.strip()]
