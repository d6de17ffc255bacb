"""The requests that a run would send, from what the warehouse holds: no request is sent, and nothing is written.

The walks are those that a run would make, chosen by the same code. How many requests a walk takes is
counted where the rows are known, and estimated where they are not:

    counted     rows in the warehouse, by month and company, over the page size
    estimated   the month goes on: the company's daily rows of late are added for the days since it was read
    unknown     nothing like it was read yet: at least one request
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from pleo_connector.api import Interval
from pleo_connector.catalogue import CATALOGUE, Catalogue, CompanyIn, Parent, Stream
from pleo_connector.catalogue.options import check_options
from pleo_connector.errors import UnknownCompany
from pleo_connector.stream_options import DEFAULT
from pleo_connector.sync import receipt_table, row_counts, windows
from pleo_connector.sync.loader import StreamWork
from pleo_connector.sync.parents import ParentRecord, ParentRecords
from pleo_connector.sync.plan import Mode, SyncPlan
from pleo_connector.sync.planner import Planner
from pleo_connector.sync.receipt_files import of_this_run, portions
from pleo_connector.sync.report import StreamReport
from pleo_connector.sync.state_tables import STATE_TABLES
from pleo_connector.sync.sweep import Sweep
from pleo_connector.sync.windows import Why
from pleo_connector.warehouses import Transaction, Warehouse

_LATELY = timedelta(days=92)
"""How far back a company's daily rows are taken from."""


@dataclass(frozen=True, slots=True)
class Expected:
    """One walk that a run would make."""

    stream: str
    company_id: str | None
    span: Interval | None
    tier: str | None
    why: Why
    last: datetime | None
    """When the same was read last."""
    rows: int | None
    requests: int
    basis: str
    """counted, estimated or unknown."""

    def as_dict(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return {
            "stream": self.stream,
            "company_id": self.company_id,
            **(self.span.as_dict() if self.span is not None else {"from": None, "to": None}),
            "tier": self.tier,
            "why": self.why.value,
            "last": self.last.isoformat() if self.last else None,
            "rows": self.rows,
            "requests": self.requests,
            "basis": self.basis,
        }


@dataclass(frozen=True, slots=True)
class Forecast:
    """All walks of a run, in catalogue order."""

    walks: tuple[Expected, ...]
    companies: dict[str, str]
    """Key -> name of the companies that the warehouse knows."""
    requests_per_minute: int
    notes: tuple[str, ...] = ()

    @property
    def requests(self) -> int:
        """Requests in all."""
        return sum(walk.requests for walk in self.walks)

    @property
    def rows(self) -> int:
        """Rows in all, as far as they are known."""
        return sum(walk.rows or 0 for walk in self.walks)

    @property
    def minutes(self) -> int:
        """Whole minutes that the budget alone makes the run take: a minute's worth may be sent at once, then it refills."""
        return max(0, self.requests - 1) // self.requests_per_minute

    def as_dict(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return {
            "requests": self.requests,
            "rows": self.rows,
            "minutes": self.minutes,
            "requests_per_minute": self.requests_per_minute,
            "companies": self.companies,
            "walks": [walk.as_dict() for walk in self.walks],
            "notes": list(self.notes),
        }


def forecast(
    plan: SyncPlan, warehouse: Warehouse, *, requests_per_minute: int, catalogue: Catalogue = CATALOGUE, now: datetime | None = None
) -> Forecast:
    """The walks that this plan would make now, with what each is expected to cost."""
    check_options(plan.options, catalogue)
    streams = [catalogue.stream(name) for name in plan.streams] or list(catalogue)
    moment = now or datetime.now(UTC)
    with _read_only(warehouse) as transaction:
        return _Forecaster(plan, transaction, catalogue, tuple(dict.fromkeys(streams)), moment).forecast(requests_per_minute)


class _Rollback(Exception):  # ends a transaction without its writes
    pass


@contextmanager
def _read_only(warehouse: Warehouse) -> Iterator[Transaction]:
    """A transaction of which nothing stays, not even the tables that were missing."""
    with suppress(_Rollback), warehouse.transaction() as transaction:
        yield transaction
        raise _Rollback


@dataclass(slots=True)
class _StoredRows:
    """What the warehouse holds of one stream."""

    by_company: dict[str | None, int] = field(default_factory=dict)
    by_month: row_counts.ByMonth = field(default_factory=dict)
    by_parent: dict[str | None, int] = field(default_factory=dict)


class _Forecaster:
    def __init__(self, plan: SyncPlan, transaction: Transaction, catalogue: Catalogue, streams: tuple[Stream, ...], now: datetime) -> None:
        self._plan, self._transaction, self._catalogue, self._now = plan, transaction, catalogue, now
        self._full = plan.mode is Mode.FULL
        self._parents = tuple(dict.fromkeys(catalogue.stream(one.parent.stream) for one in streams if one.parent is not None))
        self._streams = streams
        self._unread: set[tuple[str, str]] = set()
        """Streams of companies whose first month only Pleo knows."""

    def forecast(self, requests_per_minute: int) -> Forecast:
        listing = next(stream for stream in self._catalogue if stream.company_in is CompanyIn.NOWHERE)
        tables = [table for stream in {listing, *self._streams, *self._parents} for table in stream.tables()[:1]]
        self._transaction.ensure([*tables, *STATE_TABLES])
        names = self._transaction.read(listing.tables()[0], ("id", "name"), _deleted_at=None).to_pylist()
        companies = {str(row["id"]): str(row["name"] or "") for row in names}
        ids = _chosen(companies, self._plan.companies)
        planner = Planner(
            self._now,
            self._plan.options,
            self._plan.start,
            self._plan.end,
            full=self._full,
            owner="",
            all_companies=not self._plan.companies,
        )
        work = [StreamWork(stream, StreamReport(stream.name)) for stream in self._streams]
        planner.read(self._transaction, self._catalogue, work, take_over=False)
        walks = [] if listing in self._streams else [self._expected(Sweep(listing), _StoredRows(self._count(listing)))]
        walks += [self._listed(stream, company) for stream in self._parents if stream not in self._streams for company in ids]
        for one in work:
            walks += [*self._walks(one, planner, ids), *self._links(one.stream, ids)]
        notes = (
            ()
            if companies
            else (
                "The warehouse knows no companies yet, so only the requests of every run are shown: run `pleo-connector sync companies` first.",
            )
        )
        return Forecast(tuple(walks), companies, requests_per_minute, notes)

    def _walks(self, work: StreamWork, planner: Planner, ids: Sequence[str]) -> Iterator[Expected]:
        stream = work.stream
        stored = _StoredRows(self._count(stream), row_counts.by_month(self._transaction, stream))
        if stream.company_in is CompanyIn.NOWHERE:
            sweeps = [Sweep(stream)]
        elif stream.parent is not None:
            stored.by_parent = row_counts.by_column(self._transaction, stream, stream.parent.column)
            sweeps = planner.sweeps_of_parents(work, stream.parent, self._parent_records(stream, stream.parent, planner), ids)
        else:
            sweeps = asyncio.run(planner.sweeps(work, ids, self._earliest))
        yield from (self._expected(sweep, stored) for sweep in sweeps)

    def _links(self, stream: Stream, ids: Sequence[str]) -> Iterator[Expected]:
        """Questions for links to the files of known receipts, where those are fetched; receipts that the run itself brings come on top."""
        files = self._plan.options.get(stream.name, DEFAULT).files
        if files is None:
            return
        self._transaction.ensure([receipt_table.RECEIPT_FILES])
        some = of_this_run(receipt_table.wanted(self._transaction, stream, ids, self._now), files)
        for company_id, requests in Counter(company_id for company_id, _ in portions(some)).items():
            yield Expected(stream.name, company_id, None, None, Why.FILES, None, None, requests, "estimated")

    async def _earliest(self, work: StreamWork, company_id: str) -> None:
        """A run would ask Pleo; a forecast only notes that it must."""
        self._unread.add((work.stream.name, company_id))

    def _count(self, stream: Stream) -> dict[str | None, int]:
        return row_counts.by_column(self._transaction, stream, stream.tables()[0].company_column)

    def _listed(self, stream: Stream, company_id: str) -> Expected:
        """The walk that lists parent records, when their own stream is not in the plan."""
        return self._expected(Sweep(stream, company_id), _StoredRows(self._count(stream)))

    def _parent_records(self, stream: Stream, parent: Parent, planner: Planner) -> ParentRecords:
        """The parents as the warehouse knows them; the state in which one was read last counts as unchanged."""
        table = self._catalogue.stream(parent.stream).tables()[0]
        status = ("status",) if "status" in table.column_names else ()
        company = str(table.company_column)
        states = planner.states_of_parents(stream)
        parent_records = ParentRecords()
        for row in self._transaction.read(table, ("id", company, *status), _deleted_at=None).to_pylist():
            key = str(row["id"])
            record = ParentRecord(key, str(row.get("status") or ""), states.get(key, ""))
            parent_records.records.setdefault(str(row[company]), {})[key] = record
        return parent_records

    def _expected(self, sweep: Sweep, stored: _StoredRows) -> Expected:
        rows, basis = self._rows(sweep, stored)
        limit = sweep.stream.limit
        left = max(0, (rows or 0) - sweep.rows_served)
        requests = max(1, math.ceil(left / limit)) if limit is not None else 1
        if sweep.floor is not None and limit is not None and left < stored.by_company.get(sweep.company_id, 0):
            requests = left // limit + 1  # it ends with the first page that holds something older
        if sweep.exhausted:
            requests = 0
        first = sweep.span is not None and sweep.span.start == windows.BEGINNING
        requests += first and (sweep.stream.name, sweep.company_id) in self._unread
        return Expected(sweep.stream.name, sweep.company_id, sweep.span, sweep.tier, sweep.why, sweep.last, rows, requests, basis)

    def _rows(self, sweep: Sweep, stored: _StoredRows) -> tuple[int | None, str]:
        stream, company_id = sweep.stream, sweep.company_id
        if sweep.span is not None and company_id is not None:
            return self._rows_of_span(sweep, sweep.span, stored.by_month.get(company_id, {}))
        if sweep.floor is not None:
            where = f"{row_counts.SERVED_NOW} AND {stream.tables()[0].company_column} = {row_counts.text(str(company_id))}"
            return row_counts.total(
                self._transaction, stream, f"{where} AND {stream.newest} >= {row_counts.moment(sweep.floor)}"
            ), "counted"
        counts, key = (stored.by_parent, sweep.parent_id) if sweep.parent_id is not None else (stored.by_company, company_id)
        return (counts.get(key, 0), "counted") if counts else (None, "unknown")

    def _rows_of_span(self, sweep: Sweep, span: Interval, months: dict[datetime, int]) -> tuple[int | None, str]:
        if not months:
            return None, "unknown"
        rows, cut = 0.0, False
        for month, count in months.items():
            end = windows.next_month(month)
            shared = min(end, span.end) - max(month, span.start)
            if shared > timedelta(0):
                cut = cut or shared < end - month
                rows += count * (shared / (end - month))
        since = max(span.start, sweep.last or min(months))
        grown = min(span.end, self._now) - since
        goes_on = span.start <= self._now < span.end or sweep.last is None
        if goes_on and grown > timedelta(0) and not (sweep.last is None and rows):
            lately = sum(count for month, count in months.items() if self._now - _LATELY <= month)
            rows, cut = rows + lately / _LATELY.days * (grown / timedelta(days=1)), True
        return round(rows), "estimated" if cut else "counted"


def _chosen(companies: dict[str, str], requested: Sequence[str]) -> tuple[str, ...]:
    """The companies of the plan: all, or those requested by key or exact name."""
    by_name = {name: key for key, name in companies.items() if name}
    ids = []
    for wish in requested:
        key = wish.lower() if wish.lower() in companies else by_name.get(wish)
        if key is None:
            names = ", ".join(f"{key} ({name})" if name else key for key, name in companies.items())
            raise UnknownCompany(f"The warehouse knows no company {wish!r}; it knows: {names or 'none'}.")
        ids.append(key)
    return tuple(dict.fromkeys(ids)) if requested else tuple(companies)
