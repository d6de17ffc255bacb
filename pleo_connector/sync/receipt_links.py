"""Requests links to files just before they are used. A link is a secret: it is in no repr, and it is not stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import msgspec

from pleo_connector.api import PleoClient, Traffic, page_request
from pleo_connector.catalogue import Stream
from pleo_connector.errors import WalkStalled
from pleo_connector.frames import Page, split_page
from pleo_connector.sync.receipt_table import ORIGINAL, Wanted

ENTRIES = 50
"""Entries in one request; Pleo documents no limit."""


class _Receipt(msgspec.Struct):
    id: str
    url: str


_DECODER = msgspec.json.Decoder(_Receipt)


async def links(stream: Stream, company_id: str, wanted: Sequence[Wanted], client: PleoClient, traffic: Traffic) -> Mapping[str, str]:
    """Receipt -> a link to its original, as far as Pleo gives one; good for 24 hours."""
    filters = {"accountingEntryIds": list(dict.fromkeys(one.entry_id for one in wanted)), "fileType": ORIGINAL}
    urls: dict[str, str] = {}
    cursor: str | None = None
    used: set[str | None] = set()
    while cursor not in used:
        used.add(cursor)
        plain = page_request(stream, company_id, cursor=cursor)
        request = replace(plain, body=(plain.body or {}) | filters, what=f"links to the files of {plain.what}")

        def parse(body: bytes, what: str = request.what) -> Page:
            return split_page(body, stream.paging, what)

        page = await client.fetch(request, parse, traffic)
        urls |= _pairs(page)
        if not page.has_next:
            return urls
        cursor = page.end_cursor
    raise WalkStalled(f"Pleo promised more {request.what} but gave no new cursor; run again later.")


def _pairs(page: Page) -> dict[str, str]:
    """Of each record that has both; what is wrong with the others is for the sync of their rows to tell."""
    pairs = {}
    for record in page.records:
        try:
            one = _DECODER.decode(record)
        except (msgspec.DecodeError, UnicodeDecodeError):
            continue
        pairs[one.id.lower()] = one.url
    return pairs
