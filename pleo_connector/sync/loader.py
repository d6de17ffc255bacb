"""Pages in, committed rows out: the only code of a run that touches the warehouse.

Pages of all streams queue here while the previous batch loads. Each batch is normalised first
and then written in one transaction with its checkpoints, so the warehouse is held for the
load alone, never while Pleo answers.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from pleo_connector.catalogue import Stream, SyncMode
from pleo_connector.errors import DriftError
from pleo_connector.frames import Batch, Served, normalise
from pleo_connector.stream_options import DEFAULT, StreamOptions
from pleo_connector.sync import ledger
from pleo_connector.sync.finish import Finished, finish
from pleo_connector.sync.raw import RawLanding
from pleo_connector.sync.report import StreamReport
from pleo_connector.sync.sweep import ServedPage, Sweep
from pleo_connector.warehouses import MergeCounts, Transaction, Warehouse

BATCH_ROWS = 20_000
"""Records in one transaction: enough for bulk speed, little enough for flat memory."""

LINGER = 0.5
"""Seconds to wait for more pages before a small batch is written."""

OLDEST = 2.0
"""Seconds after which a batch is written even while more pages keep coming: a run that is stopped loses no more than that."""

_QUEUED_PAGES = 200


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
    quarantined: set[str] = field(default_factory=set)
    """Keys of records that earlier runs set aside."""


class Loader:
    """Takes pages and ends of streams through a queue, and loads them batch by batch."""

    def __init__(
        self,
        warehouse: Warehouse,
        work: Mapping[str, StreamWork],
        *,
        options: Mapping[str, StreamOptions],
        allow_mass_delete: bool,
        owner: str,
        raw: RawLanding,
        on_load: Callable[[StreamReport], None],
        on_finish: Callable[[StreamReport], None],
    ) -> None:
        self._warehouse = warehouse
        self._work = work
        self._options = options
        self._allow_mass_delete = allow_mass_delete
        self._owner = owner
        self._raw = raw
        self._on_load = on_load
        self._on_finish = on_finish
        self._queue: asyncio.Queue[ServedPage | StreamWork | None] = asyncio.Queue(_QUEUED_PAGES)

    async def put(self, item: ServedPage | StreamWork | None) -> None:
        """A page; a stream whose walks have all ended; or None: nothing more comes."""
        await self._queue.put(item)

    async def run(self) -> None:
        """Load until None arrives. Errors of the warehouse end the run; drift fails its stream alone."""
        more = True
        while more:
            pages, ended, more = await self._next_batch()
            if pages or ended:
                await asyncio.to_thread(self._load, pages, ended)
                for stream in dict.fromkeys(page.sweep.stream.name for page in pages):
                    self._on_load(self._work[stream].report)
                for work in ended:
                    self._on_finish(work.report)

    async def _next_batch(self) -> tuple[list[ServedPage], list[StreamWork], bool]:
        pages: list[ServedPage] = []
        ended: list[StreamWork] = []
        rows = 0
        item = await self._queue.get()
        clock = asyncio.get_running_loop().time
        closing = clock() + OLDEST
        while True:
            if item is None:
                return pages, ended, False
            if isinstance(item, StreamWork):
                ended.append(item)
            else:
                pages.append(item)
                rows += len(item.page.records)
            if rows >= BATCH_ROWS:
                return pages, ended, True
            try:
                # Not asyncio.wait_for: in Python 3.11 it can swallow a cancellation, and the run would never end.
                async with asyncio.timeout(min(LINGER, closing - clock())):
                    item = await self._queue.get()
            except TimeoutError:
                return pages, ended, True

    def _load(self, pages: Sequence[ServedPage], ended: Sequence[StreamWork]) -> None:
        by_stream: dict[str, list[ServedPage]] = {}
        for page in pages:
            by_stream.setdefault(page.sweep.stream.name, []).append(page)
        now = datetime.now(UTC)
        batches = {name: batch for name, group in by_stream.items() if (batch := self._normalised(name, group, now)) is not None}
        loaded = [page for page in pages if page.sweep.stream.name in batches]
        kept = self._raw.pack(loaded)
        with self._warehouse.transaction() as transaction:
            counts, finished = self._write_all(transaction, batches, by_stream, ended, now)
            self._raw.land(
                transaction,
                loaded,
                kept,
                {work.stream.name: work for work in ended},
                run=self._owner,
                at=now,
                allow_mass_delete=self._allow_mass_delete,
            )
        for name, batch in batches.items():
            _count(self._work[name].report, batch, counts[name], by_stream[name])
        for work, end in zip(ended, finished, strict=True):
            end.add_to(work.report)

    def _write_all(
        self,
        transaction: Transaction,
        batches: Mapping[str, Batch],
        pages: Mapping[str, Sequence[ServedPage]],
        ended: Sequence[StreamWork],
        now: datetime,
    ) -> tuple[dict[str, MergeCounts], list[Finished]]:
        counts = {name: self._write(transaction, batch, pages[name], now) for name, batch in batches.items()}
        finished: list[Finished] = []
        for work in ended:
            ledger.write_sweeps(transaction, work.abandoned, "abandoned", at=now)
            ledger.forget(transaction, work.abandoned)
            finished.append(
                finish(
                    transaction,
                    work.stream,
                    work.sweeps,
                    work.whole,
                    allow_mass_delete=self._allow_mass_delete,
                    at=now,
                    history=self._of(work.stream).history,
                )
            )
        return counts, finished

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

    def _of(self, stream: Stream) -> StreamOptions:
        return self._options.get(stream.name, DEFAULT)

    def _write(self, transaction: Transaction, batch: Batch, pages: Sequence[ServedPage], now: datetime) -> MergeCounts:
        counts = transaction.merge(batch.stream.tables(), batch.frames, history=self._of(batch.stream).history)
        _advance(batch, pages, self._owner)
        ledger.write_pages(transaction, pages)
        ledger.write_sweeps(transaction, {page.sweep.sweep_id: page.sweep for page in pages}.values(), "open", at=now)
        if batch.stream.mode is not SyncMode.OPEN_JOBS:  # never deleted by absence
            ledger.write_seen(transaction, batch)
        ledger.release(transaction, batch, self._work[batch.stream.name].quarantined)
        ledger.write_quarantined(transaction, batch)
        return counts


def _advance(batch: Batch, pages: Sequence[ServedPage], owner: str) -> None:
    """Move the sweeps to where this batch leaves them. A failed commit ends the run, so nobody sees it."""
    for served in pages:
        sweep = served.sweep
        sweep.owner = owner
        sweep.pages = served.number
        sweep.cursor = served.page.end_cursor
        sweep.exhausted = served.is_last
        if served.newest is not None:
            sweep.newest = max(served.newest, sweep.newest or served.newest)
        sweep.rows_served += len(served.page.records)
        sweep.rows_reported = served.page.total if served.page.total is not None else sweep.rows_reported
    sweeps = {served.sweep.sweep_id: served.sweep for served in pages}
    for row in batch.quarantined.itertuples():
        sweep = sweeps[str(row.sweep_id)]
        sweep.rows_quarantined += 1
        sweep.proves_absence = sweep.proves_absence and ledger.key_of(batch.stream, str(row.record)) is not None


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
