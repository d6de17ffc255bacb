"""From a stream to the request for one of its pages."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pleo_connector.catalogue import CompanyIn, Paging, Stream, Window

OPEN_START = datetime.min.replace(tzinfo=UTC)
OPEN_END = datetime.max.replace(tzinfo=UTC)

STEP = timedelta(milliseconds=1)
"""The smallest step of a date filter."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A half-open span of time, `start <= t < end`, in UTC. OPEN_START and OPEN_END stand for no limit."""

    start: datetime = OPEN_START
    end: datetime = OPEN_END

    @classmethod
    def of(cls, start: datetime | None, end: datetime | None) -> Interval | None:
        """The span with these limits, as `limits` gives them; None where both are missing."""
        return None if start is None and end is None else cls(start or OPEN_START, end or OPEN_END)

    @property
    def limits(self) -> tuple[datetime | None, datetime | None]:
        """Start and end; None where the span is open."""
        return (None if self.start == OPEN_START else self.start, None if self.end == OPEN_END else self.end)

    def as_dict(self) -> dict[str, str | None]:
        """Plain values for `--json`; None where the span is open."""
        start, end = (limit.isoformat() if limit is not None else None for limit in self.limits)
        return {"from": start, "to": end}

    def __contains__(self, moment: datetime) -> bool:
        return (self.start == OPEN_START or moment >= self.start) and (self.end == OPEN_END or moment < self.end)

    def __str__(self) -> str:
        start, end = (limit.date().isoformat() if limit is not None else "" for limit in self.limits)
        return f"{start}..{end}" if start and end else f"before {end}" if end else f"from {start} on"


@dataclass(frozen=True, slots=True)
class PageRequest:
    """One request, without credentials. `what` names it in messages: stream, company, span."""

    method: str
    path: str
    what: str
    scope: str = ""
    params: tuple[tuple[str, str], ...] = ()
    body: dict[str, Any] | None = None
    cursor: str | None = field(default=None, repr=False)
    of_parent: bool = False
    """Whether it reads what belongs to one record that was listed before."""
    of_all: bool = False
    """Whether all streams need it, as the list of companies."""


def iso(moment: datetime) -> str:
    """UTC with `Z` and milliseconds, as Pleo's filters take it."""
    return moment.replace(tzinfo=None).isoformat(timespec="milliseconds") + "Z"


def _date_filter(window: Window, span: Interval) -> dict[str, str]:
    """The filter that serves the whole span, however Pleo reads its limits.

    Pleo does not say whether a start or an end is included. One step before the start serves the start either way; the end may be
    served or not. The walk leaves out what lies outside the span. An open end sends no limit, and neither does one a step from it.
    """
    limits: dict[str, str] = {}
    if span.start - OPEN_START > STEP:
        limits[window.start] = iso(span.start - STEP)
    if OPEN_END - span.end > STEP:
        limits[window.end] = iso(span.end + STEP - timedelta.resolution)  # the next whole millisecond
    return limits


def page_request(
    stream: Stream,
    company_id: str | None = None,
    span: Interval | None = None,
    cursor: str | None = None,
    limit: int | None = None,
    parent_id: str | None = None,
) -> PageRequest:
    """The request for the page of `stream` that follows `cursor` (the first page without one).

    `parent_id` is the key of the record that a stream with a parent is read for.

    Filters, sort and body stay the same from page to page, as Pleo asks; on searches the
    cursor goes into the query while the filters are in the body.
    """
    params = list(stream.query)
    body: dict[str, Any] = dict(stream.body)
    path = stream.path
    if stream.parent is not None and parent_id is not None:
        place = f"{{{stream.parent.parameter}}}"
        if place in path:
            path = path.replace(place, parent_id)
        else:
            params.append((stream.parent.parameter, parent_id))
    elif company_id is not None and stream.company_in not in (CompanyIn.NOWHERE, CompanyIn.CREDENTIAL):
        if stream.company_in is CompanyIn.BODY:
            body["companyId"] = company_id
        else:
            params.append((stream.company_in.value, company_id))
    if span is not None and stream.window is not None:
        body |= _date_filter(stream.window, span)
    if stream.paging is Paging.CURSOR:
        params.append(("limit", str(limit or stream.limit)))
        params.extend(("sorting_keys", key) for key, _ in stream.sort)
        params.extend(("sorting_order", order) for _, order in stream.sort)
        if cursor is not None:
            params.append(("after", cursor))
    what = _told(stream, company_id, span, parent_id)
    sent = body if stream.method == "POST" else None
    return PageRequest(
        stream.method, path, what, stream.scope, tuple(params), sent, cursor, parent_id is not None, stream.company_in is CompanyIn.NOWHERE
    )


def _told(stream: Stream, company_id: str | None, span: Interval | None, parent_id: str | None) -> str:
    """The request in words, for messages."""
    what = stream.name
    if parent_id is not None and stream.parent is not None:
        what += f" of {stream.parent.column.removesuffix('_id').replace('_', ' ')} {parent_id}"
    if company_id is not None:
        what += f" of company {company_id}"
    return what if span is None else f"{what} ({span})"
