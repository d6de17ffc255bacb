"""A sync run: plan what is due, walk it concurrently, load it, close the sweeps.

Nothing here knows Dagster: the CLI and the assets both call `run`.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

import httpx
from pydantic import SecretStr

from pleo_connector.api import Budget, PleoClient, RequestBudget, Traffic, page_request
from pleo_connector.api.patience import OUTAGE
from pleo_connector.catalogue import CATALOGUE, Catalogue, CompanyIn, Stream
from pleo_connector.catalogue.rules import under_rules
from pleo_connector.errors import (
    CertificateRefused,
    ConfigurationError,
    CredentialError,
    CursorRefused,
    JobFinished,
    PleoError,
    ReauthRequired,
    SyncCancelled,
    WalkStalled,
    WarehouseError,
)
from pleo_connector.frames import split_page
from pleo_connector.stream_options import DEFAULT, StreamOptions
from pleo_connector.sync import ledger
from pleo_connector.sync.companies import Companies, chosen, discover
from pleo_connector.sync.due import Due, is_urgent
from pleo_connector.sync.loader import Loader, StreamWork
from pleo_connector.sync.moments import moment_in
from pleo_connector.sync.owner import registered
from pleo_connector.sync.parents import Listing
from pleo_connector.sync.raw import RawLanding
from pleo_connector.sync.raw_policy import RawPolicy
from pleo_connector.sync.receipt_files import FileFetching
from pleo_connector.sync.receipt_report import FilesReport
from pleo_connector.sync.report import StreamReport, SyncReport
from pleo_connector.sync.state import STATE_TABLES
from pleo_connector.sync.sweep import FailedPage, ServedPage, Sweep, walk
from pleo_connector.warehouses import Publishes, Warehouse

_FATAL = (ReauthRequired, CredentialError, WarehouseError, CertificateRefused)
"""Errors after which no other stream can do better."""

URGENT = 1
"""Walks beside the others, for what Pleo serves for a short time only."""

_CANCEL_POLL = 0.1
"""Seconds between looks at `cancel`, which another thread sets."""


class Mode(StrEnum):
    """Which windows are read: those that are due, or all."""

    INCREMENTAL = "incremental"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """What a run is asked to do. No streams or no companies means all of them."""

    streams: tuple[str, ...] = ()
    mode: Mode = Mode.INCREMENTAL
    start: datetime | None = None
    end: datetime | None = None
    """`start <= performed < end` for windowed streams; the others are always read whole."""
    companies: tuple[str, ...] = ()
    allow_mass_delete: bool = False
    options: Mapping[str, StreamOptions] = field(default_factory=dict)
    """By stream; one that is not named has the defaults."""
    raw: RawPolicy = field(default_factory=RawPolicy)
    """Where and for how long pages are kept as they were served."""
    hash_key: SecretStr = field(default_factory=lambda: SecretStr(""))
    """The key of hashed columns."""


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach Pleo: where, with what credential, how fast."""

    api_url: str
    auth: httpx.Auth
    requests_per_minute: int = 500
    concurrency: int = 8
    patience: float = OUTAGE
    """Seconds for which a failing request is tried again."""
    budget: Callable[[int], RequestBudget] = Budget
    """Makes the budget of one run from the requests per minute; `reach` makes one that processes share."""


Listener = Callable[[StreamReport], None]


def run(
    plan: SyncPlan,
    connection: Connection,
    warehouse: Warehouse,
    *,
    catalogue: Catalogue = CATALOGUE,
    on_load: Listener = lambda _: None,
    on_finish: Listener = lambda _: None,
    now: datetime | None = None,
    cancel: threading.Event | None = None,
) -> SyncReport:
    """Run the plan to its end and report; blocks.

    A stream that fails has its error in its report and stops nobody else. What no stream can
    survive is raised: ReauthRequired, CredentialError, WarehouseError, ConfigurationError, and any
    error of reading the list of companies, which comes before all streams. Two runs at once are
    safe: each walks sweeps of its own.
    `on_load` hears of a stream after each commit, `on_finish` when its sweeps are closed; both
    are called in this thread. Once another thread sets `cancel`, the run stops within a moment:
    SyncCancelled, with what was committed kept for the next run to go on from.
    """
    catalogue = under_rules(catalogue, plan.options, plan.hash_key.get_secret_value())
    streams = [catalogue.stream(name) for name in plan.streams] or list(catalogue)
    with registered() as owner:
        work = _Run(plan, connection, warehouse, catalogue, streams, now or datetime.now(UTC), owner).go(on_load, on_finish)
        report = asyncio.run(work if cancel is None else _unless_cancelled(work, cancel))
    if isinstance(warehouse, Publishes):
        try:
            warehouse.publish()
        except WarehouseError as error:  # what was loaded is kept, and the next run publishes it too
            report.warnings.append(str(error))
    return report


class _Run:
    def __init__(
        self,
        plan: SyncPlan,
        connection: Connection,
        warehouse: Warehouse,
        catalogue: Catalogue,
        streams: Sequence[Stream],
        now: datetime,
        owner: str,
    ) -> None:
        self._plan = plan
        self._connection = connection
        self._warehouse = warehouse
        self._catalogue = catalogue
        self._now = now
        self._owner = owner
        self._raw = RawLanding(plan.raw)
        self._work = {stream.name: StreamWork(stream, StreamReport(stream.name), may_read_again=True) for stream in dict.fromkeys(streams)}
        self._files = {
            name: FileFetching(files, work.stream, warehouse, connection.api_url)
            for name, work in self._work.items()
            if (files := plan.options.get(name, DEFAULT).files) is not None
        }
        self._turns = asyncio.Semaphore(connection.concurrency)
        # What vanishes within the hour does not wait behind months of entries.
        self._urgent_turns = asyncio.Semaphore(URGENT)
        self._due = Due(self._now, plan.options, plan.start, plan.end, full=plan.mode is Mode.FULL, owner=owner)
        self._listings = {work.stream.parent.stream: Listing() for work in self._work.values() if work.stream.parent is not None}

    async def go(self, on_load: Listener, on_finish: Listener) -> SyncReport:
        began = time.monotonic()
        self._on_finish = on_finish
        self._loader = Loader(
            self._warehouse,
            self._work,
            options=self._plan.options,
            allow_mass_delete=self._plan.allow_mass_delete,
            owner=self._owner,
            raw=self._raw,
            on_load=on_load,
            on_finish=lambda report: None if report.stream in self._files else on_finish(report),
        )
        await asyncio.to_thread(self._read_state)
        budget = self._connection.budget(self._connection.requests_per_minute)
        try:
            async with PleoClient(
                self._connection.api_url,
                self._connection.auth,
                budget,
                connections=self._connection.concurrency + URGENT,
                patience=self._connection.patience,
            ) as client:
                self._client = client
                companies = await self._companies()
                ids = chosen(companies, self._plan.companies)
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._loader.run())
                    async with asyncio.TaskGroup() as streams:
                        for work in self._work.values():
                            streams.create_task(self._stream(work, companies, ids))
                        for name in self._listings.keys() - self._work.keys():
                            streams.create_task(self._list_only(self._catalogue.stream(name), ids))
                    await self._loader.put(None)
        except* PleoError as errors:
            raise _first(errors) from None
        finally:
            await budget.close()
        await asyncio.to_thread(self._close_raw)
        reports = {name: work.report for name, work in self._work.items()}
        return SyncReport(reports, ids, time.monotonic() - began, self._raw.report)

    def _close_raw(self) -> None:
        if self._plan.raw.is_on:
            with self._warehouse.transaction() as transaction:
                gone = self._raw.prune(transaction, self._catalogue, self._now)
                self._raw.measure(transaction)
            self._raw.forget(gone)

    async def _keep_failed(self, page: FailedPage) -> str:
        return await asyncio.to_thread(self._raw.keep_failed, self._warehouse, page)

    def _read_state(self) -> None:
        tables = [table for work in self._work.values() for table in work.stream.tables()]
        with self._warehouse.transaction() as transaction:
            transaction.ensure([*tables, *STATE_TABLES])
            self._raw.ensure(transaction)
            for files in self._files.values():
                files.prepare(transaction)
            for name, work in self._work.items():
                if self._plan.options.get(name, DEFAULT).history:
                    transaction.keep_history(work.stream.tables())
            self._due.read(transaction, self._catalogue, self._work.values())
            for work in self._work.values():
                work.quarantined = ledger.quarantined_keys(transaction, work.stream)

    async def _companies(self) -> Companies:
        listing = next(stream for stream in self._catalogue if stream.company_in is CompanyIn.NOWHERE)
        work = self._work.get(listing.name)
        return await discover(listing, self._client, work.report.traffic if work else Traffic(), self._keep_failed)

    async def _stream(self, work: StreamWork, companies: Companies, ids: Sequence[str]) -> None:
        began = time.monotonic()
        try:
            if work.stream.company_in is CompanyIn.NOWHERE:
                await self._hand_over_companies(work, companies)
            else:
                work.sweeps = await self._sweeps(work, ids)
                work.report.sweeps = len(work.sweeps)
                async with asyncio.TaskGroup() as walks:
                    for sweep in work.sweeps:
                        walks.create_task(self._walk(work, sweep))
        except _FATAL:
            raise
        except PleoError as error:
            work.report.error = error
        if (listing := self._listings.get(work.stream.name)) is not None:
            listing.done.set()
        work.report.seconds = time.monotonic() - began
        await self._loader.put(work)
        await work.judged.wait()
        if work.again:
            await self._read_again(work)
            work.report.seconds = time.monotonic() - began
            work.judged.clear()
            await self._loader.put(work)
            await work.judged.wait()
        if (files := self._files.get(work.stream.name)) is not None:
            await self._fetch_files(files, work, ids)

    async def _fetch_files(self, files: FileFetching, work: StreamWork, ids: Sequence[str]) -> None:
        """Fetch the files of what is committed; only then is the stream finished. A folder that refuses fails it, its rows are kept."""
        work.report.files = FilesReport()
        try:
            work.report.warnings += await files.run(self._client, ids, work.report.traffic, work.report.files)
        except _FATAL:
            raise
        except ConfigurationError as error:
            _note(work, error)
        self._on_finish(work.report)

    async def _read_again(self, work: StreamWork) -> None:
        """Walk the sweeps once more that met another number of records than Pleo reported."""
        fresh = [sweep.anew() for sweep in work.again]
        for sweep in work.again:
            _abandon(work, sweep)
        work.sweeps += fresh
        work.again, work.may_read_again = [], False
        async with asyncio.TaskGroup() as walks:
            for sweep in fresh:
                walks.create_task(self._walk(work, sweep))

    async def _hand_over_companies(self, work: StreamWork, companies: Companies) -> None:
        work.sweeps = [companies.sweep]
        work.report.sweeps = 1
        companies.sweep.error = work.report.error = companies.error
        for page in companies.pages:
            await self._loader.put(page)

    async def _sweeps(self, work: StreamWork, ids: Sequence[str]) -> list[Sweep]:
        parent = work.stream.parent
        if parent is None and work.stream.of_company:
            return [sweep for company_id in ids for sweep in await self._sweeps_of(work, company_id)]
        if parent is None:
            return await self._due.sweeps(work, ids, self._earliest)
        listing = self._listings[parent.stream]
        await listing.done.wait()
        for error in listing.failed.values():
            _note(work, error)
        return self._due.sweeps_of_parents(work, parent, listing, ids)

    async def _sweeps_of(self, work: StreamWork, company_id: str) -> list[Sweep]:
        """The walks of one company; none where Pleo refuses to say when its records begin, which stops no other company."""
        try:
            return await self._due.sweeps(work, (company_id,), self._earliest)
        except _FATAL:
            raise
        except PleoError as error:
            _note(work, error)
            return []

    async def _list_only(self, stream: Stream, ids: Sequence[str]) -> None:
        """List the records that other walks are for, when their own stream is not part of the run."""
        listing = self._listings[stream.name]
        traffic = next(
            work.report.traffic for work in self._work.values() if work.stream.parent and work.stream.parent.stream == stream.name
        )

        async def note(page: ServedPage) -> None:
            listing.note(page)

        for company_id in ids:
            async with self._turns_of(stream):
                try:
                    await walk(Sweep(stream, company_id), self._client, traffic, note, self._keep_failed)
                except _FATAL:
                    raise
                except PleoError as error:
                    listing.failed[company_id] = error
        listing.done.set()

    def _turns_of(self, stream: Stream) -> asyncio.Semaphore:
        return self._urgent_turns if is_urgent(stream) else self._turns

    async def _earliest(self, work: StreamWork, company_id: str) -> datetime | None:
        """When the company's first entry was performed: one request for one row."""
        stream, window = work.stream, work.stream.window
        request = page_request(stream, company_id, limit=1)

        def parse(body: bytes) -> datetime | None:
            page = split_page(body, stream.paging, request.what)
            return moment_in(page, 0, stream, window.column) if window is not None else None

        return await self._client.fetch(request, parse, work.report.traffic)

    async def _walk(self, work: StreamWork, sweep: Sweep) -> None:
        listing = self._listings.get(work.stream.name)
        handed_over = sweep.pages

        async def hand_over(page: ServedPage) -> None:
            nonlocal handed_over
            if page.sweep.error is not None:
                raise page.sweep.error
            if listing is not None:
                listing.note(page)
            await self._loader.put(page)
            handed_over += 1

        async with self._turns_of(work.stream):
            try:
                if sweep.exhausted:
                    return  # an earlier run loaded its last page and was stopped before closing it
                try:
                    await walk(sweep, self._client, work.report.traffic, hand_over, self._keep_failed)
                except CursorRefused:
                    _abandon(work, sweep)
                    sweep = sweep.anew()
                    work.sweeps.append(sweep)
                    await walk(sweep, self._client, work.report.traffic, hand_over, self._keep_failed)
            except JobFinished:
                # The job ended since it was listed: nothing more of it will ever be served, and what was captured stays.
                _abandon(work, sweep)
                if handed_over:
                    work.report.warnings.append(
                        f"The job ended while {sweep} were read: what was read until then is kept, the rest is not served."
                    )
            except _FATAL:
                raise
            except PleoError as error:
                self._fail(work, sweep, error)
            finally:
                work.report.walked += 1

    def _fail(self, work: StreamWork, sweep: Sweep, error: PleoError) -> None:
        sweep.error = error
        if isinstance(error, WalkStalled):
            _abandon(work, sweep)  # its cursor leads nowhere: the next run starts from the first page
        _note(work, error)
        if (listing := self._listings.get(work.stream.name)) is not None:
            listing.failed[sweep.company_id] = error


def _abandon(work: StreamWork, sweep: Sweep) -> None:
    work.abandoned.append(sweep)
    work.sweeps.remove(sweep)


def _note(work: StreamWork, error: PleoError) -> None:
    """The first error fails the stream; further ones are told beside it."""
    if work.report.error is None:
        work.report.error = error
    elif error is not work.report.error:
        work.report.warnings.append(str(error))


async def _unless_cancelled(work: Coroutine[None, None, SyncReport], cancel: threading.Event) -> SyncReport:
    """The work's result; SyncCancelled once `cancel` is set. A load under way is committed before the event loop closes."""
    task = asyncio.create_task(work)
    while not (await asyncio.wait({task}, timeout=_CANCEL_POLL))[0]:
        if cancel.is_set():
            task.cancel()
            await asyncio.wait({task})
            raise SyncCancelled("The sync was stopped; what it had loaded is kept, and the next run goes on there.")
    return task.result()


def _first(errors: BaseExceptionGroup[PleoError]) -> PleoError:
    for error in errors.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("an exception group is never empty")
