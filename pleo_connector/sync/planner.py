"""Which walks a run makes of each stream: open ones, those that are due, and those that were requested."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pleo_connector.api import Interval
from pleo_connector.catalogue import Catalogue, CompanyIn, Parent, Stream, SyncMode
from pleo_connector.stream_options import DEFAULT, StreamOptions, SweepPolicy
from pleo_connector.sync import parents, row_counts, state, windows
from pleo_connector.sync.loader import StreamWork
from pleo_connector.sync.owner import is_alive
from pleo_connector.sync.parents import ParentRecords
from pleo_connector.sync.sweep import Scope, Sweep
from pleo_connector.sync.windows import Why, WindowStatus
from pleo_connector.warehouses import Transaction

OVERLAP = timedelta(days=3)
"""How far below its watermark a newest-first walk reads, for records that became visible late."""

WHOLE_EVERY = timedelta(days=30)
"""Age of the last complete walk after which a newest-first stream is read whole again."""

FULL_GOES_ON = timedelta(hours=1)
"""A full sync that was stopped continues within this time; later, it reads everything again."""

Earliest = Callable[[StreamWork, str], Awaitable[datetime | None]]
"""Requests the time of a company's first record."""


class Planner:
    """Decides from the stored sweeps of earlier runs which sweeps this run makes."""

    def __init__(
        self,
        now: datetime,
        options: Mapping[str, StreamOptions],
        start: datetime | None,
        end: datetime | None,
        *,
        full: bool,
        owner: str,
        all_companies: bool = True,
    ) -> None:
        """`all_companies` is False in a run that names its companies."""
        self._now = now
        self._options = options
        self._start, self._end = start, end
        self._full = full
        self._owner = owner
        self._all_companies = all_companies
        self._unproven: dict[str, set[str | None]] = {}
        self._open: dict[Scope, Sweep] = {}
        self._spans: dict[str, dict[str | None, dict[Interval, datetime]]] = {}
        self._opened: dict[str, row_counts.ByMonth] = {}
        self._watermarks: dict[str, dict[str | None, state.Watermark]] = {}
        self._parents: dict[str, dict[str, str]] = {}

    def read(self, transaction: Transaction, catalogue: Catalogue, work: Iterable[StreamWork], *, take_over: bool = True) -> None:
        """Read the stored sweeps and take over what dead runs left open; sweeps that will not go on are noted as abandoned.

        Without `take_over` nothing is written, as a forecast needs it.
        """
        by_name = {one.stream.name: one for one in work}
        self._go_on(state.open_sweeps(transaction, catalogue), catalogue, by_name)
        if take_over:
            state.write_sweeps(transaction, [state.SweepState(sweep, "open") for sweep in self._open.values()])
        sweeps = state.ended_sweeps(transaction, [name for name, one in by_name.items() if _depends_on_sweeps(one.stream)])
        for name, one in by_name.items():
            if one.stream.window is not None:
                self._spans[name] = state.completed(sweeps[name])
                self._unproven[name] = state.unproven(sweeps[name])
                since = windows.month_start(self._now - timedelta(days=self._policy(one.stream).open_days + 1))
                self._opened[name] = row_counts.open_months(transaction, one.stream, since)
            elif one.stream.newest is not None:
                self._watermarks[name] = state.watermarks(sweeps[name])
            elif one.stream.parent is not None:
                self._parents[name] = state.swept_parents(sweeps[name])

    def _go_on(self, sweeps: Iterable[Sweep], catalogue: Catalogue, by_name: Mapping[str, StreamWork]) -> None:
        """Choose the open sweeps that this run continues."""
        listed = {stream.parent.stream for stream in catalogue if stream.parent is not None}
        for sweep in sweeps:
            if is_alive(sweep.owner, sweep.touched_at, datetime.now(UTC)):
                continue  # another run is walking it; this one makes sweeps of its own
            # Each run reads lists that other walks depend on from the start; other sweeps continue while they are young.
            anew = sweep.stream.company_in is CompanyIn.NOWHERE or sweep.stream.name in listed
            if not anew and self._now - sweep.started_at < state.RESUMABLE:
                sweep.owner = self._owner
                twin = self._open.get(sweep.scope, sweep)  # a run that was stopped while it read a span anew leaves two
                older, younger = sorted((sweep, twin), key=lambda one: one.started_at)
                self._open[sweep.scope] = younger
                if older is not younger and sweep.stream.name in by_name:
                    by_name[sweep.stream.name].abandoned.append(older)
            elif sweep.stream.name in by_name:
                by_name[sweep.stream.name].abandoned.append(sweep)

    async def sweeps(self, work: StreamWork, ids: Sequence[str], earliest: Earliest) -> list[Sweep]:
        """The walks of a stream without a parent."""
        stream = work.stream
        if stream.company_in is CompanyIn.CREDENTIAL:
            return [self._going_on(work, Sweep(stream))]
        if stream.newest is not None:
            return [self._newest_first(work, company_id) for company_id in ids]
        sweeps = []
        for company_id in ids:
            if stream.window is None:
                sweeps.append(self._going_on(work, Sweep(stream, company_id)))
                continue
            for one in await self._windows(work, company_id, earliest):
                fresh = Sweep(stream, company_id, one.span, tier=one.tier, why=one.why, last=one.last)
                sweeps.append(self._going_on(work, fresh))
        return sweeps

    def sweeps_of_parents(self, work: StreamWork, parent: Parent, parent_records: ParentRecords, ids: Sequence[str]) -> list[Sweep]:
        """The walks of a stream that is read for each record of another; open ones that are no longer due are abandoned."""
        stream = work.stream
        sweeps = []
        for company_id in ids:
            if company_id in parent_records.failed:
                continue
            records = parent_records.records.get(company_id, {}).values()
            wanted = parents.due(stream, parent, records, self._parents[stream.name], full=self._full)
            sweeps += [self._going_on(work, Sweep(stream, company_id, parent_id=one.id, parent_state=one.state)) for one in wanted]
            left = [scope for scope, sweep in self._open.items() if sweep.stream is stream and sweep.company_id == company_id]
            work.abandoned += [self._open.pop(scope) for scope in left]
            work.whole.add(company_id)
        return sweeps

    def states_of_parents(self, stream: Stream) -> Mapping[str, str]:
        """Parent -> its state when its records were last read to the end."""
        return self._parents[stream.name]

    def _policy(self, stream: Stream) -> SweepPolicy:
        return self._options.get(stream.name, DEFAULT).sweep

    def _going_on(self, work: StreamWork, fresh: Sweep) -> Sweep:
        """The open sweep that reads the same, or the fresh one.

        A sweep that has read its last page is only closed if its span is not due again by now; else it is read again.
        """
        left = self._open.pop(fresh.scope, None)
        if left is None:
            return fresh
        young = not self._full or self._now - left.started_at < FULL_GOES_ON
        if left.exhausted and (fresh.span is None or not young or self._policy(work.stream).tier(fresh.span.end, self._now)[0] == "hot"):
            work.abandoned.append(left)
            return fresh
        left.tier, left.why = left.tier or fresh.tier, Why.UNFINISHED
        return left

    def _newest_first(self, work: StreamWork, company_id: str) -> Sweep:
        watermark = self._watermarks[work.stream.name].get(company_id, state.Watermark())
        whole = (
            self._full or watermark.newest is None or watermark.whole is None or self._now - watermark.whole >= WHOLE_EVERY - windows.SLACK
        )
        # A date in the future must not hide records that come before it.
        floor = None if whole or watermark.newest is None else min(watermark.newest, self._now) - OVERLAP
        why = Why.EVERY_RUN if not whole else Why.NEVER_READ if watermark.whole is None else Why.FULL if self._full else Why.DUE
        fresh = Sweep(work.stream, company_id, floor=floor, why=why, last=watermark.whole)
        left = self._open.pop(fresh.scope, None)
        if left is None:
            return fresh
        if left.floor is None or (floor is not None and left.floor <= floor):
            left.why = Why.UNFINISHED
            return left  # it goes at least as deep; what is newer than its start is for the next run
        work.abandoned.append(left)
        return fresh

    async def _windows(self, work: StreamWork, company_id: str, earliest: Earliest) -> list[WindowStatus]:
        stream = work.stream
        done = self._spans[stream.name].get(company_id, {})
        left = [sweep.span for sweep in self._open.values() if sweep.stream is stream and sweep.company_id == company_id and sweep.span]
        first = windows.first_month([*done, *left])
        if first is None:
            first = await earliest(work, company_id)
        spans = windows.windows(first, self._now)
        policy, opened = self._policy(stream), self._opened[stream.name].get(company_id, {})
        has_range = self._start is not None or self._end is not None
        if self._full and not has_range:
            why = Why.FULL
        elif company_id in self._unproven[stream.name]:
            why = Why.MISSING_ROWS
        elif has_range and self._is_new(stream, company_id):
            why = Why.NEW_COMPANY
            work.new.add(company_id)
        elif has_range:
            why, parts = Why.ASKED_FOR, windows.clipped(spans, self._start, self._end)
            # The window before the first month is not cut: `windows.first_month` takes its end for the company's first month.
            spans = (spans[0], *parts[1:]) if parts and parts[0].start == spans[0].start else parts
        else:
            return list(windows.due(spans, done, self._now, policy, opened))
        return [replace(windows.status_of(span, done, self._now, policy, opened), why=why) for span in spans]

    def _is_new(self, stream: Stream, company_id: str) -> bool:
        """Whether the company has joined: others were read before, it was not. It is read whole, whatever the run's range is."""
        return self._all_companies and company_id not in self._spans[stream.name] and bool(self._spans[stream.name])


def is_urgent(stream: Stream) -> bool:
    """Whether waiting costs data: export jobs, and items that Pleo serves only while their job runs."""
    return stream.mode is SyncMode.OPEN_JOBS and (stream.parent is None or stream.parent.only_open)


def _depends_on_sweeps(stream: Stream) -> bool:
    """Whether what is due of the stream depends on the sweeps of earlier runs."""
    return stream.window is not None or stream.newest is not None or stream.parent is not None
