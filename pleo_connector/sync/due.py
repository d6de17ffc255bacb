"""Which walks a run makes of each stream: what was left open, what is due, what was asked for."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime, timedelta

from pleo_connector.api import Interval
from pleo_connector.catalogue import Catalogue, CompanyIn, Parent, Stream, SyncMode
from pleo_connector.sync import ledger, parents, windows
from pleo_connector.sync.loader import StreamWork
from pleo_connector.sync.parents import Listing
from pleo_connector.sync.sweep import Scope, Sweep
from pleo_connector.warehouses import Transaction

OVERLAP = timedelta(days=3)
"""How far below its mark a newest-first walk reads: what became visible late is met again."""

WHOLE_EVERY = timedelta(days=30)
"""Age of the last complete walk after which a newest-first stream is read whole again."""

Earliest = Callable[[StreamWork, str], Awaitable[datetime | None]]
"""Asks Pleo for the time of a company's first record."""


class Due:
    """What earlier runs left and finished, and what follows from it for this one."""

    def __init__(self, now: datetime, policy: windows.SweepPolicy, start: datetime | None, end: datetime | None, *, full: bool) -> None:
        self._now = now
        self._policy = policy
        self._start, self._end = start, end
        self._full = full
        self._open: dict[Scope, Sweep] = {}
        self._spans: dict[str, dict[str | None, dict[Interval, datetime]]] = {}
        self._marks: dict[str, dict[str | None, ledger.Mark]] = {}
        self._parents: dict[str, dict[str, str]] = {}

    def read(self, transaction: Transaction, catalogue: Catalogue, work: Iterable[StreamWork]) -> None:
        """Read the ledger; sweeps that will not go on are noted as abandoned."""
        by_name = {one.stream.name: one for one in work}
        listed = {stream.parent.stream for stream in catalogue if stream.parent is not None}
        for sweep in ledger.open_sweeps(transaction, catalogue):
            # Lists that other walks depend on are read anew by each run; the others go on while they are young.
            anew = sweep.stream.company_in is CompanyIn.NOWHERE or sweep.stream.name in listed
            if not anew and self._now - sweep.started_at < ledger.RESUMABLE:
                self._open[sweep.scope] = sweep
            elif sweep.stream.name in by_name:
                by_name[sweep.stream.name].abandoned.append(sweep)
        for name, one in by_name.items():
            if one.stream.window is not None:
                self._spans[name] = ledger.completed(transaction, one.stream)
            elif one.stream.newest is not None:
                self._marks[name] = ledger.marks(transaction, one.stream)
            elif one.stream.parent is not None:
                self._parents[name] = ledger.swept_parents(transaction, one.stream)

    async def sweeps(self, work: StreamWork, ids: Sequence[str], earliest: Earliest) -> list[Sweep]:
        """The walks of a stream without a parent."""
        stream = work.stream
        if stream.company_in is CompanyIn.CREDENTIAL:
            return [self._going_on(Sweep(stream))]
        if stream.newest is not None:
            return [self._newest_first(work, company_id) for company_id in ids]
        found = []
        for company_id in ids:
            spans = [None] if stream.window is None else await self._windows(work, company_id, earliest)
            found += [self._going_on(Sweep(stream, company_id, span)) for span in spans]
        return found

    def sweeps_of_parents(self, work: StreamWork, parent: Parent, listing: Listing, ids: Sequence[str]) -> list[Sweep]:
        """The walks of a stream that is read for each record of another; open ones that are no longer due are abandoned."""
        stream = work.stream
        found = []
        for company_id in ids:
            if company_id in listing.failed:
                continue
            records = listing.records.get(company_id, {}).values()
            wanted = parents.due(stream, parent, records, self._parents[stream.name], full=self._full)
            found += [self._going_on(Sweep(stream, company_id, parent_id=one.id, parent_state=one.state)) for one in wanted]
            left = [scope for scope, sweep in self._open.items() if sweep.stream is stream and sweep.company_id == company_id]
            work.abandoned += [self._open.pop(scope) for scope in left]
            work.whole.add(company_id)
        return found

    def _going_on(self, fresh: Sweep) -> Sweep:
        """The open sweep that reads the same, or the fresh one."""
        return self._open.pop(fresh.scope, fresh)

    def _newest_first(self, work: StreamWork, company_id: str) -> Sweep:
        mark = self._marks[work.stream.name].get(company_id, ledger.Mark())
        whole = self._full or mark.newest is None or mark.whole is None or self._now - mark.whole >= WHOLE_EVERY - windows.SLACK
        # A date in the future must not hide what comes before it is reached.
        floor = None if whole or mark.newest is None else min(mark.newest, self._now) - OVERLAP
        fresh = Sweep(work.stream, company_id, floor=floor)
        left = self._open.pop(fresh.scope, None)
        if left is None:
            return fresh
        if left.floor is None or (floor is not None and left.floor <= floor):
            return left  # it goes at least as deep; what is newer than its start is for the next run
        work.abandoned.append(left)
        return fresh

    async def _windows(self, work: StreamWork, company_id: str, earliest: Earliest) -> list[Interval]:
        stream = work.stream
        done = self._spans[stream.name].get(company_id, {})
        first = min((span.end for span in done if span.start == windows.BEGINNING), default=None)
        if first is None:
            first = next((end for sweep in self._open.values() if (end := _history_end(sweep, stream, company_id))), None)
        if first is None:
            first = await earliest(work, company_id)
        spans = windows.windows(first, self._now)
        if self._start is not None or self._end is not None:
            return list(windows.clipped(spans, self._start, self._end))
        if self._full:
            return list(spans)
        return list(windows.due(spans, done, self._now, self._policy))


def _history_end(sweep: Sweep, stream: Stream, company_id: str) -> datetime | None:
    """Where the company's first month begins, if this sweep reads all that came before it."""
    mine = sweep.stream is stream and sweep.company_id == company_id
    return sweep.span.end if mine and sweep.span is not None and sweep.span.start == windows.BEGINNING else None


def is_urgent(stream: Stream) -> bool:
    """Whether waiting costs data: export jobs, and items that Pleo serves only while their job runs."""
    return stream.mode is SyncMode.OPEN_JOBS and (stream.parent is None or stream.parent.only_open)
