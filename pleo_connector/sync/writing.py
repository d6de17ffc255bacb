"""One load: pages normalised, then written with their checkpoints and ended sweeps in one transaction.

A sync and a replay write through here, so that both make the same rows of the same pages.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from pleo_connector.catalogue import Stream
from pleo_connector.errors import ApiError, DriftError, PleoError
from pleo_connector.frames import Batch, Served, batches_joined, normalise
from pleo_connector.stream_options import DEFAULT, StreamOptions
from pleo_connector.sync import counting, state
from pleo_connector.sync.deletions import Finished, finish
from pleo_connector.sync.errors import REFUSALS, folded
from pleo_connector.sync.raw import RawLanding
from pleo_connector.sync.raw_packing import PackedPage
from pleo_connector.sync.report import StreamReport
from pleo_connector.sync.sweep import ServedPage, Sweep
from pleo_connector.warehouses import MergeCounts, Transaction


@dataclass(slots=True)
class StreamWork:
    """A stream and its sweeps in this run."""

    stream: Stream
    report: StreamReport
    sweeps: list[Sweep] = field(default_factory=list)
    abandoned: list[Sweep] = field(default_factory=list)
    """Open sweeps that will not go on: too old, or Pleo refused their cursor, or no longer serves their records."""
    whole: set[str] = field(default_factory=set)
    """Companies whose parents are all known, of a stream that is read for each record of another."""
    new: set[str] = field(default_factory=set)
    """Companies that joined since other companies were read: a run of a range reads them whole."""
    quarantined: set[str] = field(default_factory=set)
    """Keys of records that earlier runs set aside."""
    refused: dict[str | None, ApiError] = field(default_factory=dict)
    """By company: the first request of its that Pleo refused."""
    again: list[Sweep] = field(default_factory=list)
    """Sweeps that read another number of records than Pleo reported: they are read once more before the stream ends."""
    may_read_again: bool = False
    decided: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when the stream's end was loaded, or put off until `again` is read."""

    def abandon(self, sweep: Sweep) -> None:
        """The sweep will not go on."""
        self.abandoned.append(sweep)
        self.sweeps.remove(sweep)

    def note(self, error: PleoError, company_id: str | None = None) -> None:
        """The first error fails the stream; further ones become warnings. Refusals wait for `note_refusals`."""
        if isinstance(error, ApiError) and type(error) in REFUSALS:
            self.refused.setdefault(company_id, error)
        elif self.report.error is None:
            self.report.error = error
        elif error is not self.report.error:
            self.report.warnings.append(str(error))

    def note_refusals(self) -> None:
        """Pleo's refusals, after all other errors."""
        for error in folded(self.refused):
            if self.report.error is None:
                self.report.error = error
            else:
                self.report.warnings.append(str(error))
        self.refused.clear()


@dataclass(frozen=True, slots=True)
class Run:
    """Who loads, and what was allowed."""

    owner: str
    allow_mass_delete: bool = False


@dataclass(slots=True)
class Load:
    """Pages of one transaction, normalised; what writing them did is added."""

    at: datetime
    """The time that its rows bear."""
    pages: Mapping[str, Sequence[ServedPage]]
    """By stream; without those of a stream that failed on drift."""
    batches: Mapping[str, Batch]
    raw: Sequence[ServedPage]
    """The same pages in the order they came, for the landing."""
    packed_pages: Sequence[PackedPage]
    counts: dict[str, MergeCounts] = field(default_factory=dict)
    finished: list[Finished] = field(default_factory=list)


def joined(loads: Sequence[Load], at: datetime) -> Load:
    """One load of several that were prepared one after the other; their batches are used up."""
    if len(loads) == 1:
        return loads[0]
    batches: dict[str, list[Batch]] = {}
    for load in loads:
        for name, batch in load.batches.items():
            batches.setdefault(name, []).append(batch)
    raw, packed_pages = [page for load in loads for page in load.raw], [one for load in loads for one in load.packed_pages]
    return Load(at, _by_stream(raw), {name: batches_joined(group, at) for name, group in batches.items()}, raw, packed_pages)


def _by_stream(pages: Sequence[ServedPage]) -> dict[str, list[ServedPage]]:
    by_stream: dict[str, list[ServedPage]] = {}
    for page in pages:
        by_stream.setdefault(page.sweep.stream.name, []).append(page)
    return by_stream


class Writer:
    """Makes rows of pages, and writes them."""

    def __init__(self, work: Mapping[str, StreamWork], options: Mapping[str, StreamOptions], raw: RawLanding) -> None:
        self._work = work
        self._options = options
        self._raw = raw

    def prepare(self, pages: Sequence[ServedPage], at: datetime, packed_pages: Mapping[str, PackedPage] | None = None) -> Load:
        """Normalise and compress, before the warehouse is locked; `packed_pages` are pages that are compressed already.

        The load no longer has the pages' text.
        """
        batches = {name: batch for name, group in _by_stream(pages).items() if (batch := self._normalised(name, group, at)) is not None}
        loaded = [page for page in pages if page.sweep.stream.name in batches]
        packed = self._raw.pack(loaded, packed_pages or {})
        emptied = [page.emptied() for page in loaded]
        return Load(at, _by_stream(emptied), batches, emptied, packed)

    def write(self, transaction: Transaction, load: Load, ended: Sequence[StreamWork], run: Run) -> None:
        """Write rows, checkpoints and pages, and end the streams whose walks have all ended."""
        for name, batch in load.batches.items():
            load.counts[name] = self._write(transaction, batch, load.pages[name], run.owner)
        state.write_progress(transaction, load.pages, load.batches.values())
        states = self._end(transaction, load, ended, run)
        ended_ids = {one.sweep.sweep_id for one in states}
        under_way = {page.sweep.sweep_id: page.sweep for page in load.raw if page.sweep.sweep_id not in ended_ids}
        state.write_sweeps(transaction, [*(state.SweepState(sweep, "open") for sweep in under_way.values()), *states], at=load.at)
        state.forget(transaction, [one.sweep for one in states])
        by_name = {work.stream.name: work for work in ended if not work.again}
        self._raw.land(
            transaction, load.raw, load.packed_pages, by_name, run=run.owner, at=load.at, allow_mass_delete=run.allow_mass_delete
        )

    def _end(self, transaction: Transaction, load: Load, ended: Sequence[StreamWork], run: Run) -> list[state.SweepState]:
        """End the streams whose walks have all ended; how their sweeps ended, which the caller writes."""
        wrong = counting.to_read_again(transaction, {work.stream.name: work.sweeps for work in ended})
        states: list[state.SweepState] = []
        for work in ended:
            work.again = wrong[work.stream.name] if work.may_read_again and work.report.error is None else []
            if work.again:
                load.finished.append(Finished())
                continue
            states += [state.SweepState(sweep, "abandoned") for sweep in work.abandoned]
            finished = finish(
                transaction,
                work.stream,
                work.sweeps,
                work.whole,
                new=work.new,
                allow_mass_delete=run.allow_mass_delete,
                at=load.at,
                history=self._of(work.stream).history,
            )
            states += finished.states
            load.finished.append(finished)
        live = transaction.counts([table for work in ended if not work.again for table in work.stream.tables()])
        for work, finished in zip(ended, load.finished, strict=True):
            if not work.again:
                finished.tables = {table.name: live[table.name] for table in work.stream.tables()}
        return states

    def count(self, load: Load, ended: Sequence[StreamWork]) -> None:
        """Add what was committed to the streams' reports."""
        for name, batch in load.batches.items():
            _count(self._work[name].report, batch, load.counts[name], load.pages[name])
        for work, end in zip(ended, load.finished, strict=True):
            end.add_to(work.report)

    def _of(self, stream: Stream) -> StreamOptions:
        return self._options.get(stream.name, DEFAULT)

    def _normalised(self, name: str, pages: Sequence[ServedPage], now: datetime) -> Batch | None:
        """The batch, or None when the stream failed on drift: its pages then stay uncommitted."""
        work = self._work[name]
        if isinstance(work.report.error, DriftError):
            return None
        served = [Served(page.page.records, page.sweep.company_id, page.sweep.sweep_id, page.sweep.parent_id) for page in pages]
        try:
            return normalise(work.stream, served, now=now, policy=self._of(work.stream).drift)
        except DriftError as error:
            work.report.error = error
            for sweep in work.sweeps:
                sweep.error = error
            return None

    def _write(self, transaction: Transaction, batch: Batch, pages: Sequence[ServedPage], owner: str) -> MergeCounts:
        counts = transaction.merge(batch.stream.tables(), batch.frames, history=self._of(batch.stream).history)
        counting.check_balance(batch, pages, counts)
        _advance(batch, pages, owner)
        state.release(transaction, batch, self._work[batch.stream.name].quarantined)
        state.write_quarantined(transaction, batch)
        return counts


def _advance(batch: Batch, pages: Sequence[ServedPage], owner: str) -> None:
    """Update the sweeps to the end of this batch. A failed commit ends the run, so the update has no effect then."""
    for served in pages:
        sweep = served.sweep
        sweep.owner = owner
        sweep.pages = served.number
        sweep.cursor = served.page.end_cursor
        sweep.exhausted = served.is_last
        if served.newest is not None:
            sweep.newest = max(served.newest, sweep.newest or served.newest)
        sweep.rows_served += served.rows
        sweep.rows_outside += served.outside
        if served.page.total is not None:
            sweep.rows_reported = served.page.total - sweep.rows_outside
        elif sweep.rows_reported is not None:
            sweep.rows_reported -= served.outside  # the total came with an earlier page
    sweeps = {served.sweep.sweep_id: served.sweep for served in pages}
    for row in batch.quarantined.itertuples():
        sweep = sweeps[str(row.sweep_id)]
        sweep.rows_quarantined += 1
        sweep.proves_absence = sweep.proves_absence and state.key_of(batch.stream, str(row.record)) is not None


def _count(report: StreamReport, batch: Batch, counts: MergeCounts, pages: Sequence[ServedPage]) -> None:
    report.served += batch.served
    report.inserted += counts.inserted
    report.updated += counts.updated
    report.unchanged += counts.unchanged
    report.flagged += counts.deleted
    report.quarantined += len(batch.quarantined)
    report.duplicates += batch.duplicates
    report.drift += batch.drift
    report.pages += len(pages)
