"""A sweep: one walk through all pages of a stream, for one company and one span of time, or one record of another stream."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TypeAlias

from pleo_connector.api import Interval, PageRequest, PleoClient, Traffic, iso, page_request
from pleo_connector.catalogue import Stream
from pleo_connector.errors import BadAnswer, CursorRefused, PleoError, WalkStalled
from pleo_connector.frames import Page, cut_page, split_page
from pleo_connector.sync.windows import Why, moment_in, moments_of

Scope: TypeAlias = tuple[str, str | None, Interval | None, str | None]
"""Stream, company, span, parent."""


@dataclass(slots=True)
class Sweep:
    """Where a walk is. `pages`, `rows_*` and `cursor` say what is committed, not what is fetched."""

    stream: Stream
    company_id: str | None = None
    span: Interval | None = None
    parent_id: str | None = None
    """The record of another stream that this reads for."""
    parent_state: str | None = None
    """What that record showed when the sweep began."""
    floor: datetime | None = None
    """Newest first, and down to here; None reads to the end."""
    newest: datetime | None = None
    """The newest creation time that was read."""
    tier: str | None = None
    """How often its window is read, of a stream with windows."""
    why: Why = Why.EVERY_RUN
    last: datetime | None = None
    """When the same was read last, where that decides."""
    sweep_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    cursor: str | None = None
    exhausted: bool = False
    pages: int = 0
    rows_served: int = 0
    rows_quarantined: int = 0
    rows_outside: int = 0
    """Records served that lie outside the span."""
    rows_reported: int | None = None
    """The total that Pleo reported, without the records outside the span."""
    rows_met: int | None = None
    """Distinct records that were read; known at the end where Pleo reports a total."""
    rows_changed: int | None = None
    proves_absence: bool = True
    """False when the sweep may have missed a live row: a quarantined record had no readable key, or one company was read of many."""
    owner: str = ""
    """The run that walks it."""
    touched_at: datetime | None = None
    error: PleoError | None = None

    @property
    def scope(self) -> Scope:
        """What it reads; two sweeps of one scope read the same."""
        return (self.stream.name, self.company_id, self.span, self.parent_id)

    def anew(self) -> Sweep:
        """A fresh sweep of the same scope, from the start."""
        return Sweep(self.stream, self.company_id, self.span, self.parent_id, self.parent_state, self.floor, tier=self.tier)

    def __str__(self) -> str:
        return page_request(self.stream, self.company_id, self.span, parent_id=self.parent_id).what


@dataclass(frozen=True, slots=True)
class ServedPage:
    """A page on its way to the warehouse."""

    sweep: Sweep
    number: int
    cursor_in: str | None
    page: Page
    sha256: str
    """Fingerprint of the answer as it arrived."""
    body: bytes
    """The answer as it is stored: without the fields that the stream drops."""
    request: PageRequest
    fetched_at: datetime
    newest: datetime | None = None
    """Creation time of its first record, of a newest-first stream."""
    cut: bool = False
    """The walk ends here on purpose: the next page is known already."""
    rows: int = 0
    """How many records it has, or had."""
    outside: int = 0
    """Records that Pleo served beside these, and that lie outside the sweep's span: another window reads them."""

    @property
    def is_last(self) -> bool:
        """Whether the sweep is through with this page."""
        return self.cut or not self.page.has_next

    def emptied(self) -> ServedPage:
        """The page without its text, which takes several times the memory of the rows made of it."""
        return replace(self, page=replace(self.page, records=()), body=b"")


@dataclass(frozen=True, slots=True)
class FailedPage:
    """An answer that could not be read as a page."""

    sweep: Sweep
    number: int
    request: PageRequest
    body: bytes
    reason: str
    failed_at: datetime


async def walk(
    sweep: Sweep,
    client: PleoClient,
    traffic: Traffic,
    hand_over: Callable[[ServedPage], Awaitable[None]],
    keep_failed: Callable[[FailedPage], Awaitable[str]] | None = None,
) -> None:
    """Fetch the pages that the sweep still needs, one after the other, and hand each over.

    Only `hasNextPage` ends a walk, or the floor of a newest-first one; a bare list is the only page. A next page without a cursor,
    or with one that was used before, would go round for ever: WalkStalled. A refused cursor on a resumed sweep is CursorRefused,
    and the caller starts the walk again. `keep_failed` takes an answer that stayed unreadable to the last try, and
    says where it is kept.
    """
    cursor, number = sweep.cursor, sweep.pages
    used = {cursor}
    while True:
        request = page_request(sweep.stream, sweep.company_id, sweep.span, cursor, parent_id=sweep.parent_id)
        number += 1
        what = f"page {number} of {request.what}"

        def parse(body: bytes, what: str = what) -> tuple[Page, bytes, str]:
            try:
                page = split_page(body, sweep.stream.paging, what)
            except BadAnswer as error:
                error.body = body
                raise
            return *cut_page(sweep.stream, page, body), hashlib.sha256(body).hexdigest()

        try:
            page, body, sha256 = await client.fetch(request, parse, traffic)
        except CursorRefused as error:
            if number == sweep.pages + 1:
                raise
            raise BadAnswer(f"Pleo refused the cursor that it had just given for {what}; run again to read it from the start.") from error
        except BadAnswer as error:
            if error.body is None or keep_failed is None:
                raise
            where = await keep_failed(FailedPage(sweep, number, request, error.body, str(error), datetime.now(UTC)))
            raise BadAnswer(f"{error} {where}".rstrip()) from None
        served = served_page(sweep, number, cursor, page, body, request, sha256, datetime.now(UTC))
        await hand_over(served)
        _check_end(served, used, what)
        if served.is_last:
            return
        cursor = page.end_cursor
        used.add(cursor)


def _check_end(served: ServedPage, used: Collection[str | None], what: str) -> None:
    """WalkStalled where it is unknown how the walk continues after this page, or whether it does."""
    page, count = served.page, served.rows + served.outside
    if page.is_bare and count == served.sweep.stream.limit:
        raise WalkStalled(
            f"Pleo answered {what} with a bare list of {count} records, as many as were requested, so there may be more; "
            "the records read are kept, and nothing is marked deleted."
        )
    if not served.is_last and (page.end_cursor is None or page.end_cursor in used):
        cursor_given = "no cursor" if page.end_cursor is None else "a cursor that it had given before"
        raise WalkStalled(f"Pleo promised a page after {what} but gave {cursor_given}; the records read are kept; run again later.")


def served_page(
    sweep: Sweep, number: int, cursor: str | None, page: Page, body: bytes, request: PageRequest, sha256: str, fetched_at: datetime
) -> ServedPage:
    """The page with the figures for its sweep, without the records outside the sweep's span."""
    inside = _inside(sweep, page, request)
    newest, cut, rows = _created(sweep, page, 0), _below(sweep, page), len(inside.records)
    outside = len(page.records) - rows
    return ServedPage(sweep, number, cursor, inside, sha256, body, request, fetched_at, newest, cut, rows, outside)


def _inside(sweep: Sweep, page: Page, request: PageRequest) -> Page:
    """The page without the records outside the sweep's span. One whose time cannot be read stays: the load sets it aside.

    An earlier version requested its pages from the span's start itself. Nothing of such a page is left out: no other window may have it.
    """
    span, window = sweep.span, sweep.stream.window
    if span is None or window is None or (request.body or {}).get(window.start) == iso(span.start):
        return page
    moments = moments_of(page.records, sweep.stream, window.column)
    if all(moment is None or moment in span for moment in moments):
        return page
    inside = (record for record, moment in zip(page.records, moments, strict=True) if moment is None or moment in span)
    return replace(page, records=tuple(inside))


def _created(sweep: Sweep, page: Page, place: int) -> datetime | None:
    return moment_in(page, place, sweep.stream, sweep.stream.newest) if sweep.stream.newest is not None else None


def _below(sweep: Sweep, page: Page) -> bool:
    """Whether the page's last record, its oldest, lies below the floor."""
    oldest = _created(sweep, page, -1) if sweep.floor is not None else None
    return oldest is not None and sweep.floor is not None and oldest < sweep.floor
