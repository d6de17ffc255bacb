"""Which spans of time a run reads.

Pleo can filter nothing by `updatedAt`, so a late edit of an old entry is seen only by reading
its window again. Windows are calendar months of the date that every entry has; how often one
is due depends on its age:

    hot    ends within 35 days     every run
    warm   within 100 days         once a day
    cool   within 400 days         once a week
    cold   older                   once in 30 days

A window with an open entry (not settled, reviewed and exported) is hot too, up to an age of 100 days.

Two edges make the cover complete: everything before the first month, and everything to come.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from pleo_connector.api import Interval
from pleo_connector.stream_options import SweepPolicy

BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
"""Pleo was founded in 2015: nothing is older than this."""

_FUTURE = timedelta(days=3660)
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
"""In place of a tier: the window was never read before, so its rows are no late changes."""


@dataclass(frozen=True, slots=True)
class Judged:
    """A window, how often it is read (`first`, hot, warm, cool or cold), why now, and when it was read last."""

    span: Interval
    tier: str
    why: Why
    last: datetime | None


def month_start(moment: datetime) -> datetime:
    """Midnight UTC of the first of the month."""
    return datetime(moment.year, moment.month, 1, tzinfo=UTC)


def next_month(start: datetime) -> datetime:
    """Midnight UTC of the first of the month after one."""
    return month_start(start + timedelta(days=32))


def windows(earliest: datetime | None, now: datetime) -> tuple[Interval, ...]:
    """All windows of a company whose first entry is at `earliest` (None: it has no entries)."""
    current = month_start(now)
    first = min(month_start(earliest), current) if earliest is not None else current
    spans = [Interval(BEGINNING, first)]
    start = first
    while start < current:
        spans.append(Interval(start, next_month(start)))
        start = next_month(start)
    spans.append(Interval(current, current + _FUTURE))
    return tuple(spans)


def judged(
    span: Interval, swept: Mapping[Interval, datetime], now: datetime, policy: SweepPolicy, opened: Collection[datetime] = ()
) -> Judged:
    """What the sweeps so far say about a window; `opened` holds the first moments of the months with an open entry."""
    last = max((at for done, at in swept.items() if done.start <= span.start and done.end >= min(span.end, at)), default=None)
    tier, every = policy.tier(span.end, now)
    if last is None:
        return Judged(span, FIRST, Why.NEVER_READ, None)
    if every == timedelta(0):
        return Judged(span, tier, Why.EVERY_RUN, last)
    if now - span.end <= timedelta(days=policy.open_days) and any(span.start <= month < span.end for month in opened):
        return Judged(span, "hot", Why.OPEN_ENTRIES, last)
    # The slack lets a daily run that starts a minute early still count as a day later.
    return Judged(span, tier, Why.DUE if now - last >= every - SLACK else Why.NOT_DUE, last)


def due(
    spans: tuple[Interval, ...], swept: Mapping[Interval, datetime], now: datetime, policy: SweepPolicy, opened: Collection[datetime] = ()
) -> Iterator[Judged]:
    """The windows to read now; `swept` holds completed sweeps (span, when they started)."""
    for span in spans:
        found = judged(span, swept, now, policy, opened)
        if found.why is not Why.NOT_DUE:
            yield found


def clipped(spans: tuple[Interval, ...], start: datetime | None, end: datetime | None) -> tuple[Interval, ...]:
    """The parts of the windows inside an asked-for range."""
    low = start or BEGINNING
    high = end or spans[-1].end
    parts = (Interval(max(span.start, low), min(span.end, high)) for span in spans)
    return tuple(part for part in parts if part.start < part.end)


def told(spans: Sequence[Interval]) -> str:
    """Windows that follow each other, in words: `before 2025-10`, `2026-01 to 2026-03` (the last month included), `2026-11 on`."""
    if not spans:
        return ""
    first, last = min(spans, key=lambda one: one.start), max(spans, key=lambda one: one.end)
    if first.end == last.end:
        first_day = f"{first.start:%Y-%m}"
        return f"before {first.end:%Y-%m}" if first.start == BEGINNING else f"{first_day} on" if _is_open(first) else first_day
    beginning = "" if first.start == BEGINNING else f"{first.start:%Y-%m} "
    return f"{beginning}on" if _is_open(last) else f"{beginning}to {last.end - timedelta(microseconds=1):%Y-%m}"


def _is_open(span: Interval) -> bool:
    return span.end - span.start >= _FUTURE
