"""Pleo changes between two pages of a walk, or misleads it. The tests try some of it, `benchmarks.exactly_once` all of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Generator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx

from pleo_connector import sync
from pleo_connector.catalogue import CATALOGUE, Catalogue, Stream, SyncMode
from pleo_connector.sandbox import RunningSandbox
from pleo_connector.sync import Mode
from pleo_connector.warehouses import open_warehouse
from tests.place import API_KEY, NOW
from tests.sync.answering import serving
from tests.sync.looking import ask

RECORDS = 12
LIMIT = 4
"""Records of a page: the first cursor stands behind the fourth."""

ORDERS = {
    "accounting_entries": ("performedAt", "settledAt", "bookkeepingDate", "id"),
    "receipts": ("createdAt", "id", "size"),
}
"""Every sort key that Pleo names: for other streams it publishes none, and the connector sends none."""

TEXTS = {"accounting_entries": ("note", "note"), "receipts": ("mimeType", "mime_type")}
"""Field and column that a change changes."""

CHANGES = ("inserted", "changed", "deleted", "moved")


def key(rank: int) -> str:
    """The key of the record at a rank."""
    return f"{rank:08x}-0000-4000-8000-000000000000"


def sort_values(rank: int) -> dict[str, Any]:
    """What the record is sorted by, in the order of ranks; the last are not settled yet. Ranks are minutes, so far ones lie in other months."""
    moment = (datetime(2026, 11, 2, tzinfo=UTC) + timedelta(minutes=rank)).strftime("%Y-%m-%dT%H:%M:%SZ")
    return {
        "performedAt": moment,
        "settledAt": moment if rank < RECORDS * 10 - 20 else None,
        "bookkeepingDate": moment,
        "createdAt": moment,
        "size": rank,
    }


class Between(httpx.Auth):
    """Lets something happen before the n-th page that is asked for with a cursor."""

    def __init__(self, path: str, happen: Callable[[int], None]) -> None:
        self._path, self._happen, self._pages = path, happen, 0

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """Signs the request."""
        if request.url.path == self._path and "after" in request.url.params:
            self._pages += 1
            self._happen(self._pages)
        yield from API_KEY.auth_flow(request)


@dataclass
class Moving:
    """A dozen records of one company at a Pleo, at ranks 10, 20 and so on, and a warehouse that is brought up to date with them."""

    pleo: RunningSandbox
    stream: Stream
    company: str
    url: str
    example: dict[str, Any]

    def put(self, rank: int, **fields: Any) -> None:
        """A record at a rank, new or as it was at first, with these fields."""
        self.pleo.state.put(self.stream.name, self.example | sort_values(rank) | {"id": key(rank)} | fields)

    def remove(self, rank: int) -> None:
        """Take a record away."""
        self.pleo.state.remove(self.stream.name, key(rank))

    def change(self, how: str, rank: int, to: int = 0) -> None:
        """One change; `to` is the rank whose place in the order a moved record takes."""
        text = TEXTS[self.stream.name][0]
        match how:
            case "inserted":
                self.put(rank + 5)
            case "changed":
                self.put(rank, **{text: "changed/meanwhile"})
            case "deleted":
                self.remove(rank)
            case _:
                self.put(rank, **sort_values(to + 5))

    def read(self, between: Callable[[int], None] = lambda _: None, api: str | None = None, patience: float = 0.0) -> sync.StreamReport:
        """A sync of everything, one request at a time."""
        auth = Between(self.stream.path, between)
        connection = sync.Connection(api or self.pleo.url, auth, requests_per_minute=1_000_000, concurrency=1, patience=patience)
        catalogue = Catalogue(*(self.stream if stream.name == self.stream.name else stream for stream in CATALOGUE))
        plan = sync.SyncPlan((self.stream.name,), Mode.FULL, companies=(self.company,))
        return sync.run(plan, connection, open_warehouse(self.url, "pleo"), catalogue=catalogue, now=NOW).streams[self.stream.name]

    def is_level(self) -> bool:
        """Whether the warehouse holds what Pleo holds."""
        field, column = TEXTS[self.stream.name]
        moment, at = ("performedAt", "performed_at") if self.stream.name == "accounting_entries" else ("createdAt", "created_at")
        held = ask(
            self.url, f"SELECT id, {column}, strftime({at}, '%Y-%m-%dT%H:%M:%SZ') FROM pleo.{self.stream.name} WHERE _deleted_at IS NULL"
        )
        served = [(one["id"], one.get(field), one[moment]) for one in self.pleo.state.records(self.stream.name)]
        return sorted(map(repr, served)) == sorted(repr((str(row[0]), *row[1:])) for row in held)


def sorted_by(name: str, sort_key: str, limit: int = LIMIT) -> Stream:
    """A declared stream in another order; receipts are read to the end in each run, as newest first allows one order only."""
    stream = CATALOGUE.stream(name)
    direction = stream.sort[0][1]
    order = ((sort_key, direction),) if sort_key == "id" else ((sort_key, direction), ("id", direction))
    if stream.newest is not None and order != stream.sort:
        stream = replace(stream, mode=SyncMode.SNAPSHOT, newest=None)
    return replace(stream, sort=order, limit=limit)


def moving(pleo: RunningSandbox, stream: Stream, file: Path) -> Moving:
    """Pleo with nothing but a dozen records of a stream, and an empty warehouse."""
    pleo.state.start_over()
    records = pleo.state.records(stream.name)
    example = next(record for record in records if not record.get("deletedAt"))
    entry = next((e for e in pleo.state.records("accounting_entries") if e["id"] == example.get("accountingEntryId")), example)
    for record in records:
        pleo.state.remove(stream.name, record["id"])
    made = Moving(pleo, stream, entry["companyId"], f"duckdb:///{file}", example)
    for number in range(RECORDS):
        made.put(number * 10 + 10)
    return made


def places(stream: Stream, position: str) -> tuple[int, int]:
    """(rank of a record, rank that a moved one goes to): before or after the place of the first cursor."""
    low, high = 20, RECORDS * 10 - 30
    upwards = stream.sort[0][1].startswith("ASC")
    return (low, high) if (position == "before") == upwards else (high, low)


def applies(how: str, sort_key: str) -> bool:
    """Whether there is such a change: a record's key never changes, so it does not move among keys."""
    return (how, sort_key) != ("moved", "id")


def expected(how: str, position: str) -> str:
    """What a change before the second page should come to. Pleo's total tells of all but a change in what was read already."""
    return "next run" if (how, position) == ("changed", "before") else "at once"


def outcome(case: Moving, how: str, position: str) -> str:
    """What it came to: level `at once`, or by the `next run`."""
    case.read()
    rank, to = places(case.stream, position)
    report = case.read(lambda page: case.change(how, rank, to) if page == 1 else None)
    if report.error is None and case.is_level():
        return "at once"
    return "next run" if case.read().error is None and case.is_level() else "WRONG"


Answer = tuple[int, Any]
"""Status, and JSON or bytes."""

SKIPPED = "EMPTY==="
"""A cursor behind an empty page: what follows is what the page should have held."""


@dataclass(frozen=True)
class Misleading:
    """What Pleo should not answer, and what should come of it."""

    what: str
    distort: Callable[[int, dict[str, Any]], Answer]
    """(number of the request since it began, true answer) -> what is answered instead."""
    expected: str


def _paging(page: dict[str, Any], **fields: Any) -> Answer:
    return 200, page | {"pagination": {name: value for name, value in (page["pagination"] | fields).items() if value is not ...}}


def _empty(page: dict[str, Any]) -> Answer:
    return _paging(page | {"data": []}, endCursor=SKIPPED)


MISLEADING = (
    Misleading("next page without a cursor", lambda n, page: _paging(page, endCursor=...) if n == 2 else (200, page), "error, next run"),
    Misleading("cursor given twice", lambda n, page: _paging(page, endCursor="AAAA====") if n < 3 else (200, page), "error, next run"),
    Misleading("new cursor refused (400)", lambda n, page: ({2: 400}.get(n, 200), page), "error, next run"),
    Misleading("stored cursor refused (400)", lambda n, page: ({3: 503, 4: 400}.get(n, 200), page), "error, next run"),
    Misleading("`total` too high", lambda _, page: _paging(page, total=RECORDS + 3), "at once, warning"),
    Misleading("`total` too low", lambda _, page: _paging(page, total=RECORDS - 3), "at once, warning"),
    Misleading("no `total`", lambda _, page: _paging(page, total=...), "at once"),
    Misleading("empty page in the middle", lambda n, page: _empty(page) if n == 2 else (200, page), "at once"),
    Misleading("page cut short", lambda n, page: (200, json.dumps(page).encode()[:90]) if n == 2 else (200, page), "error, next run"),
)
"""Each while the second sync reads; one record has changed since the first."""


def misled(case: Moving, how: Misleading) -> str:
    """What came of it: level `at once` or by the `next run`, with an error, with a warning."""
    case.read()
    case.change("changed", places(case.stream, "after")[0])
    count = 0
    behind: dict[str, str] = {}

    def answer(request: httpx.Request) -> httpx.Response:
        nonlocal count
        params = dict(request.url.params.multi_items())
        if params.get("after") in behind:
            params["after"] = behind[params["after"]]
        true = httpx.request(request.method, case.pleo.url + request.url.path, params=params, content=request.content, auth=API_KEY)
        if request.url.path != case.stream.path:
            return httpx.Response(true.status_code, content=true.content)
        count += 1
        status, body = how.distort(count, true.json())
        if isinstance(body, dict) and (cursor := body["pagination"].get("endCursor")):
            behind[cursor] = params["after"] if cursor == SKIPPED else true.json()["pagination"]["endCursor"]
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        return httpx.Response(status, content=content)

    with serving(answer) as url:
        report = case.read(api=url)
        result = "error, " if report.error is not None else ""
        warned = ", warning" if report.warnings and not result else ""
        if case.is_level():
            return f"{result}at once{warned}"
        again = case.read(api=url)
    return f"{result}next run{warned}" if again.error is None and case.is_level() else "WRONG"
