r"""A second, forgiving reading of a page that the strict reader refused.

The standard library's parser takes a lone surrogate (`"\ud800"`) and NaN. A page whose envelope
is whole is split with it, so that only the damaged record is set aside. Slow, and rarely used.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass

_DECODER = json.JSONDecoder()
_BLANK = re.compile(r"[ \t\r\n]*")


@dataclass(frozen=True, slots=True)
class LenientEnvelope:
    """Records as served, and the pagination object as Python values."""

    records: tuple[bytes, ...]
    pagination: object
    is_bare: bool = False
    """The body is the list of records itself."""


def read_leniently(body: bytes) -> LenientEnvelope | None:
    """Split `{"data": [...], ...}` or `[...]`; None where that cannot be done."""
    text = body.decode("utf-8", "surrogateescape")
    try:
        return _envelope(text)
    except (ValueError, IndexError, RecursionError):
        return None


def _envelope(text: str) -> LenientEnvelope | None:
    at = _skip(text, 0)
    if text[at] == "[":
        bare, at = _elements(text, at)
        return LenientEnvelope(_encoded(bare), None, is_bare=True) if _skip(text, at) == len(text) else None
    at = _expect(text, at, "{")
    records: list[str] | None = None
    pagination: object = None
    at = _skip(text, at)
    while text[at] != "}":
        name, at = _DECODER.raw_decode(text, at)
        at = _skip(text, _expect(text, _skip(text, at), ":"))
        if name == "data":
            records, at = _elements(text, at)
        else:
            value, at = _DECODER.raw_decode(text, at)
            if name == "pagination":
                pagination = value
        at = _comma(text, at, "}")
    if records is None or _skip(text, at + 1) != len(text):
        return None
    return LenientEnvelope(_encoded(records), pagination)


def _encoded(records: list[str]) -> tuple[bytes, ...]:
    return tuple(record.encode("utf-8", "surrogateescape") for record in records)


def _elements(text: str, at: int) -> tuple[list[str], int]:
    """The texts of a list's elements, and where the list ends."""
    at = _skip(text, _expect(text, at, "["))
    elements: list[str] = []
    while text[at] != "]":
        end = _DECODER.raw_decode(text, at)[1]
        elements.append(text[at:end])
        at = _comma(text, end, "]")
    return elements, at + 1


def _skip(text: str, at: int) -> int:
    match = _BLANK.match(text, at)
    return match.end() if match else at


def _expect(text: str, at: int, wanted: str) -> int:
    if text[at] != wanted:
        raise ValueError(wanted)
    return at + 1


def _comma(text: str, at: int, closing: str) -> int:
    at = _skip(text, at)
    return at if text[at] == closing else _skip(text, _expect(text, at, ","))
