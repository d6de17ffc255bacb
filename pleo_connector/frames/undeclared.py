"""Screens undeclared values before they are stored.

A field that is named like a column with a rule is hashed or dropped like it, at any depth. A link with a signature or a token, and a
JSON web token, become `withheld`, with or without rules. Declared values do not change. A record without such values stays the same,
byte for byte; two searches over a page's bytes decide that.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import unquote

import msgspec

from pleo_connector.catalogue import Stream
from pleo_connector.catalogue.hash_key import HashKey
from pleo_connector.column_rules import ColumnRule, plain_name
from pleo_connector.frames.levels import compile_levels

WITHHELD = msgspec.Raw(b'"withheld"')

_LONG = ("signature", "token", "secret", "credential", "passw", "apikey", "authorization", "jwt", "session", "bearer")
_SHORT = frozenset({"sig", "sign", "key", "auth", "pwd", "sas", "hmac"})
"""Names of query parameters that grant access: those that contain one of the first, are one of the second, or end in `key`."""
_PARAMETER = re.compile(r"[?&#;~]\s*([^=&#;?~\s]{1,80})=[^&#;~\s]")
_PASSWORD = re.compile(r"://[^/?#\s@]*:[^/?#\s@]+@|https?://[^/?#\s@]+@", re.IGNORECASE)
"""A user without a password in a web address is a token: nothing else is written there."""
_WEB_TOKEN = re.compile(r"eyJ[\w-]{8,}\.[\w-]{4,}\.")

_SLASHES, _PERCENT, _BACKSLASH, _TOKEN = (re.compile(pattern) for pattern in (rb"//", rb"%3", rb"\\/|\\u00[0-7]", rb"eyJ"))
_ESCAPE = re.compile(r"\\u00([0-7][0-9a-fA-F])")


def _may_be_secret(text: bytes) -> bool:
    """Whether a JSON text may hold such a link or token. The search for one byte comes first, because it is cheap.

    JSON may write any letter as an escape, so only the decoded text is certain.
    """
    return (
        b"?" in text
        or (b"/" in text and _SLASHES.search(text) is not None)
        or (b"%" in text and _PERCENT.search(text) is not None)
        or (b"\\" in text and _BACKSLASH.search(text) is not None)
        or _TOKEN.search(text) is not None
    )


def is_secret(text: str) -> bool:
    """Whether a text is or holds a link with a signature, a token or a password, or a JSON web token."""
    for _ in range(3):
        if _WEB_TOKEN.search(text):
            return True
        if ("://" in text or "?" in text) and (_PASSWORD.search(text) or any(_grants(name) for name in _PARAMETER.findall(text))):
            return True
        if (plain := unquote(text)) == text:
            return False
        text = plain
    return False


def _grants(parameter: str) -> bool:
    name = plain_name(parameter)
    return name in _SHORT or name.endswith("key") or any(part in name for part in _LONG)


class Screen:
    """What to search for in the undeclared values of one stream."""

    def __init__(self, stream: Stream) -> None:
        self.structure = compile_levels(stream).top.structure
        self.names = dict(stream.name_rules)
        self.exempt = frozenset(tuple(path.split(".")) for path, rule in stream.path_rules if rule is ColumnRule.KEEP)
        self.key: HashKey | None = stream.hash_key
        top = self.structure if isinstance(self.structure, dict) else {}
        self._declared = frozenset(name for name in top if plain_name(name) in self.names)
        spelled = "|".join('[^a-z0-9"]{0,4}'.join(map(re.escape, name)) for name in self.names)
        self._named = (
            re.compile(rf'"[^a-z0-9"]{{0,4}}(?:{spelled})[^a-z0-9"]{{0,4}}"\s*:|\\u00[0-7]'.encode(), re.IGNORECASE) if spelled else None
        )

    def may_find(self, text: bytes) -> bool:
        """Whether the text may hold something to screen; False is certain."""
        return _may_be_secret(text) or (self._named is not None and self._named.search(text) is not None)

    def finds(self, body: bytes) -> bool:
        """Whether a text that is no JSON holds a name with a rule, or a link or token that must not be stored."""
        if self._named is not None and self._named.search(body):
            return True
        plain = _ESCAPE.sub(lambda escape: chr(int(escape[1], 16)), body.decode("utf-8", "replace").replace("\\/", "/"))
        return is_secret(plain)

    def record(self, text: bytes) -> bytes:
        """The record without values that must not be stored; the same bytes where there are none. msgspec.DecodeError for what is not JSON."""
        if not _may_be_secret(text) and not self._names_undeclared(text):
            return text
        walk = _Walk(self)
        screened = walk.declared(text, self.structure, ())
        return msgspec.json.encode(screened) if walk.changed else text

    def _names_undeclared(self, text: bytes) -> bool:
        """Whether names with a rule occur outside the declared fields of the record itself; False is certain."""
        count = len(self._named.findall(text)) if self._named is not None else 0
        return count > 0 and count != sum(name in self._declared for name in members(text))


@lru_cache(maxsize=64)
def screen_of(stream: Stream) -> Screen:
    """The stream's screen, made once."""
    return Screen(stream)


_GONE = object()


class _Walk:
    """One record, level by level; lists leave no trace in a path."""

    def __init__(self, screen: Screen) -> None:
        self._screen = screen
        self.changed = False

    def declared(self, text: bytes | msgspec.Raw, structure: object, path: tuple[str, ...]) -> object:
        """The screened value at a declared place; `structure` is that of `Level.structure`."""
        start = bytes(text).lstrip()[:1]
        if isinstance(structure, dict) and start == b"{":
            values = {
                name: self.declared(value, structure[name], (*path, name)) if name in structure else self._field(name, value, path)
                for name, value in members(text).items()
            }
            return _without_gone(values)
        if isinstance(structure, list) and start == b"[":
            return [self.declared(one, structure[0], path) for one in elements(text)]
        return text if structure == "VARCHAR" and start not in (b"{", b"[") else self._value(text, path)

    def _field(self, name: str, value: msgspec.Raw, above: tuple[str, ...]) -> object:
        path = (*above, name)
        rule = ColumnRule.KEEP if path in self._screen.exempt else self._screen.names.get(plain_name(name), ColumnRule.KEEP)
        if rule is ColumnRule.KEEP:
            return self._value(value, path)
        self.changed = True
        return _GONE if rule is ColumnRule.DROP else hashed(value, self._screen.key)

    def _value(self, text: bytes | msgspec.Raw, path: tuple[str, ...]) -> object:
        start = bytes(text).lstrip()[:1]
        if start == b"{":
            return _without_gone({name: self._field(name, value, path) for name, value in members(text).items()})
        if start == b"[":
            return [self._value(one, path) for one in elements(text)]
        if start == b'"' and is_secret(msgspec.json.decode(text, type=str)):
            self.changed = True
            return WITHHELD
        return text if isinstance(text, msgspec.Raw) else msgspec.Raw(text)


def _without_gone(values: dict[str, object]) -> dict[str, object]:
    return {name: value for name, value in values.items() if value is not _GONE}


def members(text: bytes | msgspec.Raw) -> dict[str, msgspec.Raw]:
    """The members of a JSON object, none of them read."""
    return msgspec.json.decode(text, type=dict[str, msgspec.Raw])


def elements(text: bytes | msgspec.Raw) -> list[msgspec.Raw]:
    """The elements of a JSON list, none of them read."""
    return msgspec.json.decode(text, type=list[msgspec.Raw])


def hashed(value: msgspec.Raw, key: HashKey | None) -> str | None:
    """The hash of a text, or of the JSON of what is no text where one is wanted."""
    text = bytes(value).strip()
    if text == b"null":
        return None
    if key is None:
        raise RuntimeError("a stream with hashed columns has no key")
    return key.of(msgspec.json.decode(text, type=str).encode() if text[:1] == b'"' else text)
