"""Accounting entries page by page, as a sync asks for them, so that tokens can die between two pages."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from pleo_connector.api.pages import page_request
from pleo_connector.catalogue import CATALOGUE
from pleo_connector.frames.envelope import split_page

ROWS = 250
PAGE = 5
PAGES = ROWS // PAGE + 1
"""Four companies share the generated rows and have a whole number of such pages, fifty in all; the fifth has an empty one."""


def read_entries(client: httpx.Client, after_page: Callable[[], object] = lambda: None) -> list[str]:
    """The ids of all entries of all companies, in the order they came; HTTPStatusError on anything but 200."""
    stream = CATALOGUE.stream("accounting_entries")
    ids = []
    for company in client.get("/v1/companies").raise_for_status().json()["data"]:
        cursor, more = None, True
        while more:
            request = page_request(stream, company["id"], cursor=cursor, limit=PAGE)
            answer = client.request(request.method, request.path, params=list(request.params), json=request.body).raise_for_status()
            page = split_page(answer.content, stream.paging, request.what)
            ids += [record["id"] for record in answer.json()["data"]]
            cursor, more = page.end_cursor, page.has_next
            after_page()
    return ids
