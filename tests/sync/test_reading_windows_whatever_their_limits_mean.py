"""Pleo does not say whether the limits of a date filter are included: under all four readings a sync brings the same, in as many walks."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pleo_connector.api import OPEN_END, OPEN_START, Interval, page_request
from pleo_connector.catalogue import CATALOGUE
from pleo_connector.frames import Page
from pleo_connector.sandbox import Fault, RunningSandbox, WindowBounds
from pleo_connector.sandbox.contract import operation
from pleo_connector.sandbox.query import understand
from pleo_connector.sandbox.times import iso, nanoseconds
from pleo_connector.sync import Connection, Mode, StreamReport, SyncPlan, run
from pleo_connector.sync.raw_policy import RawPolicy
from pleo_connector.sync.replay import replay
from pleo_connector.sync.sweep import Sweep, served_page
from pleo_connector.warehouses import open_warehouse
from tests.frames.records import entry
from tests.place import NOW, Place, sandbox
from tests.sync.answering import serving

READINGS = ("[)", "[]", "()", "(]")
ENTRIES = CATALOGUE.stream("accounting_entries")
COMPANY = "11111111-1111-4111-8111-111111111111"

AT_LIMITS = (
    "1970-01-01T00:00:00Z",
    "2026-08-01T00:00:00Z",
    "2026-08-31T23:59:59.998Z",
    "2026-08-31T23:59:59.999Z",
    "2026-08-31T23:59:59.9995Z",
    "2026-08-31T23:59:59.999999999Z",
    "2026-09-01T00:00:00Z",
    "2026-09-01T02:00:00+02:00",
    "2026-09-01T00:00:00.000000000Z",
    "2026-09-01T00:00:00.000000001Z",
    "2026-09-01T00:00:00.001Z",
    "2026-09-30T23:59:59.999Z",
    "2026-10-01T00:00:00Z",
    "2026-11-01T00:00:00.000Z",
    "2026-12-01T00:00:00Z",
    "2046-01-01T00:00:00Z",
)
"""Around the limits of the windows since August 2026, as Pleo may write them, and far outside."""


def put(pleo: RunningSandbox, moments: Sequence[str]) -> list[dict[str, Any]]:
    """One company's entries at these moments, in place of all others."""
    records = pleo.state.records("accounting_entries")
    for record in records:
        pleo.state.remove("accounting_entries", record["id"])
    example = next(record for record in records if not record.get("deletedAt"))
    made = [example | {"id": str(uuid.UUID(int=n, version=4)), "performedAt": moment} for n, moment in enumerate(moments, 1)]
    for record in made:
        pleo.state.put("accounting_entries", record)
    return made


@pytest.fixture(params=READINGS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    bounds = WindowBounds.from_text(request.param)
    with sandbox(window_bounds=bounds) as pleo:
        yield Place(tmp_path, pleo)


def sync(place: Place, company: str, **options: Any) -> StreamReport:
    return place.run("accounting_entries", companies=(company,), **options).streams["accounting_entries"]


@dataclass(frozen=True)
class Outcome:
    """What some runs came to: the columns of the table in the docs."""

    rows: int
    served: int
    walks: int
    warnings: int
    deleted: int


def assert_replayed(place: Place, count: int) -> None:
    """The tables can be made again from the raw pages."""
    other = place.beside("other")
    report = replay(place.warehouse, other.warehouse, ("accounting_entries",), raw=RawPolicy()).streams["accounting_entries"]
    assert (report.served, report.duplicates, report.warnings) == (count, 0, [])
    query = "SELECT * FROM pleo.accounting_entries ORDER BY id"
    assert other.rows(query) == place.rows(query)


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """A first sync, one of everything, and one of everything after an entry at a month's first instant was deleted."""
    found = {}
    for reading in READINGS:
        with sandbox(window_bounds=WindowBounds.from_text(reading)) as pleo:
            place = Place(tmp_path_factory.mktemp("w"), pleo)
            made = put(pleo, AT_LIMITS)
            company = made[0]["companyId"]
            reports = [sync(place, company)]
            assert_replayed(place, len(made))
            reports.append(sync(place, company, mode=Mode.FULL))
            assert [report.written for report in reports] == [len(made), 0]
            pleo.state.remove("accounting_entries", made[AT_LIMITS.index("2026-10-01T00:00:00Z")]["id"])
            reports.append(sync(place, company, mode=Mode.FULL))
            assert {report.error for report in reports} == {None}
            assert all(report.balanced and not report.duplicates for report in reports)
            ((rows,),) = place.rows("SELECT count(*) FROM pleo.accounting_entries WHERE _deleted_at IS NULL")
            found[reading] = Outcome(
                rows,
                sum(report.served for report in reports),
                sum(report.walked for report in reports),
                sum(len(report.warnings) for report in reports),
                sum(report.absent for report in reports),
            )
    return found


def test_all_readings_bring_the_same_rows_in_as_many_walks(outcomes: dict[str, Outcome]) -> None:
    windows = len(("before 2026-08", "2026-08", "2026-09", "2026-10", "2026-11 on"))
    expected = Outcome(rows=len(AT_LIMITS) - 1, served=3 * len(AT_LIMITS) - 1, walks=3 * windows, warnings=0, deleted=1)
    assert outcomes == dict.fromkeys(READINGS, expected)


def test_the_table_in_the_docs_is_what_was_found(outcomes: dict[str, Outcome]) -> None:
    text = (Path(__file__).parents[2] / "docs" / "how-it-syncs.md").read_text(encoding="utf-8")
    section = re.search(r"<!-- readings -->\n(.*?)<!-- /readings -->", text, re.DOTALL)
    assert section is not None
    lines = [line for line in section[1].splitlines() if line.startswith("| ")][1:]
    shown = {tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines if "---" not in line}
    words = {"[": "included", "(": "not included", "]": "included", ")": "not included"}
    assert shown == {(words[reading[0]], words[reading[1]], *map(str, astuple(found))) for reading, found in outcomes.items()}


def test_the_sample_data_is_read_whole(place: Place) -> None:
    put_first = next(record for record in place.pleo.state.records("accounting_entries") if record["performedAt"] > "2026-09")
    place.pleo.state.put("accounting_entries", put_first | {"performedAt": "2026-09-01T00:00:00Z"})
    company = put_first["companyId"]
    served = place.pleo.state.records("accounting_entries", company)
    assert any(re.fullmatch(r"\d{4}-\d\d-01T00:00:00(\.0+)?Z", record["performedAt"]) for record in served)
    report = sync(place, company)
    assert (report.inserted, report.served, report.warnings, report.walked) == (len(served), len(served), [], report.sweeps)
    assert {str(key) for (key,) in place.rows("SELECT id FROM pleo.accounting_entries")} == {record["id"] for record in served}


def test_an_entry_that_moves_to_a_months_first_instant_and_back_is_never_lost(place: Place) -> None:
    made = put(place.pleo, ("2026-09-05T08:00:00Z", "2026-10-05T08:00:00Z"))
    company = made[0]["companyId"]
    sync(place, company)
    for moment in ("2026-11-01T00:00:00Z", "2026-10-31T23:59:59.999999Z", "2026-10-01T00:00:00Z", "2026-11-01T00:00:00.000001Z"):
        place.pleo.state.put("accounting_entries", made[1] | {"performedAt": moment})
        report = sync(place, company)
        assert (report.updated, report.absent, report.warnings) == (1, 0, []), moment
    assert place.rows("SELECT count(*) FROM pleo.accounting_entries WHERE _deleted_at IS NULL") == [(2,)]


def test_a_range_that_is_asked_for_holds_its_start_and_not_its_end(place: Place) -> None:
    made = put(place.pleo, AT_LIMITS)
    start, end = datetime(2026, 8, 31, 23, 59, 59, 999_500, UTC), datetime(2026, 9, 1, 0, 0, 0, 1_000, UTC)
    report = sync(place, made[0]["companyId"], start=start, end=end)
    wanted = {r["id"] for r in made if nanoseconds(r["performedAt"]) in range(nanos(start), nanos(end))}
    assert {str(key) for (key,) in place.rows("SELECT id FROM pleo.accounting_entries")} == wanted
    assert (len(wanted), report.served, report.warnings) == (6, 6, [])
    assert report.as_dict()["spans"] == [{"from": "2026-08-31T23:59:59.999500+00:00", "to": "2026-09-01T00:00:00.001000+00:00"}]


def test_a_stopped_walk_goes_on_to_records_outside_its_window(place: Place) -> None:
    inside = [f"2026-07-10T{minute // 60:02}:{minute % 60:02}:00Z" for minute in range(205)]
    made = put(place.pleo, ["2026-06-30T23:59:59.9995Z", *inside, "2026-08-01T00:00:00Z", "2026-08-01T00:00:00Z"])
    company = made[0]["companyId"]
    july = {"start": datetime(2026, 7, 1, tzinfo=UTC), "end": datetime(2026, 8, 1, tzinfo=UTC)}
    place.pleo.state.set_faults(Fault("status", path=ENTRIES.path, status=500, after=3))  # the first month, and two pages
    assert sync(place, company, patience=0.0, **july).error is not None
    assert place.rows("SELECT pages, rows_served FROM pleo._sweeps WHERE stream = 'accounting_entries'") == [(2, 199)]
    place.pleo.state.set_faults()
    report = sync(place, company, **july)
    assert (report.pages, report.served, report.walked, report.warnings) == (1, 6, 1, [])


def test_the_order_of_records_and_the_page_that_names_the_total_make_no_difference(tmp_path: Path) -> None:
    moments = ("2026-09-30T23:59:59.999Z", "2026-10-01T00:00:00Z", "2026-10-02T00:00:00Z", "2026-10-03T00:00:00Z", "2026-11-01T00:00:00Z")
    records = [entry(n, performedAt=moment, companyId=COMPANY) for n, moment in enumerate(moments)]
    times = [moment.replace("00Z", "00.000Z") for moment in moments]

    def answer(request: httpx.Request) -> httpx.Response:
        """Both limits included, in no order of time, two records to a page, the total on the first page only."""
        if request.method == "GET":
            return httpx.Response(200, json={"data": [{"id": COMPANY, "name": "One"}], "pagination": {"hasNextPage": False}})
        body, at = msgspec.json.decode(request.content), int(request.url.params.get("after", 0))
        limits = body.get("performedAtStart", ""), body.get("performedAtEnd", "~")
        found = [records[n] for n in (2, 1, 4, 0, 3) if limits[0] <= times[n] <= limits[1]]
        pagination = {"hasNextPage": at + 2 < len(found), "endCursor": str(at + 2)} | ({} if at else {"total": len(found)})
        return httpx.Response(200, json={"data": found[at : at + 2], "pagination": pagination})

    warehouse = open_warehouse(f"duckdb:///{tmp_path / 'w.duckdb'}", "pleo")
    with serving(answer) as url:
        for mode in (Mode.INCREMENTAL, Mode.FULL):
            plan, connection = SyncPlan(("accounting_entries",), mode=mode), Connection(url, httpx.BasicAuth("k", ""))
            report = run(plan, connection, warehouse, now=NOW).streams["accounting_entries"]
            assert (report.served, report.duplicates, report.warnings, report.walked) == (len(moments), 0, [], report.sweeps)


def test_a_kept_page_of_an_earlier_version_keeps_what_no_other_window_has() -> None:
    start, end = datetime(2026, 9, 1, tzinfo=UTC), datetime(2026, 10, 1, tzinfo=UTC)
    records = tuple(msgspec.Raw(msgspec.json.encode({"performedAt": f"2026-{day}T00:00:00Z"})) for day in ("09-02", "10-01"))
    request = page_request(ENTRIES, COMPANY, Interval(start, end))
    earlier = replace(request, body=(request.body or {}) | {"performedAtStart": "2026-09-01T00:00:00.000Z"})
    for asked_for, rows in ((request, 1), (earlier, 2)):
        page = served_page(Sweep(ENTRIES, COMPANY, Interval(start, end)), 1, None, Page(records), b"", asked_for, "", start)
        assert (page.rows, page.outside) == (rows, 2 - rows)


def nanos(moment: datetime) -> int:
    return nanoseconds(moment.isoformat())


cuts = st.one_of(
    st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)),  # noqa: DTZ001 - hypothesis adds the zone
    st.sampled_from([datetime(2026, month, 1, tzinfo=UTC) for month in range(1, 13)]),
)
near = st.sampled_from([0, 1, 999, 1_000, 500_000, 999_999, 1_000_000, 1_000_001, 2_000_000])


@given(
    reading=st.sampled_from(READINGS),
    limits=st.lists(cuts, min_size=1, max_size=4, unique=True).map(sorted),
    sides=st.lists(st.tuples(st.integers(0, 3), near, st.sampled_from([-1, 1])), max_size=12),
)
def test_each_moment_belongs_to_one_window_and_is_served_with_it(
    reading: str, limits: list[datetime], sides: list[tuple[int, int, int]]
) -> None:
    moments = sorted(nanos(limits[place % len(limits)]) + side * distance for place, distance, side in sides)
    edges = [OPEN_START, *limits, OPEN_END]
    kept = []
    for start, end in pairwise(edges):
        span = Interval(start, end)
        request = page_request(ENTRIES, COMPANY, span)
        query = understand(
            ENTRIES, operation(ENTRIES.operation), {"company_id": [COMPANY]}, request.body or {}, WindowBounds.from_text(reading)
        )
        low, high = (query.window.start, query.window.end) if query.window is not None else (None, None)
        served = [moment for moment in moments if (low is None or moment >= low) and (high is None or moment < high)]
        records = tuple(msgspec.Raw(msgspec.json.encode({"performedAt": iso(moment, 9)})) for moment in served)
        page = served_page(Sweep(ENTRIES, COMPANY, span), 1, None, Page(records), b"", request, "", start)
        mine = [nanoseconds(msgspec.json.decode(record)["performedAt"]) for record in page.page.records]
        assert all((start == OPEN_START or moment >= nanos(start)) and (end == OPEN_END or moment < nanos(end)) for moment in mine)
        assert page.rows + page.outside == len(served)
        kept += mine
    assert kept == moments


def test_a_request_carries_whole_milliseconds_and_no_limit_where_the_window_is_open() -> None:
    first = datetime(2026, 9, 1, tzinfo=UTC)
    assert limits_of(Interval(first, first + timedelta(days=30))) == ("2026-08-31T23:59:59.999Z", "2026-10-01T00:00:00.000Z")
    odd = timedelta(microseconds=400)
    assert limits_of(Interval(first + odd, first + 2 * odd)) == ("2026-08-31T23:59:59.999Z", "2026-09-01T00:00:00.001Z")
    assert limits_of(Interval(OPEN_START, first)) == (None, "2026-09-01T00:00:00.000Z")
    assert limits_of(Interval(first, OPEN_END)) == ("2026-08-31T23:59:59.999Z", None)
    assert limits_of(Interval(datetime(900, 1, 1, tzinfo=UTC), datetime(901, 1, 1, tzinfo=UTC))) == (
        "0899-12-31T23:59:59.999Z",
        "0901-01-01T00:00:00.000Z",
    )


def test_a_limit_at_the_end_of_the_calendar_is_no_fault() -> None:
    step = timedelta(microseconds=1)
    assert limits_of(Interval(OPEN_START + step, OPEN_END - step)) == (None, None)


def limits_of(span: Interval) -> tuple[str | None, str | None]:
    body = page_request(ENTRIES, COMPANY, span).body or {}
    return body.get("performedAtStart"), body.get("performedAtEnd")
