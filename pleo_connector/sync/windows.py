"""Which spans of time a run reads.

Pleo can filter nothing by `updatedAt`, so only reading the window of an old entry again
finds a late edit of it. Windows are calendar months of the date that every entry has; how often one
is due depends on its age:

    hot    ends within 35 days     every run
    warm   within 100 days         once a day
    cool   within 400 days         once a week
    cold   older                   once in 30 days

A window with an open entry (not settled, reviewed and exported) is hot too, up to an age of 100 days.

Two windows without a limit make the cover complete: everything before the first month, and everything from the current month on.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from functools import cache
from itertools import pairwise

import msgspec

from pleo_connector.api import OPEN_END, OPEN_START, Interval
from pleo_connector.catalogue import Stream
from pleo_connector.frames import Page
from pleo_connector.stream_options import SweepPolicy

BEGINNING = OPEN_START
"""Where the window begins that holds everything before the first month."""

FIRST_MONTH = datetime(2015, 1, 1, tzinfo=UTC)
"""Pleo was founded in 2015: no month before this has a window of its own."""

_OLD_BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
_OLD_FUTURE = timedelta(days=3660)
"""Earlier versions read from 2000 to so long after the first of the current month; their sweeps are in users' tables and raw pages."""

SLACK = timedelta(hours=1)


class Why(StrEnum):
    """Why a run makes a walk."""

    NEVER_READ = "never read"
    EVERY_RUN = "every run"
    OPEN_ENTRIES = "open entries"
    DUE = "due again"
    FULL = "full"
    ASKED_FOR = "asked for"
    UNFINISHED = "left unfinished"
    MISSING_ROWS = "rows missing"
    NEW_COMPANY = "new company"
    NOT_DUE = "not due"
    FILES = "links to files"


FIRST = "first"
"""In place of a tier: the window is read for the first time, so its rows are no late changes."""


@dataclass(frozen=True, slots=True)
class WindowStatus:
    """A window, how often it is read (`first`, hot, warm, cool or cold), why now, and when it was read last."""

    span: Interval
    tier: str
    why: Why
    last: datetime | None


def month_start(moment: datetime) -> datetime:
    """Midnight UTC of the first of the month."""
    return datetime(moment.year, moment.month, 1, tzinfo=UTC)


def next_month(start: datetime) -> datetime:
    """Midnight UTC of the first of the month after one; OPEN_END after the last month that a datetime has."""
    return month_start(start + timedelta(days=32)) if start < month_start(OPEN_END) else OPEN_END


def windows(earliest: datetime | None, now: datetime) -> tuple[Interval, ...]:
    """All windows of a company whose first entry since `FIRST_MONTH` is at `earliest` (None: it has none)."""
    current = month_start(now)
    first = min(max(month_start(earliest), FIRST_MONTH), current) if earliest is not None else current
    spans = [Interval(BEGINNING, first)]
    start = first
    while start < current:
        spans.append(Interval(start, next_month(start)))
        start = next_month(start)
    spans.append(Interval(current, OPEN_END))
    return tuple(spans)


def status_of(
    span: Interval, swept: Mapping[Interval, datetime], now: datetime, policy: SweepPolicy, opened: Collection[datetime] = ()
) -> WindowStatus:
    """The status of a window after the sweeps so far; `opened` holds the first moments of the months with an open entry."""
    last = max((at for done, at in swept.items() if done.start <= span.start and done.end >= min(span.end, at)), default=None)
    tier, every = policy.tier(span.end, now)
    if last is None:
        return WindowStatus(span, FIRST, Why.NEVER_READ, None)
    if every == timedelta(0):
        return WindowStatus(span, tier, Why.EVERY_RUN, last)
    if now - span.end <= timedelta(days=policy.open_days) and any(span.start <= month < span.end for month in opened):
        return WindowStatus(span, "hot", Why.OPEN_ENTRIES, last)
    # The slack lets a daily run that starts a minute early still count as a day later.
    return WindowStatus(span, tier, Why.DUE if now - last >= every - SLACK else Why.NOT_DUE, last)


def due(
    spans: tuple[Interval, ...], swept: Mapping[Interval, datetime], now: datetime, policy: SweepPolicy, opened: Collection[datetime] = ()
) -> Iterator[WindowStatus]:
    """The windows to read now; `swept` holds completed sweeps (span, when they started)."""
    for span in spans:
        status = status_of(span, swept, now, policy, opened)
        if status.why is not Why.NOT_DUE:
            yield status


def clipped(spans: tuple[Interval, ...], start: datetime | None, end: datetime | None) -> tuple[Interval, ...]:
    """The parts of the windows inside the requested range."""
    low = start or BEGINNING
    high = end or spans[-1].end
    parts = (Interval(max(span.start, low), min(span.end, high)) for span in spans)
    return tuple(part for part in parts if part.start < part.end)


def first_month(spans: Collection[Interval]) -> datetime | None:
    """Where the first month begins in the windows of earlier runs: all before it is one window, and a month follows.

    A requested range has no month after it.
    """
    ends = {span.end for span in spans if span.start in (BEGINNING, _OLD_BEGINNING)}
    return min(ends & {span.start for span in spans}, default=None)


def cover_everything(spans: Collection[Interval]) -> bool:
    """Whether the spans follow each other without a gap and leave no moment out; the outer limits of earlier versions count too."""
    ordered = sorted(spans, key=lambda span: span.start)
    if not ordered or any(one.end != following.start for one, following in pairwise(ordered)):
        return False
    start, end = ordered[0].start, ordered[-1].end
    if end == OPEN_END:
        return start == BEGINNING
    began = end - _OLD_FUTURE if start == _OLD_BEGINNING else None
    return began is not None and began == month_start(began)


def joined(spans: Collection[Interval]) -> tuple[Interval, ...]:
    """The moments that lie in any of the spans, as few spans as possible, in their order."""
    merged: list[Interval] = []
    for span in sorted(spans, key=lambda span: span.start):
        if merged and span.start <= merged[-1].end:
            merged[-1] = Interval(merged[-1].start, max(merged[-1].end, span.end))
        else:
            merged.append(span)
    return tuple(merged)


def describe(spans: Sequence[Interval]) -> str:
    """Windows that follow each other, in words: `before 2025-10`, `2026-01 to 2026-03` (the last month included), `2026-11 on`."""
    if not spans:
        return ""
    start, end = min(span.start for span in spans), max(span.end for span in spans)
    if start == OPEN_START and len(spans) == 1:
        return "all" if end == OPEN_END else f"before {_first(end)}"
    first, last = "" if start == OPEN_START else _first(start), "on" if end == OPEN_END else f"to {_last(end)}"
    return first if last == f"to {first}" else f"{first} {last}".lstrip()


def _first(start: datetime) -> str:
    """The month, the day or the minute that begins then."""
    text = start.replace(tzinfo=None).isoformat(timespec="minutes")
    return text[:7] if start == month_start(start) else text.removesuffix("T00:00")


def _last(end: datetime) -> str:
    """The month or the day that ends then, else the minute."""
    day = (end - timedelta.resolution).date().isoformat()
    return day[:7] if end == month_start(end) else day if not (end.hour or end.minute or end.second or end.microsecond) else _first(end)


# Times read straight from raw records, where a walk must know them before the record is typed.


def moment_in(page: Page, place: int, stream: Stream, column: str) -> datetime | None:
    """The time in `column` of the record at `place` (0 the first, -1 the last) of a page; None when the page is empty."""
    return moments_of([page.records[place]], stream, column)[0] if page.records else None


def moments_of(records: Iterable[bytes | msgspec.Raw], stream: Stream, column: str) -> list[datetime | None]:
    """The time in `column` of each record, in UTC. None when the record does not say: it is quarantined when it is loaded."""
    decoder = _decoder(next(declared.source for declared in stream.columns if declared.name == column))
    return [_moment(record, decoder) for record in records]


class _Timed(msgspec.Struct):
    moment: str


@cache
def _decoder(source: str) -> msgspec.json.Decoder[_Timed]:
    """Reads one field of a record and passes over the rest."""
    return msgspec.json.Decoder(msgspec.defstruct("_Timed", [("moment", str)], bases=(_Timed,), rename={"moment": source}))


def _moment(record: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[_Timed]) -> datetime | None:
    try:
        moment = datetime.fromisoformat(decoder.decode(record).moment)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (msgspec.DecodeError, ValueError, OverflowError):  # the last: year 0 or 10000 in UTC
        return None
