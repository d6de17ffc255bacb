"""From a stream to the request for one of its pages."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from pleo_connector.catalogue import CompanyIn, Paging, Stream


@dataclass(frozen=True, slots=True)
class Interval:
    """A half-open span of time, `start <= t < end`, in UTC."""

    start: datetime
    end: datetime

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d}..{self.end:%Y-%m-%d}"


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


def iso(moment: datetime) -> str:
    """UTC with `Z` and milliseconds, as Pleo's filters take it."""
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"


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
        body[stream.window.start] = iso(span.start)
        body[stream.window.end] = iso(span.end)
    if stream.paging is Paging.CURSOR:
        params.append(("limit", str(limit or stream.limit)))
        params.extend(("sorting_keys", key) for key, _ in stream.sort)
        params.extend(("sorting_order", order) for _, order in stream.sort)
        if cursor is not None:
            params.append(("after", cursor))
    what = _told(stream, company_id, span, parent_id)
    sent = body if stream.method == "POST" else None
    return PageRequest(stream.method, path, what, stream.scope, tuple(params), sent, cursor, of_parent=parent_id is not None)


def _told(stream: Stream, company_id: str | None, span: Interval | None, parent_id: str | None) -> str:
    """The request in words, for messages."""
    what = stream.name
    if parent_id is not None and stream.parent is not None:
        what += f" of {stream.parent.column.removesuffix('_id').replace('_', ' ')} {parent_id}"
    if company_id is not None:
        what += f" of company {company_id}"
    return what if span is None else f"{what} ({span})"
