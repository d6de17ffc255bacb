"""Pleo's envelope `{data, pagination}` split into raw records, none of them parsed. A bare JSON array is a list of one page."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import msgspec

from pleo_connector.catalogue import Paging
from pleo_connector.errors import BadAnswer
from pleo_connector.frames.lenient import LenientEnvelope, read_leniently

RawRecord: TypeAlias = bytes | msgspec.Raw
"""The text of one record as served."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page: raw records, and where the next page starts. Only `has_next` ends a walk."""

    records: tuple[RawRecord, ...]
    has_next: bool = False
    end_cursor: str | None = None
    total: int | None = None
    is_bare: bool = False
    """The answer was a bare JSON array: it cannot say whether more follows."""


class _Pagination(msgspec.Struct):
    has_next: bool = msgspec.field(name="hasNextPage")
    end_cursor: str | None = msgspec.field(name="endCursor", default=None)
    total: int | None = None


class _Paged(msgspec.Struct):
    data: list[msgspec.Raw]
    pagination: _Pagination


class _Whole(msgspec.Struct):
    data: list[msgspec.Raw]


_ONE = msgspec.json.Decoder(dict[str, msgspec.Raw])
_BARE = msgspec.json.Decoder(list[msgspec.Raw])
_PAGED = msgspec.json.Decoder(_Paged)
_WHOLE = msgspec.json.Decoder(_Whole)


def split_page(body: bytes, paging: Paging, what: str) -> Page:
    """Split a response body; `what` (stream, company, page) is named in BadAnswer.

    Raises BadAnswer for a body that ends early, is not JSON, or is not Pleo's envelope.
    The message never repeats record content.
    """
    try:
        if paging is Paging.ONE:
            _ONE.decode(body)
            return Page((body,))
        if body.lstrip()[:1] == b"[":
            return _bare(_BARE.decode(body), what)
        if paging is Paging.WHOLE:
            return Page(tuple(_WHOLE.decode(body).data))
        paged = _PAGED.decode(body)
    except msgspec.ValidationError as error:
        raise BadAnswer(
            f"{_begin(what)} is JSON but not {'an object' if paging is Paging.ONE else 'a Pleo list'}: {_mended(error)}; {_ADVICE}"
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _split_leniently(body, paging, what)
    return Page(tuple(paged.data), paged.pagination.has_next, paged.pagination.end_cursor, paged.pagination.total)


def _bare(records: Sequence[RawRecord], what: str) -> Page:
    if any(bytes(record).lstrip()[:1] != b"{" for record in records):
        raise BadAnswer(f"{_begin(what)} is a JSON array, but not of objects; {_ADVICE}")
    return Page(tuple(records), is_bare=True)


_ADVICE = "run the sync again, and report it if it stays; nothing of this page was loaded."


def _begin(what: str) -> str:
    return f"Pleo's answer for {what}"


def _mended(error: msgspec.ValidationError) -> str:
    """The message of msgspec names types and paths, never values."""
    return str(error).replace("Object missing required field", "it lacks the field").replace(" - at `$`", "")


def _split_leniently(body: bytes, paging: Paging, what: str) -> Page:
    """Split a page with a record that strict JSON refuses (a lone surrogate). That record is quarantined later."""
    envelope: LenientEnvelope | None = read_leniently(body) if paging is not Paging.ONE else None
    if envelope is None:
        raise BadAnswer(f"{_begin(what)} {_nature(body)}; {_ADVICE}")
    try:
        if envelope.is_bare:
            return _bare(envelope.records, what)
        if paging is Paging.WHOLE:
            return Page(tuple(envelope.records))
        pagination = msgspec.convert(envelope.pagination, _Pagination)
    except msgspec.ValidationError as error:
        raise BadAnswer(f"{_begin(what)} is JSON but not a Pleo list: {_mended(error)} (in pagination); {_ADVICE}") from None
    return Page(tuple(envelope.records), pagination.has_next, pagination.end_cursor, pagination.total)


_SIGNATURES = (
    (b"<!doctype html", "is an HTML page, not JSON (often a proxy or a login page)"),
    (b"<html", "is an HTML page, not JSON (often a proxy or a login page)"),
    (b"<", "is XML or HTML, not JSON"),
    (b"\x1f\x8b", "is gzip data, not JSON"),
)


def _nature(body: bytes) -> str:
    """The nature of a body that is not JSON, without its content."""
    start = body[:200].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not start:
        return "is empty"
    for signature, nature in _SIGNATURES:
        if start.startswith(signature):
            return nature
    closing = {b"{": b"}", b"[": b"]"}.get(start[:1])
    if closing is None:
        return f"is plain text of {len(body):,} bytes, not JSON"
    if body.rstrip().endswith(closing):
        return f"is damaged or cut JSON of {len(body):,} bytes"
    return f"ended after {len(body):,} bytes, in the middle of the JSON"
