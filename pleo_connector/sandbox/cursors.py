"""Page cursors: opaque, bound to their request, in Pleo's alphabet, always ending in `=`.

A cursor holds the sort values of the row it stands at, so it stays good while rows come and go.
It depends only on the seed: a cursor of an earlier run of the same sandbox still works.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re

import msgspec

from pleo_connector.sandbox.ordering import Value

_MAC = 10
_ALPHABET = re.compile(r"[A-Z2-7=~]+")
_BLOCK = 5  # base32 pads unless the length is a multiple of this


class CursorUnknown(Exception):  # becomes a 400, not a failure
    """Not a cursor of this request: forged, cut, or from other filters."""


class Cursors:
    """Makes and reads the cursors of one sandbox."""

    def __init__(self, seed: int) -> None:
        self._secret = hashlib.blake2b(f"cursors {seed}".encode(), digest_size=32).digest()

    def encode(self, request: bytes, values: tuple[Value, ...]) -> str:
        """The cursor of a row in the list that `request` (a digest) asks for."""
        payload = msgspec.json.encode(values)
        if (_MAC + len(payload)) % _BLOCK == 0:
            payload += b" "
        return base64.b32encode(self._mac(request, payload) + payload).decode()

    def decode(self, request: bytes, cursor: str) -> tuple[Value, ...]:
        """The sort values in a cursor; CursorUnknown when it does not belong to `request`."""
        if not _ALPHABET.fullmatch(cursor):
            raise CursorUnknown
        try:
            raw = base64.b32decode(cursor)
        except binascii.Error:
            raise CursorUnknown from None
        mac, payload = raw[:_MAC], raw[_MAC:]
        if not hmac.compare_digest(mac, self._mac(request, payload)):
            raise CursorUnknown
        return tuple(msgspec.json.decode(payload))

    def _mac(self, request: bytes, payload: bytes) -> bytes:
        return hashlib.blake2b(request + payload, key=self._secret, digest_size=_MAC).digest()
