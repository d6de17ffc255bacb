"""Everything before the first month is one window, everything from the current month on is another; state of earlier versions goes on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from pleo_connector.api import OPEN_END, OPEN_START, Interval
from pleo_connector.stream_options import SweepPolicy
from pleo_connector.sync import Mode, StreamReport, SyncPlan, state, windows
from pleo_connector.sync.forecast import forecast
from pleo_connector.sync.raw_policy import RawPolicy
from pleo_connector.sync.raw_tables import RAW_LOADS, RAW_REQUESTS
from pleo_connector.sync.replay import replay
from pleo_connector.sync.state_tables import SWEEPS
from pleo_connector.sync.windows import FIRST_MONTH, Why
from tests.place import NOW, Place

OLD_START = datetime(2000, 1, 1, tzinfo=UTC)
OLD_END = datetime(2026, 11, 1, tzinfo=UTC) + timedelta(days=3660)


@pytest.fixture
def entries(place: Place) -> list[dict[str, Any]]:
    """Three entries of one company, of August, October and November 2026, in place of all others."""
    records = place.pleo.state.records("accounting_entries")
    company = next(record["companyId"] for record in records)
    for record in records:
        place.pleo.state.remove("accounting_entries", record["id"])
    made = [record for record in records if record["companyId"] == company and not record.get("deletedAt")][:3]
    made = [record | {"performedAt": moment} for record, moment in zip(made, ("2026-08-03", "2026-10-04", "2026-11-05"), strict=True)]
    made = [record | {"performedAt": f"{record['performedAt']}T10:00:00Z"} for record in made]
    for record in made:
        place.pleo.state.put("accounting_entries", record)
    return made


def move(place: Place, entry: dict[str, Any], moment: str) -> None:
    place.pleo.state.put("accounting_entries", entry | {"performedAt": moment})


def sync(place: Place, entries: Sequence[dict[str, Any]], **options: Any) -> StreamReport:
    report = place.run("accounting_entries", companies=(entries[0]["companyId"],), **options).streams["accounting_entries"]
    assert report.error is None
    return report


def spans(place: Place) -> set[tuple[datetime | None, datetime | None]]:
    with place.warehouse.transaction() as transaction:
        rows = transaction.read(SWEEPS, ("span_start", "span_end"), stream="accounting_entries", status="complete").to_pylist()
    return {(row["span_start"], row["span_end"]) for row in rows}


@pytest.mark.parametrize(
    "moment", ["2036-12-01T00:00:00Z", pytest.param("2500-06-01T00:00:00Z", marks=pytest.mark.slow), "9999-12-31T23:59:59.999999999Z"]
)
def test_an_entry_that_moves_far_ahead_is_read_and_not_deleted(place: Place, entries: list[dict[str, Any]], moment: str) -> None:
    sync(place, entries)
    move(place, entries[2], moment)
    report = sync(place, entries)
    assert (report.updated, report.absent, report.warnings) == (1, 0, [])
    report = sync(place, entries, mode=Mode.FULL)
    assert (report.unchanged, report.absent, report.warnings) == (3, 0, [])


@pytest.mark.parametrize(
    "moment",
    [
        "0001-01-01T00:00:00Z",
        pytest.param("0999-05-05T05:05:05Z", marks=pytest.mark.slow),
        pytest.param("1970-01-01T00:00:00Z", marks=pytest.mark.slow),
        "2014-12-31T23:59:59Z",
    ],
)
def test_an_entry_long_ago_makes_no_window_of_its_own(place: Place, entries: list[dict[str, Any]], moment: str) -> None:
    move(place, entries[0], moment)
    report = sync(place, entries)
    assert (report.inserted, report.sweeps, report.warnings) == (3, 3, [])
    october, november = (datetime(2026, month, 1, tzinfo=UTC) for month in (10, 11))
    assert spans(place) == {(None, october), (october, november), (november, None)}
    report = sync(place, entries, mode=Mode.FULL)
    assert (report.unchanged, report.absent, report.sweeps) == (3, 0, 3)
    place.pleo.state.remove("accounting_entries", entries[0]["id"])
    assert sync(place, entries, mode=Mode.FULL).absent == 1


def test_an_entry_whose_year_no_warehouse_holds_is_set_aside_and_its_row_stays(place: Place, entries: list[dict[str, Any]]) -> None:
    sync(place, entries)
    for entry, moment in zip(entries, ("0000-12-31T23:59:59Z", "-0044-03-15T12:00:00Z", "+10000-01-01T00:00:00Z"), strict=True):
        move(place, entry, moment)
    report = sync(place, entries, mode=Mode.FULL)
    assert (report.quarantined, report.absent, report.warnings) == (3, 0, [])
    assert place.rows("SELECT DISTINCT field, reason FROM pleo._quarantine") == [
        ("performedAt", "not an ISO 8601 date-time of the years 0001 to 9999")
    ]
    assert place.rows("SELECT count(*) FROM pleo.accounting_entries WHERE _deleted_at IS NULL") == [(3,)]


@pytest.mark.parametrize("moment", ["0000-01-01T00:00:00Z", "0001-01-01T00:30:00+01:00"])
def test_an_unreadable_first_entry_does_not_hide_the_first_month(place: Place, entries: list[dict[str, Any]], moment: str) -> None:
    move(place, entries[0], moment)
    move(place, entries[2], "9999-12-31T23:30:00-01:00")
    report = sync(place, entries)
    assert (report.sweeps, report.quarantined, report.inserted) == (3, 2, 1)


def as_an_earlier_version(place: Place, company: str) -> None:
    """Its outer spans in place of ours, a while ago."""
    with place.warehouse.transaction() as transaction:
        for row in transaction.read(SWEEPS, stream="accounting_entries", company_id=company).to_pylist():
            old = {"span_start": row["span_start"] or OLD_START, "span_end": row["span_end"] or OLD_END}
            old |= {"started_at": NOW - timedelta(minutes=10), "finished_at": NOW - timedelta(minutes=9)}
            transaction.upsert(SWEEPS, state.frame_of(SWEEPS, [row | old]))


def test_state_of_an_earlier_version_goes_on_and_its_outer_window_is_read_once(place: Place, entries: list[dict[str, Any]]) -> None:
    company = entries[0]["companyId"]
    place.run("companies")
    sync(place, entries)
    as_an_earlier_version(place, company)
    move(place, entries[2], "2046-01-01T00:00:00Z")
    plan = SyncPlan(("accounting_entries",), companies=(company,))
    expected = forecast(plan, place.warehouse, requests_per_minute=500, now=NOW)
    walks = [walk for walk in expected.walks if walk.stream == "accounting_entries"]
    assert [(walk.why, walk.requests) for walk in walks] == [(Why.NEVER_READ, 1), (Why.EVERY_RUN, 1), (Why.EVERY_RUN, 1)]
    assert (walks[0].as_dict()["from"], walks[-1].as_dict()["to"]) == (None, None)
    report = sync(place, entries)
    assert (report.sweeps, report.traffic.requests, report.updated, report.absent, report.warnings) == (3, 3, 1, 0, [])
    again = sync(place, entries)
    assert (again.sweeps, again.written, again.warnings) == (2, 0, [])
    assert sync(place, entries, mode=Mode.FULL).sweeps == 5  # before August, August, September, October, from November on


def test_walks_that_an_earlier_version_left_open_are_read_anew_in_the_new_windows(place: Place, entries: list[dict[str, Any]]) -> None:
    company = entries[0]["companyId"]
    sync(place, entries)
    as_an_earlier_version(place, company)
    with place.warehouse.transaction() as transaction:
        for row in transaction.read(SWEEPS, stream="accounting_entries").to_pylist():
            left = {"status": "open", "owner": "gone/1/1.00/x", "exhausted": False, "cursor": None, "rows_served": 0, "pages": 0}
            transaction.upsert(SWEEPS, state.frame_of(SWEEPS, [row | left | {"touched_at": NOW}]))
    report = sync(place, entries)
    assert (report.sweeps, report.unchanged, report.absent, report.warnings) == (5, 3, 0, [])
    later = sync(place, entries, now=NOW + timedelta(days=2))
    assert (later.absent, later.warnings) == (0, [])
    assert place.rows("SELECT count(*) FROM pleo._sweeps WHERE status = 'open'") == [(0,)]


def test_raw_pages_of_an_earlier_version_give_its_deletions_too(place: Place, entries: list[dict[str, Any]], tmp_path: Path) -> None:
    sync(place, entries)
    place.pleo.state.remove("accounting_entries", entries[0]["id"])
    assert sync(place, entries, mode=Mode.FULL).absent == 1
    with place.warehouse.transaction() as transaction:
        for row in transaction.read(RAW_REQUESTS, stream="accounting_entries").to_pylist():
            old = {"span_start": row["span_start"] or OLD_START, "span_end": row["span_end"] or OLD_END}
            transaction.upsert(RAW_REQUESTS, state.frame_of(RAW_REQUESTS, [row | old]))
        for row in transaction.read(RAW_LOADS).to_pylist():
            ended = row["ended"].replace("0001-01-01T00:00:00Z", "2000-01-01T00:00:00Z")
            ended = ended.replace("9999-12-31T23:59:59.999999Z", OLD_END.isoformat())
            transaction.upsert(RAW_LOADS, state.frame_of(RAW_LOADS, [row | {"ended": ended}]))
    other = place.beside("other")
    replay(place.warehouse, other.warehouse, ("accounting_entries",), raw=RawPolicy())
    query = "SELECT id, _deleted_source FROM pleo.accounting_entries ORDER BY id"
    assert other.rows(query) == place.rows(query)
    assert other.rows("SELECT count(*) FROM pleo.accounting_entries WHERE _deleted_source = 'sweep_absent'") == [(1,)]
    assert other.rows(f"SELECT count(*) FROM pleo._sweeps WHERE span_start = '{OLD_START}' OR span_end = '{OLD_END}'") == [(4,)]


def test_months_before_2015_in_the_state_of_an_earlier_version_become_one_window() -> None:
    old = [Interval(OLD_START, datetime(1970, 1, 1, tzinfo=UTC))]  # the first month lay before the beginning
    month = datetime(1970, 1, 1, tzinfo=UTC)
    while month < datetime(2026, 11, 1, tzinfo=UTC):
        old.append(Interval(month, windows.next_month(month)))
        month = windows.next_month(month)
    old.append(Interval(month, OLD_END))
    spans = windows.windows(windows.first_month(old), NOW)
    assert spans[0] == Interval(OPEN_START, FIRST_MONTH)
    swept = dict.fromkeys(old, NOW - timedelta(minutes=10))
    never = [one.span for one in windows.due(spans, swept, NOW, SweepPolicy()) if one.why is Why.NEVER_READ]
    assert never == [spans[0]]


def test_what_counts_as_everything() -> None:
    october, november = (datetime(2026, month, 1, tzinfo=UTC) for month in (10, 11))

    def cover(*limits: datetime) -> bool:
        return windows.cover_everything([Interval(*pair) for pair in pairwise(limits)])

    assert cover(OPEN_START, october, november, OPEN_END)
    assert cover(OLD_START, october, november, OLD_END), "a replay of sweeps of an earlier version"
    assert not windows.cover_everything([])
    assert not windows.cover_everything([Interval(OPEN_START, october), Interval(november, OPEN_END)])
    for limits in ((OLD_START, october, OPEN_END), (OPEN_START, october, november), (OPEN_START, october, OLD_END), (OLD_START, november)):
        assert not cover(*limits), limits


def test_the_report_says_which_span_was_read(place: Place, entries: list[dict[str, Any]]) -> None:
    whole = sync(place, entries)
    assert whole.spans == (Interval(OPEN_START, OPEN_END),)
    assert whole.as_dict()["spans"] == [{"from": None, "to": None}]
    hot = sync(place, entries)
    assert hot.as_dict()["spans"] == [{"from": "2026-10-01T00:00:00+00:00", "to": None}]
    some = sync(place, entries, start=datetime(2026, 8, 15, tzinfo=UTC), end=datetime(2026, 10, 4, 12, tzinfo=UTC))
    assert some.as_dict()["spans"] == [{"from": "2026-08-15T00:00:00+00:00", "to": "2026-10-04T12:00:00+00:00"}]
    assert (whole.months_read, hot.months_read, some.months_read) == ("all", "2026-10 on", "2026-08-15 to 2026-10-04T12:00")
    assert place.run("vendors").streams["vendors"].as_dict()["spans"] == []
