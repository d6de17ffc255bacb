"""A sync run: plan what is due, walk it concurrently, load it, close the sweeps.

Nothing here knows Dagster: the CLI and the assets both call `run`.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

import httpx
import msgspec

from pleo_connector.api import Budget, Interval, PageRequest, PleoClient, Traffic, page_request
from pleo_connector.api.patience import OUTAGE
from pleo_connector.catalogue import CATALOGUE, Catalogue, CompanyIn, Stream
from pleo_connector.errors import (
    CredentialError,
    CursorRefused,
    PleoError,
    ReauthRequired,
    SyncCancelled,
    WarehouseError,
)
from pleo_connector.frames import DriftPolicy, split_page
from pleo_connector.sync import ledger, windows
from pleo_connector.sync.companies import Companies, chosen, discover
from pleo_connector.sync.loader import Loader, StreamWork
from pleo_connector.sync.report import StreamReport, SyncReport
from pleo_connector.sync.state import STATE_TABLES
from pleo_connector.sync.sweep import ServedPage, Sweep, walk
from pleo_connector.warehouses import Warehouse

_FATAL = (ReauthRequired, CredentialError, WarehouseError)
"""Errors after which no other stream can do better."""

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
    policy: DriftPolicy = DriftPolicy.EVOLVE
    sweep_policy: windows.SweepPolicy = field(default_factory=windows.SweepPolicy)


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach Pleo: where, with what credential, how fast."""

    api_url: str
    auth: httpx.Auth
    requests_per_minute: int = 500
    concurrency: int = 8
    patience: float = OUTAGE
    """Seconds for which a failing request is tried again."""


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
    survive is raised: ReauthRequired, CredentialError, WarehouseError, ConfigurationError.
    `on_load` hears of a stream after each commit, `on_finish` when its sweeps are closed; both
    are called in this thread. Once another thread sets `cancel`, the run stops within a moment:
    SyncCancelled, with what was committed kept for the next run to go on from.
    """
    streams = [catalogue.stream(name) for name in plan.streams] or list(catalogue)
    work = _Run(plan, connection, warehouse, catalogue, streams, now or datetime.now(UTC)).go(on_load, on_finish)
    return asyncio.run(work if cancel is None else _unless_cancelled(work, cancel))


class _Run:
    def __init__(
        self, plan: SyncPlan, connection: Connection, warehouse: Warehouse, catalogue: Catalogue, streams: Sequence[Stream], now: datetime
    ) -> None:
        self._plan = plan
        self._connection = connection
        self._warehouse = warehouse
        self._catalogue = catalogue
        self._now = now
        self._work = {stream.name: StreamWork(stream, StreamReport(stream.name)) for stream in dict.fromkeys(streams)}
        self._turns = asyncio.Semaphore(connection.concurrency)
        self._open: dict[object, Sweep] = {}
        self._done: dict[str, dict[str | None, dict[Interval, datetime]]] = {}

    async def go(self, on_load: Listener, on_finish: Listener) -> SyncReport:
        began = time.monotonic()
        self._loader = Loader(
            self._warehouse,
            self._work,
            policy=self._plan.policy,
            allow_mass_delete=self._plan.allow_mass_delete,
            on_load=on_load,
            on_finish=on_finish,
        )
        await asyncio.to_thread(self._read_state)
        budget = Budget(self._connection.requests_per_minute)
        try:
            async with PleoClient(
                self._connection.api_url,
                self._connection.auth,
                budget,
                connections=self._connection.concurrency,
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
                    await self._loader.put(None)
        except* PleoError as errors:
            raise _first(errors) from None
        reports = {name: work.report for name, work in self._work.items()}
        return SyncReport(reports, ids, time.monotonic() - began)

    def _read_state(self) -> None:
        tables = [table for work in self._work.values() for table in work.stream.tables()]
        with self._warehouse.transaction() as transaction:
            transaction.ensure([*tables, *STATE_TABLES])
            for sweep in ledger.open_sweeps(transaction, self._catalogue):
                work = self._work.get(sweep.stream.name)
                # The list of companies is read anew by each run; the others go on while they are young.
                if sweep.company_id is not None and self._now - sweep.started_at < ledger.RESUMABLE:
                    self._open[sweep.scope] = sweep
                elif work is not None:
                    work.abandoned.append(sweep)
            for work in self._work.values():
                if work.stream.window is not None:
                    self._done[work.stream.name] = ledger.completed(transaction, work.stream)

    async def _companies(self) -> Companies:
        listing = next(stream for stream in self._catalogue if stream.company_in is CompanyIn.NOWHERE)
        work = self._work.get(listing.name)
        return await discover(listing, self._client, work.report.traffic if work else Traffic())

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
        work.report.seconds = time.monotonic() - began
        await self._loader.put(work)

    async def _hand_over_companies(self, work: StreamWork, companies: Companies) -> None:
        work.sweeps = [companies.sweep]
        work.report.sweeps = 1
        companies.sweep.error = work.report.error = companies.error
        for page in companies.pages:
            await self._loader.put(page)

    async def _sweeps(self, work: StreamWork, ids: Sequence[str]) -> list[Sweep]:
        sweeps = []
        for company_id in ids:
            for span in await self._spans(work, company_id):
                fresh = Sweep(work.stream, company_id, span)
                sweeps.append(self._open.pop(fresh.scope, fresh))
        return sweeps

    async def _spans(self, work: StreamWork, company_id: str) -> list[Interval] | list[None]:
        if work.stream.window is None:
            return [None]
        done = self._done[work.stream.name].get(company_id, {})
        first = min((span.end for span in done if span.start == windows.BEGINNING), default=None)
        if first is None:
            first = next((end for sweep in self._open.values() if (end := _history_end(sweep, work.stream, company_id))), None)
        if first is None:
            first = await self._earliest(work, company_id)
        spans = windows.windows(first, self._now)
        if self._plan.start is not None or self._plan.end is not None:
            return list(windows.clipped(spans, self._plan.start, self._plan.end))
        if self._plan.mode is Mode.FULL:
            return list(spans)
        return list(windows.due(spans, done, self._now, self._plan.sweep_policy))

    async def _earliest(self, work: StreamWork, company_id: str) -> datetime | None:
        """When the company's first entry was performed: one request for one row."""
        request = page_request(work.stream, company_id, limit=1)
        return await self._client.fetch(request, lambda body: _first_moment(body, work.stream, request), work.report.traffic)

    async def _walk(self, work: StreamWork, sweep: Sweep) -> None:
        async def hand_over(page: ServedPage) -> None:
            if page.sweep.error is not None:
                raise page.sweep.error
            await self._loader.put(page)

        async with self._turns:
            try:
                if sweep.exhausted:
                    return  # an earlier run loaded its last page and was stopped before closing it
                try:
                    await walk(sweep, self._client, work.report.traffic, hand_over)
                except CursorRefused:
                    work.abandoned.append(sweep)
                    work.sweeps.remove(sweep)
                    sweep = Sweep(work.stream, sweep.company_id, sweep.span)
                    work.sweeps.append(sweep)
                    await walk(sweep, self._client, work.report.traffic, hand_over)
            except _FATAL:
                raise
            except PleoError as error:
                sweep.error = error
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


def _history_end(sweep: Sweep, stream: Stream, company_id: str) -> datetime | None:
    """Where the company's first month begins, if this sweep reads all that came before it."""
    mine = sweep.stream is stream and sweep.company_id == company_id
    return sweep.span.end if mine and sweep.span is not None and sweep.span.start == windows.BEGINNING else None


def _first_moment(body: bytes, stream: Stream, request: PageRequest) -> datetime | None:
    page = split_page(body, stream.paging, request.what)
    if not page.records or stream.window is None:
        return None
    name = stream.window.column
    column = next(column for column in stream.columns if column.name == name)
    try:
        value = msgspec.json.decode(page.records[0], type=dict[str, msgspec.Raw])[column.source]
        moment = datetime.fromisoformat(msgspec.json.decode(value, type=str))
    except (msgspec.DecodeError, KeyError, ValueError):
        return None  # such a record is quarantined when its window is read; here it only means no months
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _first(errors: BaseExceptionGroup[PleoError]) -> PleoError:
    for error in errors.exceptions:
        return _first(error) if isinstance(error, BaseExceptionGroup) else error
    raise AssertionError("an exception group is never empty")
