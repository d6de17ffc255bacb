"""The walks of a run: which there are for each stream, each walked to its end, and what becomes of one that fails."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from pleo_connector.api import Interval, PleoClient, Traffic, page_request
from pleo_connector.catalogue import Parent, Stream
from pleo_connector.errors import (
    CertificateRefused,
    CredentialError,
    CursorRefused,
    JobFinished,
    ParentGone,
    PleoError,
    ReauthRequired,
    WalkStalled,
    WarehouseError,
)
from pleo_connector.frames import split_page
from pleo_connector.sync.parents import ParentRecords
from pleo_connector.sync.planner import Planner, is_urgent
from pleo_connector.sync.sweep import FailedPage, ServedPage, Sweep, walk
from pleo_connector.sync.windows import FIRST_MONTH, moment_in
from pleo_connector.sync.writing import StreamWork

FATAL = (ReauthRequired, CredentialError, WarehouseError, CertificateRefused)
"""Errors that would stop every other stream too."""

URGENT = 1
"""Walks beside the others, for what Pleo serves for a short time only."""


@dataclass(frozen=True, slots=True)
class ConcurrencyLimits:
    """How many walks run at once. Export items, which Pleo serves for an hour, do not wait behind months of entries."""

    usual: asyncio.Semaphore
    urgent: asyncio.Semaphore

    @classmethod
    def of(cls, concurrency: int) -> ConcurrencyLimits:
        """So many walks, and one for what is urgent."""
        return cls(asyncio.Semaphore(concurrency), asyncio.Semaphore(URGENT))

    def to(self, stream: Stream) -> asyncio.Semaphore:
        """The semaphore that a walk of the stream waits for."""
        return self.urgent if is_urgent(stream) else self.usual


@dataclass(frozen=True, slots=True)
class Walks:
    """Walks sweeps, and hands over each page that Pleo serves."""

    client: PleoClient
    planner: Planner
    limits: ConcurrencyLimits
    parent_records: Mapping[str, ParentRecords]
    """Of the streams whose records other walks are for."""
    put: Callable[[ServedPage], Awaitable[None]]
    keep_failed: Callable[[FailedPage], Awaitable[str]]

    async def of(self, work: StreamWork, ids: Sequence[str]) -> None:
        """Walk all that is due of a stream; the first error is in its report, and stops no other walk."""
        work.sweeps = await self._sweeps(work, ids)
        work.report.sweeps = len(work.sweeps)
        await self._walk_all(work, list(work.sweeps))

    async def again(self, work: StreamWork) -> None:
        """Walk again the sweeps that read another number of records than Pleo reported."""
        fresh = [sweep.anew() for sweep in work.again]
        for sweep in work.again:
            work.abandon(sweep)
        work.sweeps += fresh
        work.again, work.may_read_again = [], False
        await self._walk_all(work, fresh)

    async def list_only(self, stream: Stream, ids: Sequence[str], traffic: Traffic) -> None:
        """List the records that other walks are for, when their own stream is not part of the run."""
        parent_records = self.parent_records[stream.name]

        async def note(page: ServedPage) -> None:
            parent_records.note(page)

        for company_id in ids:
            async with self.limits.to(stream):
                try:
                    await walk(Sweep(stream, company_id), self.client, traffic, note, self.keep_failed)
                except FATAL:
                    raise
                except PleoError as error:
                    parent_records.failed[company_id] = error
        parent_records.done.set()

    async def _sweeps(self, work: StreamWork, ids: Sequence[str]) -> list[Sweep]:
        parent = work.stream.parent
        if parent is None and work.stream.of_company:
            return [sweep for company_id in ids for sweep in await self._sweeps_of(work, company_id)]
        if parent is None:
            return await self.planner.sweeps(work, ids, self._earliest)
        parent_records = self.parent_records[parent.stream]
        await parent_records.done.wait()
        for company_id, error in parent_records.failed.items():
            work.note(error, company_id)
        return self.planner.sweeps_of_parents(work, parent, parent_records, ids)

    async def _sweeps_of(self, work: StreamWork, company_id: str) -> list[Sweep]:
        """The walks of one company; none where Pleo refuses to say when its records begin, which stops no other company."""
        try:
            return await self.planner.sweeps(work, (company_id,), self._earliest)
        except FATAL:
            raise
        except PleoError as error:
            work.note(error, company_id)
            return []

    async def _earliest(self, work: StreamWork, company_id: str) -> datetime | None:
        """When the company's first entry since `FIRST_MONTH` was performed: one request for one row."""
        stream, window = work.stream, work.stream.window
        request = page_request(stream, company_id, Interval(FIRST_MONTH), limit=1)

        def parse(body: bytes) -> datetime | None:
            page = split_page(body, stream.paging, request.what)
            return moment_in(page, 0, stream, window.column) if window is not None else None

        return await self.client.fetch(request, parse, work.report.traffic)

    async def _walk_all(self, work: StreamWork, sweeps: Sequence[Sweep]) -> None:
        gone: list[Sweep] = []
        async with asyncio.TaskGroup() as walks:
            for sweep in sweeps:
                walks.create_task(self._walk(work, sweep, gone))
        work.note_refusals()
        if gone and work.stream.parent is not None:
            work.report.warnings.append(_gone_warning(work.stream, work.stream.parent, gone, len(sweeps)))

    async def _walk(self, work: StreamWork, sweep: Sweep, gone: list[Sweep]) -> None:
        """Walk one sweep; it is added to `gone` when the record that it is for has gone since it was listed."""
        parent_records = self.parent_records.get(work.stream.name)
        handed_over = sweep.pages

        async def hand_over(page: ServedPage) -> None:
            nonlocal handed_over
            if page.sweep.error is not None:
                raise page.sweep.error
            if parent_records is not None:
                parent_records.note(page)
            await self.put(page)
            handed_over += 1

        async with self.limits.to(work.stream):
            try:
                if sweep.exhausted:
                    return  # an earlier run loaded its last page and was stopped before closing it
                try:
                    await walk(sweep, self.client, work.report.traffic, hand_over, self.keep_failed)
                except CursorRefused:
                    work.abandon(sweep)
                    sweep = sweep.anew()
                    work.sweeps.append(sweep)
                    await walk(sweep, self.client, work.report.traffic, hand_over, self.keep_failed)
            except (JobFinished, ParentGone) as error:
                work.abandon(sweep)
                _leave(work, sweep, error, handed_over, gone)
            except FATAL:
                raise
            except PleoError as error:
                self._fail(work, sweep, error)
            finally:
                work.report.walked += 1

    def _fail(self, work: StreamWork, sweep: Sweep, error: PleoError) -> None:
        sweep.error = error
        if isinstance(error, WalkStalled):
            work.abandon(sweep)  # its cursor leads nowhere: the next run starts from the first page
        work.note(error, sweep.company_id)
        if (parent_records := self.parent_records.get(work.stream.name)) is not None:
            parent_records.failed[sweep.company_id] = error


def _leave(work: StreamWork, sweep: Sweep, error: PleoError, handed_over: int, gone: list[Sweep]) -> None:
    """Note a walk that ends early because its job ended, or its parent was deleted, since it was listed."""
    if isinstance(error, ParentGone):
        # Its rows stay as they are: only a list without the record proves that they are gone, and the next run reads it.
        work.whole.discard(sweep.company_id or "")
        gone.append(sweep)
    elif handed_over:  # of an ended job nothing more will ever be served, and what was captured stays
        work.report.warnings.append(
            f"The job ended while {sweep} were read: the items read until then are kept; Pleo no longer serves the rest."
        )


def _gone_warning(stream: Stream, parent: Parent, gone: Sequence[Sweep], listed: int) -> str:
    """The warning about records that were listed and are gone; ids of three of them at most."""
    what = parent.stream.replace("_", " ")
    ids = ", ".join(str(sweep.parent_id) for sweep in gone[:3]) + (", ..." if len(gone) > 3 else "")  # noqa: PLR2004 - a sentence, not a list
    message = f"Pleo no longer has {len(gone)} of the {listed} {what} that it had listed (404 or 410: {ids}): their {stream.name} were skipped, and rows that were read before are kept."
    every = " These are all of them: if the next run warns again, check PLEO_API_URL, then report it." if len(gone) == listed else ""
    return message + every
