"""Which spans of time a run reads.

Pleo can filter nothing by `updatedAt`, so a late edit of an old entry is seen only by reading
its window again. Windows are calendar months of the date that every entry has; how often one
is due depends on its age:

    hot    ends within 35 days     every run
    warm   within 100 days         once a day
    cool   within 400 days         once a week
    cold   older                   once in 30 days

Two edges make the cover complete: everything before the first month, and everything to come.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from pleo_connector.api import Interval
from pleo_connector.stream_options import SweepPolicy

BEGINNING = datetime(2000, 1, 1, tzinfo=UTC)
"""Pleo was founded in 2015: nothing is older than this."""

_FUTURE = timedelta(days=3660)
SLACK = timedelta(hours=1)


def month_start(moment: datetime) -> datetime:
    """Midnight UTC of the first of the month."""
    return datetime(moment.year, moment.month, 1, tzinfo=UTC)


def _next_month(start: datetime) -> datetime:
    return month_start(start + timedelta(days=32))


def windows(earliest: datetime | None, now: datetime) -> tuple[Interval, ...]:
    """All windows of a company whose first entry is at `earliest` (None: it has no entries)."""
    current = month_start(now)
    first = min(month_start(earliest), current) if earliest is not None else current
    spans = [Interval(BEGINNING, first)]
    start = first
    while start < current:
        spans.append(Interval(start, _next_month(start)))
        start = _next_month(start)
    spans.append(Interval(current, current + _FUTURE))
    return tuple(spans)


def due(spans: tuple[Interval, ...], swept: Mapping[Interval, datetime], now: datetime, policy: SweepPolicy) -> Iterator[Interval]:
    """The windows to read now; `swept` holds completed sweeps (span, when they started)."""
    for span in spans:
        last = max((at for done, at in swept.items() if done.start <= span.start and done.end >= min(span.end, at)), default=None)
        _, every = policy.tier(span.end, now)
        # The slack lets a daily run that starts a minute early still count as a day later.
        if last is None or every == timedelta(0) or now - last >= every - SLACK:
            yield span


def clipped(spans: tuple[Interval, ...], start: datetime | None, end: datetime | None) -> tuple[Interval, ...]:
    """The parts of the windows inside an asked-for range."""
    low = start or BEGINNING
    high = end or spans[-1].end
    parts = (Interval(max(span.start, low), min(span.end, high)) for span in spans)
    return tuple(part for part in parts if part.start < part.end)
