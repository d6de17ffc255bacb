"""A forecast names the walks that the run then makes, and what they cost, without asking Pleo or writing anything."""

from __future__ import annotations

import shutil
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pleo_connector import ReceiptFiles, StreamOptions
from pleo_connector.api import Interval
from pleo_connector.catalogue import CATALOGUE
from pleo_connector.errors import UnknownCompany
from pleo_connector.sync import Mode, SyncPlan, state, windows
from pleo_connector.sync.forecast import Forecast, forecast
from pleo_connector.sync.state_tables import SWEEPS
from pleo_connector.sync.windows import BEGINNING, Why
from tests.place import NOW, Place, sandbox

STATE = "SELECT table_name, estimated_size FROM duckdb_tables() ORDER BY 1"


def expected(place: Place, *streams: str, now: datetime = NOW, **options: Any) -> Forecast:
    return forecast(SyncPlan(streams, **options), place.warehouse, requests_per_minute=50, now=now)


def requests(found: Forecast) -> Counter[str]:
    return Counter({name: sum(walk.requests for walk in found.walks if walk.stream == name) for name in (w.stream for w in found.walks)})


@pytest.mark.slow
def test_what_is_forecast_is_what_the_run_then_asks_for(synced: Place) -> None:
    for options in ({}, {"mode": Mode.FULL}, {"start": datetime(2026, 2, 10, tzinfo=UTC), "end": datetime(2026, 4, 1, tzinfo=UTC)}):
        synced.pleo.state.reset_counters()
        found = expected(synced, **options)
        assert synced.pleo.counters()["by_path"] == {}, "a forecast asks for nothing"
        report = synced.run(**options)
        result = requests(found)
        assert {name: each.traffic.requests for name, each in report.streams.items()} == dict(result)
        assert found.requests == report.requests
        walks = Counter(walk.stream for walk in found.walks)
        assert {name: each.sweeps for name, each in report.streams.items()} == {name: walks[name] for name in report.streams}
    assert found.minutes == (found.requests - 1) // 50 >= 1


@pytest.mark.slow
def test_lists_that_other_streams_wait_for_are_counted(synced: Place) -> None:
    found, report = expected(synced, "export_job_items"), synced.run("export_job_items")
    assert set(requests(found)) == {"companies", "export_jobs", "export_job_items"}
    assert found.requests == report.requests + 1, "the list of companies is nobody's when its stream is not asked for"


def test_links_to_the_files_of_known_receipts_are_counted(synced: Place, tmp_path: Path) -> None:
    options = {"receipts": StreamOptions(files=ReceiptFiles(tmp_path / "files", per_run=80))}
    found = expected(synced, "receipts", options=options)
    asked = [walk for walk in found.walks if walk.why is Why.FILES]
    assert sum(walk.requests for walk in asked) >= 3
    report = synced.run("receipts", options=options).streams["receipts"]
    assert requests(found)["receipts"] == report.traffic.requests
    assert report.files is not None
    assert report.files.fetched == 80


def test_nothing_is_written(place: Place, sample: Path) -> None:
    found = expected(place)
    assert place.rows(STATE) == []
    assert [walk.stream for walk in found.walks] == ["companies", "installation", "subscriptions"]
    assert "knows no companies yet" in found.notes[0]
    shutil.copy(sample, place.file)
    with place.warehouse.transaction() as transaction:  # as a kill leaves them
        for row in transaction.read(SWEEPS, stream="accounting_entries").to_pylist():
            transaction.upsert(SWEEPS, state.frame_of(SWEEPS, [row | {"status": "open", "touched_at": NOW, "owner": "gone/1/1.00/x"}]))
    before = place.rows("SELECT * FROM pleo._sweeps ORDER BY sweep_id")
    expected(place)
    assert place.rows("SELECT * FROM pleo._sweeps ORDER BY sweep_id") == before


def test_a_company_that_was_never_read_costs_at_least_a_request_each_and_one_to_find_its_first_month(place: Place) -> None:
    place.run("companies")
    company = place.pleo.state.records("companies")[0]
    found = expected(place, "accounting_entries", companies=(company["name"],))
    mine = [walk for walk in found.walks if walk.stream == "accounting_entries"]
    assert {(walk.company_id, walk.why, walk.tier, walk.rows, walk.basis) for walk in mine} == {
        (company["id"], Why.NEVER_READ, windows.FIRST, None, "unknown")
    }
    assert [walk.requests for walk in mine] == [2, 1]
    with pytest.raises(UnknownCompany, match=f"knows no company 'Nobody'; it knows: .*{company['name']}"):
        expected(place, companies=("Nobody",))


def test_a_month_that_goes_on_grows_by_what_the_company_spends(synced: Place) -> None:
    with synced.warehouse.transaction() as transaction:  # as if it had run at NOW, whose month the data ends in
        for row in transaction.read(SWEEPS, stream="accounting_entries").to_pylist():
            then = {name: NOW for name, value in row.items() if isinstance(value, datetime) and value > NOW}
            transaction.upsert(SWEEPS, state.frame_of(SWEEPS, [row | then]))
    later = NOW + timedelta(days=3)
    (walk,) = [
        walk
        for walk in expected(synced, "accounting_entries", now=later, companies=(busiest(synced),)).walks
        if walk.span is not None and walk.span.start <= later < walk.span.end
    ]
    known = synced.rows(
        f"SELECT count(*) FROM pleo.accounting_entries WHERE company_id = '{busiest(synced)}' AND performed_at >= '2026-11-01'"
    )
    assert walk.rows is not None
    assert (walk.basis, known[0][0] < walk.rows < 2 * known[0][0]) == ("estimated", True)


def busiest(place: Place) -> str:
    owners = Counter(entry["companyId"] for entry in place.pleo.state.records("accounting_entries"))
    return str(owners.most_common(1)[0][0])


def test_what_was_left_unfinished_costs_what_is_left(tmp_path: Path) -> None:
    with sandbox(rows=5_000) as pleo:
        large = Place(tmp_path, pleo)
        busy = busiest(large)
        large.run("companies", "accounting_entries", companies=(busy,))
        with large.warehouse.transaction() as transaction:
            rows = transaction.read(SWEEPS, stream="accounting_entries").to_pylist()
            row = max(rows, key=lambda row: int(row["rows_served"]))
            left = row | {"status": "open", "touched_at": NOW, "owner": "gone/1/1.00/x", "exhausted": False, "rows_served": 100, "pages": 1}
            transaction.upsert(SWEEPS, state.frame_of(SWEEPS, [left]))
        found = expected(large, "accounting_entries", mode=Mode.FULL, companies=(busy,))
        (walk,) = [walk for walk in found.walks if walk.why is Why.UNFINISHED]
        assert walk.rows is not None
        assert walk.rows == row["rows_served"] > 100
        assert walk.requests == -(-(walk.rows - 100) // 100)


def test_rows_that_were_missing_bring_all_months_of_their_company(synced: Place) -> None:
    gone = next(entry for entry in synced.pleo.state.records("accounting_entries") if entry["performedAt"] > "2026-11-02")
    synced.pleo.state.remove("accounting_entries", gone["id"])
    synced.run("accounting_entries")
    found = expected(synced, "accounting_entries")
    whys = {walk.why for walk in found.walks if walk.company_id == gone["companyId"]}
    assert whys == {Why.MISSING_ROWS}
    assert Why.MISSING_ROWS not in {walk.why for walk in found.walks if walk.company_id != gone["companyId"]}


def test_months_in_words() -> None:
    def month(number: int) -> Interval:
        return Interval(datetime(2026, number, 1, tzinfo=UTC), datetime(2026, number + 1, 1, tzinfo=UTC))

    future = windows.windows(None, NOW)[-1]
    assert windows.describe([]) == ""
    assert windows.describe([month(3)]) == "2026-03"
    assert windows.describe([month(3), month(1), month(2)]) == "2026-01 to 2026-03"
    assert windows.describe([month(10), future]) == "2026-10 on"
    assert windows.describe([future]) == "2026-11 on"
    assert windows.describe([Interval(BEGINNING, month(1).start)]) == "before 2026-01"
    assert windows.describe([Interval(BEGINNING, month(1).start), month(1)]) == "to 2026-01"
    assert windows.describe([Interval(BEGINNING, month(1).start), future]) == "on"


@pytest.mark.slow
def test_every_stream_can_be_forecast(synced: Place) -> None:
    assert {walk.stream for walk in expected(synced).walks} == {stream.name for stream in CATALOGUE}
    assert all(isinstance(walk["rows"], int) for walk in expected(synced).as_dict()["walks"])
