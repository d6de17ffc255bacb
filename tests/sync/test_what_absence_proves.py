"""A row that was not served is deleted only where that is certain: two runs, moved rows and lost permissions included."""

from __future__ import annotations

import threading
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from pleo_connector import sync
from pleo_connector.catalogue import CATALOGUE
from pleo_connector.errors import MassDeleteRefused, WalkStalled
from pleo_connector.sandbox import Fault
from pleo_connector.sync import Mode, state
from pleo_connector.sync.owner import is_alive, registered
from pleo_connector.sync.state_tables import SWEEPS
from pleo_connector.warehouses import Scope, Transaction, open_warehouse
from tests.place import API_KEY, NOW, Place
from tests.sync.answering import serving

COMPANY = "5f0c8f5e-8a0b-4c51-9a3e-2f1d6b7c8d9e"
TOMBSTONES = "SELECT count(*) FROM pleo.accounting_entries WHERE _deleted_source = 'sweep_absent'"


def entries(place: Place, since: str, until: str, count: int = 1) -> list[dict[str, Any]]:
    found = [r for r in place.pleo.state.records("accounting_entries") if since <= r["performedAt"] < until and not r.get("deletedAt")]
    return [dict(record) for record in found[:count]]


@pytest.mark.slow
def test_a_second_run_beside_the_first_deletes_nothing(synced: Place) -> None:
    synced.pleo.state.set_faults(Fault("delay_before", path="/v1/accounting-entries:search", seconds=0.2))
    plan = sync.SyncPlan(("accounting_entries",), mode=Mode.FULL)
    connection = sync.Connection(synced.pleo.url, API_KEY, requests_per_minute=1_000_000, concurrency=4)
    reports: list[sync.SyncReport] = []
    second = threading.Thread(target=lambda: reports.append(sync.run(plan, connection, synced.warehouse, now=NOW)))

    def start_second(_: sync.StreamReport) -> None:
        if not second.ident:  # the first batch is committed, and its sweeps are open
            second.start()

    reports.append(sync.run(plan, connection, synced.warehouse, now=NOW, on_load=start_second))
    second.join()
    assert [report.failures for report in reports] == [{}, {}]
    assert [report.streams["accounting_entries"].absent for report in reports] == [0, 0]
    assert synced.rows(TOMBSTONES) == [(0,)]


def test_a_row_written_since_the_sweep_began_is_not_absent(synced: Place) -> None:
    employees = synced.pleo.state.records("employees")
    sweep_began = synced.rows("SELECT max(_synced_at) - INTERVAL 1 HOUR FROM pleo.employees")[0][0]
    with synced.warehouse.transaction() as transaction:
        assert absent(transaction, None) == len(employees)
        assert absent(transaction, sweep_began) == 0


def absent(transaction: Transaction, before: Any) -> int:
    return transaction.absent(CATALOGUE.table("employees"), Scope(before=before), ("none",))[1]


def test_a_row_that_moved_to_another_month_is_found_there_by_the_next_run(synced: Place) -> None:
    (entry,) = entries(synced, "2026-11-02", "2026-11-23")
    synced.pleo.state.put("accounting_entries", entry | {"performedAt": "2026-04-10T08:00:00Z"})
    first = synced.run("accounting_entries").streams["accounting_entries"]
    assert first.absent == 0
    assert any("the next run reads all months" in warning for warning in first.warnings)
    second = synced.run("accounting_entries").streams["accounting_entries"]
    assert (second.updated, second.absent) == (1, 0)
    assert synced.rows(f"SELECT month(performed_at), _deleted_at FROM pleo.accounting_entries WHERE id = '{entry['id']}'") == [(4, None)]
    third = synced.run("accounting_entries").streams["accounting_entries"]
    assert third.sweeps < second.sweeps


def test_an_entry_that_is_really_gone_is_deleted_once_all_months_were_read(synced: Place) -> None:
    (entry,) = entries(synced, "2026-11-02", "2026-11-23")
    synced.pleo.state.remove("accounting_entries", entry["id"])
    assert synced.run("accounting_entries").streams["accounting_entries"].absent == 0
    assert synced.run("accounting_entries").streams["accounting_entries"].absent == 1
    assert synced.run("accounting_entries").streams["accounting_entries"].warnings == []


def test_a_run_of_a_range_that_misses_an_entry_is_followed_by_one_of_all_months_whatever_its_range_is(synced: Place) -> None:
    november: dict[str, Any] = {"start": NOW.replace(day=1, hour=0)}
    march: dict[str, Any] = {"start": NOW.replace(month=3, day=1), "end": NOW.replace(month=4, day=1)}
    (gone,) = entries(synced, "2026-11-02", "2026-11-23")
    moved = next(one for one in entries(synced, "2026-10-02", "2026-10-30", 1000) if one["companyId"] == gone["companyId"])
    synced.pleo.state.remove("accounting_entries", gone["id"])
    synced.pleo.state.put("accounting_entries", moved | {"performedAt": "2026-02-10T08:00:00Z"})
    first = synced.run("accounting_entries", **november).streams["accounting_entries"]
    assert first.absent == 0 and any("the next run reads all months" in warning for warning in first.warnings)
    second = synced.run("accounting_entries", **march).streams["accounting_entries"]
    assert (second.absent, second.updated, second.warnings) == (1, 1, [])
    third = synced.run("accounting_entries", **march).streams["accounting_entries"]
    assert third.sweeps < second.sweeps and third.written == 0


def test_a_mass_deletion_that_is_meant_goes_through_in_runs_of_a_range_too(synced: Place) -> None:
    march: dict[str, Any] = {"start": NOW.replace(month=3, day=1, hour=0), "end": NOW.replace(month=4, day=1, hour=0)}
    for entry in entries(synced, "2026-03-01", "2026-04-01", 100):
        synced.pleo.state.remove("accounting_entries", entry["id"])
    assert isinstance(synced.run("accounting_entries", **march).failures["accounting_entries"], MassDeleteRefused)
    meant = synced.run("accounting_entries", allow_mass_delete=True, **march)
    assert meant.failures == {} and meant.streams["accounting_entries"].absent > 10


def test_many_small_losses_of_one_company_are_a_mass_deletion(synced: Place) -> None:
    records = synced.pleo.state.records("accounting_entries")
    company = min({r["companyId"] for r in records}, key=lambda key: sum(r["companyId"] == key for r in records))
    taken: dict[str, int] = {}
    for record in records:
        month = record["performedAt"][:7]
        if record["companyId"] == company and taken.get(month, 0) < 9:
            taken[month] = taken.get(month, 0) + 1
            synced.pleo.state.remove("accounting_entries", record["id"])
    assert max(taken.values()) < 10 < sum(taken.values())
    report = synced.run("accounting_entries", mode=Mode.FULL).streams["accounting_entries"]
    assert isinstance(report.error, MassDeleteRefused)
    assert synced.rows(TOMBSTONES) == [(0,)]


@pytest.mark.slow
def test_a_refused_mass_deletion_stays_due_until_it_is_meant(synced: Place) -> None:
    for entry in entries(synced, "2026-02-01", "2026-03-01", 100):
        synced.pleo.state.remove("accounting_entries", entry["id"])
    assert isinstance(synced.run("accounting_entries", mode=Mode.FULL).failures["accounting_entries"], MassDeleteRefused)
    assert isinstance(synced.run("accounting_entries").failures["accounting_entries"], MassDeleteRefused)
    meant = synced.run("accounting_entries", allow_mass_delete=True)
    assert meant.failures == {}
    assert meant.streams["accounting_entries"].absent > 10
    assert synced.run("accounting_entries").written == 0


def test_an_empty_list_of_companies_deletes_none(synced: Place) -> None:
    for company in synced.pleo.state.records("companies"):
        synced.pleo.state.remove("companies", company["id"])
    assert isinstance(synced.run("companies").failures["companies"], MassDeleteRefused)


def test_a_company_without_a_name_is_read(place: Place) -> None:
    company = place.pleo.state.records("companies")[0]
    place.pleo.state.put("companies", company | {"name": None})
    report = place.run("companies", "vendors")
    assert company["id"] in report.companies
    assert report.streams["vendors"].inserted == len(place.pleo.state.records("vendors"))


def test_a_range_before_the_first_entry_does_not_stretch_the_plan(place: Place) -> None:
    mine: dict[str, Any] = {"companies": (place.pleo.state.records("companies")[0]["id"],)}
    plain = place.run("accounting_entries", mode=Mode.FULL, **mine).streams["accounting_entries"].sweeps
    place.run("accounting_entries", end=NOW.replace(year=2005), **mine)
    assert place.run("accounting_entries", mode=Mode.FULL, **mine).streams["accounting_entries"].sweeps == plain


def test_only_such_a_range_and_then_a_plain_run(place: Place) -> None:
    place.run("accounting_entries", end=NOW.replace(year=2005))
    assert place.run("accounting_entries").streams["accounting_entries"].sweeps < 100


def test_a_record_that_is_served_right_again_leaves_the_quarantine(place: Place) -> None:
    vendor = place.pleo.state.records("vendors")[0]
    place.pleo.state.put("vendors", vendor | {"createdAt": "never"})
    assert place.run("vendors").streams["vendors"].quarantined == 1
    assert [str(key) for (key,) in place.rows("SELECT key FROM pleo._quarantine")] == [vendor["id"]]
    place.pleo.state.put("vendors", vendor | {"createdAt": "still never"})
    place.run("vendors")
    assert place.rows("SELECT count(*) FROM pleo._quarantine") == [(1,)]
    place.pleo.state.put("vendors", vendor)
    place.run("vendors")
    assert place.rows("SELECT count(*) FROM pleo._quarantine") == [(0,)]


@pytest.mark.slow
def test_a_stopped_sweep_of_a_recent_month_is_read_anew(synced: Place) -> None:
    with synced.warehouse.transaction() as transaction:  # as a kill before the sweeps are closed leaves them
        for row in transaction.read(SWEEPS, stream="accounting_entries").to_pylist():
            transaction.upsert(SWEEPS, state.frame_of(SWEEPS, [row | {"status": "open", "touched_at": NOW, "owner": "gone/1/1.00/x"}]))
    (entry,) = entries(synced, "2026-10-02", "2026-10-30")
    synced.pleo.state.put("accounting_entries", entry | {"note": "edited meanwhile"})
    assert synced.run("accounting_entries", allow_mass_delete=True).streams["accounting_entries"].updated == 1


def test_a_walk_in_circles_ends_and_the_next_run_starts_it_again(tmp_path: Path) -> None:
    requests: list[str | None] = []

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/companies":
            page = {"data": [{"id": COMPANY, "name": "One"}], "pagination": {"hasNextPage": False}}
        else:
            requests.append(request.url.params.get("after"))
            page = {"data": [], "pagination": {"hasNextPage": True, "endCursor": "AAAA="}}
        return httpx.Response(200, json=page)

    warehouse = open_warehouse(f"duckdb:///{tmp_path / 'w.duckdb'}", "pleo")
    with serving(answer) as url:
        for _ in range(2):
            report = sync.run(sync.SyncPlan(("vendors",)), sync.Connection(url, httpx.BasicAuth("k", "")), warehouse)
            assert isinstance(report.failures["vendors"], WalkStalled)
    assert requests == [None, "AAAA="] * 2


def test_who_is_alive() -> None:
    with registered() as mine:
        assert is_alive(mine, None, NOW)
        host, pid, started, run = mine.split("/")
        assert not is_alive(f"{host}/{pid}/1.00/{run}", NOW, NOW)
        assert not is_alive(f"{host}/999999999/{started}/{run}", NOW, NOW)
        assert is_alive(f"elsewhere/{pid}/{started}/{run}", NOW - timedelta(minutes=5), NOW)
        assert not is_alive(f"elsewhere/{pid}/{started}/{run}", NOW - timedelta(minutes=20), NOW)
    assert not is_alive(mine, NOW, NOW)
    assert not is_alive("", NOW, NOW)
