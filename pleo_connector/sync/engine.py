"""A sync run: plan what is due, walk it concurrently, load it, close the sweeps.

Nothing here knows Dagster: the CLI and the assets both call `run`.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime

from pleo_connector.api import Traffic
from pleo_connector.catalogue import CATALOGUE, Catalogue, CompanyIn, Stream
from pleo_connector.catalogue.rules import under_rules
from pleo_connector.errors import ConfigurationError, PleoError, SyncCancelled, WarehouseError
from pleo_connector.stream_options import DEFAULT
from pleo_connector.sync import state
from pleo_connector.sync.companies import Companies, chosen, discover
from pleo_connector.sync.loader import Loader, StreamWork
from pleo_connector.sync.owner import registered
from pleo_connector.sync.parents import ParentRecords
from pleo_connector.sync.plan import Connection, Mode, SyncPlan
from pleo_connector.sync.planner import Planner
from pleo_connector.sync.raw import RawLanding
from pleo_connector.sync.receipt_files import FileFetching
from pleo_connector.sync.receipt_report import FilesReport
from pleo_connector.sync.report import StreamReport, SyncReport
from pleo_connector.sync.state_tables import STATE_TABLES
from pleo_connector.sync.sweep import FailedPage
from pleo_connector.sync.walks import FATAL, URGENT, ConcurrencyLimits, Walks
from pleo_connector.warehouses import Publishes, Warehouse

_CANCEL_POLL = 0.1
"""Seconds between checks of `cancel`, which another thread sets."""


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

    A stream that fails has its error in its report and stops no other stream. What no stream can
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
        except WarehouseError as error:  # the rows are committed, and the next run publishes them too
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
            name: FileFetching(files, work.stream, warehouse, connection.api_url, connection.proxy)
            for name, work in self._work.items()
            if (files := plan.options.get(name, DEFAULT).files) is not None
        }
        self._limits = ConcurrencyLimits.of(connection.concurrency)
        self._planner = Planner(
            self._now,
            plan.options,
            plan.start,
            plan.end,
            full=plan.mode is Mode.FULL,
            owner=owner,
            all_companies=not plan.companies,
        )
        self._parent_records = {
            work.stream.parent.stream: ParentRecords() for work in self._work.values() if work.stream.parent is not None
        }

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
        await asyncio.to_thread(self._connection.check)
        await asyncio.to_thread(self._read_state)
        budget = self._connection.budget(self._connection.requests_per_minute)
        try:
            async with self._connection.client(budget, connections=self._connection.concurrency + URGENT) as client:
                self._client = client
                self._walks = Walks(client, self._planner, self._limits, self._parent_records, self._loader.put, self._keep_failed)
                companies = await self._companies()
                ids = chosen(companies, self._plan.companies)
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._loader.run())
                    async with asyncio.TaskGroup() as streams:
                        for work in self._work.values():
                            streams.create_task(self._stream(work, companies, ids))
                        for name in self._parent_records.keys() - self._work.keys():
                            streams.create_task(self._walks.list_only(self._catalogue.stream(name), ids, self._traffic_of(name)))
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
            self._planner.read(transaction, self._catalogue, self._work.values())
            for name, keys in state.quarantined_keys(transaction, self._work).items():
                self._work[name].quarantined = keys

    async def _companies(self) -> Companies:
        listing = next(stream for stream in self._catalogue if stream.company_in is CompanyIn.NOWHERE)
        work = self._work.get(listing.name)
        return await discover(listing, self._client, work.report.traffic if work else Traffic(), self._keep_failed)

    def _traffic_of(self, parent: str) -> Traffic:
        """The traffic of listing parents that are no part of the run counts for the stream that needs them."""
        return next(work.report.traffic for work in self._work.values() if work.stream.parent and work.stream.parent.stream == parent)

    async def _stream(self, work: StreamWork, companies: Companies, ids: Sequence[str]) -> None:
        began = time.monotonic()
        try:
            if work.stream.company_in is CompanyIn.NOWHERE:
                await self._hand_over_companies(work, companies)
            else:
                await self._walks.of(work, ids)
        except FATAL:
            raise
        except PleoError as error:
            work.report.error = error
        if (parent_records := self._parent_records.get(work.stream.name)) is not None:
            parent_records.done.set()
        work.report.seconds = time.monotonic() - began
        await self._loader.put(work)
        await work.decided.wait()
        if work.again:
            await self._walks.again(work)
            work.report.seconds = time.monotonic() - began
            work.decided.clear()
            await self._loader.put(work)
            await work.decided.wait()
        if (files := self._files.get(work.stream.name)) is not None:
            await self._fetch_files(files, work, ids)

    async def _fetch_files(self, files: FileFetching, work: StreamWork, ids: Sequence[str]) -> None:
        """Fetch the files of committed rows; only then is the stream finished. If the folder refuses, the stream fails and its rows stay."""
        work.report.files = FilesReport()
        try:
            work.report.warnings += await files.run(self._client, ids, work.report.traffic, work.report.files)
        except FATAL:
            raise
        except ConfigurationError as error:
            work.note(error)
        self._on_finish(work.report)

    async def _hand_over_companies(self, work: StreamWork, companies: Companies) -> None:
        work.sweeps = [companies.sweep]
        work.report.sweeps = 1
        companies.sweep.error = work.report.error = companies.error
        for page in companies.pages:
            await self._loader.put(page)


async def _unless_cancelled(work: Coroutine[None, None, SyncReport], cancel: threading.Event) -> SyncReport:
    """The work's result; SyncCancelled once `cancel` is set. A load under way is committed before the event loop closes."""
    task = asyncio.create_task(work)
    while not (await asyncio.wait({task}, timeout=_CANCEL_POLL))[0]:
        if cancel.is_set():
            task.cancel()
            await asyncio.wait({task})
            raise SyncCancelled("The sync was stopped; loaded rows are kept, and the next run continues there.")
    return task.result()


def _first(errors: BaseExceptionGroup[PleoError]) -> PleoError:
    for error in errors.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("an exception group is never empty")
