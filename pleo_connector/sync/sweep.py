"""A sweep: one walk through all pages of a stream, for one company and one span of time."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pleo_connector.api import Interval, PleoClient, Traffic, page_request
from pleo_connector.catalogue import Stream
from pleo_connector.errors import BadAnswer, CursorRefused, PleoError
from pleo_connector.frames import Page, split_page


@dataclass(slots=True)
class Sweep:
    """Where a walk is. `pages`, `rows_*` and `cursor` say what is committed, not what is fetched."""

    stream: Stream
    company_id: str | None = None
    span: Interval | None = None
    sweep_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    cursor: str | None = None
    exhausted: bool = False
    pages: int = 0
    rows_served: int = 0
    rows_quarantined: int = 0
    rows_reported: int | None = None
    proves_absence: bool = True
    """False when a row may live that this sweep cannot see: a quarantined record hid its key, or one company was read of many."""
    error: PleoError | None = None

    @property
    def scope(self) -> tuple[str, str | None, Interval | None]:
        """What it reads; two sweeps of one scope read the same."""
        return (self.stream.name, self.company_id, self.span)

    def __str__(self) -> str:
        return page_request(self.stream, self.company_id, self.span).what


@dataclass(frozen=True, slots=True)
class ServedPage:
    """A page on its way to the warehouse."""

    sweep: Sweep
    number: int
    cursor_in: str | None
    page: Page
    sha256: str
    fetched_at: datetime


async def walk(sweep: Sweep, client: PleoClient, traffic: Traffic, hand_over: Callable[[ServedPage], Awaitable[None]]) -> None:
    """Fetch the pages that the sweep still needs, one after the other, and hand each over.

    Only `hasNextPage` ends a walk. A next page without a cursor, or with one that was used
    before, would go round for ever: BadAnswer. A refused cursor on a resumed sweep is
    CursorRefused, and the caller starts the walk again.
    """
    cursor, number = sweep.cursor, sweep.pages
    used = {cursor}
    while True:
        request = page_request(sweep.stream, sweep.company_id, sweep.span, cursor)
        number += 1
        what = f"page {number} of {request.what}"

        def parse(body: bytes, what: str = what) -> tuple[Page, str]:
            return split_page(body, sweep.stream.paging, what), hashlib.sha256(body).hexdigest()

        try:
            page, sha256 = await client.fetch(request, parse, traffic)
        except CursorRefused as error:
            if number == sweep.pages + 1:
                raise
            raise BadAnswer(f"Pleo refused the cursor that it had just given for {what}; run again to read it from the start.") from error
        await hand_over(ServedPage(sweep, number, cursor, page, sha256, datetime.now(UTC)))
        if not page.has_next:
            return
        if page.end_cursor is None or page.end_cursor in used:
            said = "no cursor" if page.end_cursor is None else "a cursor that it had given before"
            raise BadAnswer(f"Pleo promised a page after {what} but gave {said}; what was read is kept, run again later.")
        cursor = page.end_cursor
        used.add(cursor)
