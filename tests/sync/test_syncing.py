"""Whole runs against the sandbox into a real DuckDB file and a real PostgreSQL database."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from pleo_connector import sync
from pleo_connector.catalogue import CATALOGUE
from pleo_connector.errors import Forbidden, MassDeleteRefused, UnknownCompany
from pleo_connector.sandbox import Fault, RunningSandbox
from pleo_connector.warehouses import open_warehouse
from tests.place import API_KEY, Place, sandbox
from tests.postgres_server import new_database
from tests.sync.looking import ask

everywhere = pytest.mark.parametrize("kind", ["duckdb", "postgres"], scope="module")
"""The tests that show most of a warehouse; the others run on DuckDB alone."""


@dataclass(frozen=True)
class First:
    """A first run of all streams: what came of it, and its warehouse, to be copied and not written to."""

    kind: str
    pleo: RunningSandbox
    report: sync.SyncReport
    url: str

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """A query's rows."""
        return ask(self.url, query)

    def copied(self, folder: Path) -> str:
        """A warehouse of its own with the same rows."""
        if self.kind == "postgres":
            return new_database(f"TEMPLATE {urlsplit(self.url).path[1:]}")
        shutil.copy(self.url.removeprefix("duckdb:///"), folder / "w.duckdb")
        return f"duckdb:///{folder / 'w.duckdb'}"


@pytest.fixture(scope="module")
def first(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[First]:
    folder = tmp_path_factory.mktemp(kind)
    with sandbox() as pleo:
        place = Place(folder, pleo, new_database() if kind == "postgres" else "")
        yield First(kind, pleo, place.run(), place.url)


@pytest.fixture
def after_first(place: Place, first: First, tmp_path: Path) -> Place:
    """A place of its own after that run."""
    return Place(tmp_path, place.pleo, first.copied(tmp_path))


@everywhere
def test_a_first_run_loads_every_record_of_every_stream(first: First) -> None:
    report, pleo, rows = first.report, first.pleo, first.rows
    assert report.failures == {}
    for stream in CATALOGUE:
        records = pleo.state.records(stream.name)
        if stream.name == "export_items":  # served while their job runs, and not after
            open_jobs = {job["id"] for job in pleo.state.records("export_jobs") if job["status"] in ("pending", "in_progress")}
            records = [item for item in pleo.state.records("export_job_items") if item["exportJobId"] in open_jobs]
        counts = report.streams[stream.name]
        assert counts.balanced
        assert counts.inserted == len(records) > 0, stream.name
        if not stream.makes_key:
            assert {str(key) for (key,) in rows(f"SELECT {stream.key} FROM pleo.{stream.name}")} == {record["id"] for record in records}
        assert counts.warnings == []
    assert report.streams["accounting_entries"].quarantined == 0
    assert rows("SELECT count(*) FROM pleo._seen_keys") == [(0,)]
    assert rows("SELECT count(*) FROM pleo._checkpoints") == [(0,)]
    assert rows("SELECT DISTINCT status FROM pleo._sweeps") == [("complete",)]


@everywhere
def test_a_second_run_on_unchanged_data_writes_nothing(after_first: Place) -> None:
    place, rows = after_first, partial(ask, after_first.url)
    before = rows("SELECT max(_synced_at), count(*) FROM pleo.accounting_entries")
    report = place.run(mode=sync.Mode.FULL)
    assert report.written == 0
    assert report.streams["accounting_entries"].unchanged == report.streams["accounting_entries"].served > 1000
    assert rows("SELECT max(_synced_at), count(*) FROM pleo.accounting_entries") == before


def test_an_incremental_run_reads_less_than_a_full_one(place: Place) -> None:
    mine = (place.pleo.state.records("companies")[0]["id"],)
    first = place.run("accounting_entries", companies=mine)
    second = place.run("accounting_entries", companies=mine)
    assert second.streams["accounting_entries"].sweeps < first.streams["accounting_entries"].sweeps
    assert 0 < second.streams["accounting_entries"].served < first.streams["accounting_entries"].served


def test_a_run_searches_for_no_module_again_and_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.run("employees")
    searched: list[str] = []

    class Noting(MetaPathFinder):
        def find_spec(self, fullname: str, path: object, target: object = None) -> None:
            searched.append(fullname)

    monkeypatch.setattr(sys, "meta_path", [Noting(), *sys.meta_path])
    place.run("employees", "tags")
    assert searched == []


def recent_entry(pleo: RunningSandbox, **where: object) -> dict[str, Any]:
    entries = [
        record
        for record in pleo.state.records("accounting_entries")
        if record["performedAt"] > "2026-11-02" and not record.get("deletedAt") and record["splitItems"] == []
    ]
    return dict(entries[0])


@everywhere
def test_a_changed_an_added_and_a_deleted_record_arrive(after_first: Place) -> None:
    place, pleo, rows = after_first, after_first.pleo, partial(ask, after_first.url)
    changed = recent_entry(pleo)
    gone = pleo.state.records("employees")[0]["id"]
    added = changed | {"id": "0b8f6f1e-7c53-4a7e-9d2a-0a5b3f6c1d2e", "note": "added"}
    pleo.state.put("accounting_entries", changed | {"note": "changed \N{PARTY POPPER}", "reviewStatus": "NOT_OK"})
    pleo.state.put("accounting_entries", added)
    pleo.state.remove("employees", gone)
    report = place.run("accounting_entries", "employees")
    entries, employees = report.streams["accounting_entries"], report.streams["employees"]
    assert (entries.inserted, entries.updated, entries.deleted) == (1, 1, 0)
    assert (employees.inserted, employees.updated, employees.deleted) == (0, 0, 1)
    assert rows(f"SELECT note, review_status FROM pleo.accounting_entries WHERE id = '{changed['id']}'") == [
        ("changed \N{PARTY POPPER}", "NOT_OK")
    ]
    assert rows(f"SELECT _deleted_source, _deleted_at IS NOT NULL FROM pleo.employees WHERE id = '{gone}'") == [("sweep_absent", True)]
    assert report.written == 3


@everywhere
def test_a_deletion_that_pleo_flags_arrives_with_its_children(after_first: Place) -> None:
    place, pleo, rows = after_first, after_first.pleo, partial(ask, after_first.url)
    entry = recent_entry(pleo)
    pleo.state.put("accounting_entries", entry | {"deletedAt": "2026-11-20T10:00:00Z"})
    report = place.run("accounting_entries").streams["accounting_entries"]
    assert (report.updated, report.deleted, report.absent) == (1, 1, 0)
    assert rows(f"SELECT _deleted_source, _deleted_at::VARCHAR FROM pleo.accounting_entries WHERE id = '{entry['id']}'") == [
        ("api_flag", "2026-11-20 10:00:00+00")
    ]
    tombstones = rows(
        f"SELECT count(*) FROM pleo.accounting_entry_tags WHERE accounting_entry_id = '{entry['id']}' AND _deleted_at IS NULL"
    )
    assert tombstones == [(0,)]


@everywhere
def test_a_row_that_is_served_again_lives_again(kind: str, place: Place, tmp_path: Path) -> None:
    place = Place(tmp_path, place.pleo, new_database() if kind == "postgres" else "")
    pleo, rows = place.pleo, partial(ask, place.url)
    place.run("employees")
    record = pleo.state.records("employees")[0]
    pleo.state.remove("employees", record["id"])
    assert place.run("employees").streams["employees"].absent == 1
    pleo.state.put("employees", record)
    again = place.run("employees").streams["employees"]
    assert (again.updated, again.deleted) == (1, 0)
    assert rows(f"SELECT _deleted_at, _deleted_source FROM pleo.employees WHERE id = '{record['id']}'") == [(None, None)]


def test_a_mass_deletion_is_refused_until_it_is_meant(place: Place) -> None:
    pleo, rows = place.pleo, place.rows
    place.run("accounts")
    company = max(
        (record["companyId"] for record in pleo.state.records("accounts")),
        key=lambda key: sum(record["companyId"] == key for record in pleo.state.records("accounts")),
    )
    victims = [record["id"] for record in pleo.state.records("accounts") if record["companyId"] == company]
    assert len(victims) > 10
    for victim in victims:
        pleo.state.remove("accounts", victim)
    refused = place.run("accounts").streams["accounts"]
    assert isinstance(refused.error, MassDeleteRefused)
    assert "--allow-mass-delete" in str(refused.error)
    assert rows("SELECT count(*) FROM pleo.accounts WHERE _deleted_at IS NOT NULL") == [(0,)]
    meant = place.run("accounts", allow_mass_delete=True).streams["accounts"]
    assert meant.error is None
    assert meant.absent == len(victims)


def test_one_refused_stream_does_not_stop_the_others(place: Place) -> None:
    pleo = place.pleo
    pleo.state.set_faults(Fault("status", status=403, path="/v1/vendors"))
    report = place.run("vendors", "employees", "tax_codes")
    assert list(report.failures) == ["vendors"]
    assert isinstance(report.failures["vendors"], Forbidden)
    assert "vendors:read" in str(report.failures["vendors"])
    assert report.streams["employees"].inserted > 0


def test_an_unknown_company_is_named_beside_the_known_ones(place: Place) -> None:
    pleo = place.pleo
    with pytest.raises(UnknownCompany, match="is not covered") as caught:
        place.run(companies=("Nobody Ltd",))
    assert pleo.state.records("companies")[0]["id"] in str(caught.value)


def test_one_company_is_read_alone(place: Place) -> None:
    pleo, rows = place.pleo, place.rows
    company = pleo.state.records("companies")[1]
    report = place.run("vendors", "accounting_entries", companies=(company["name"],))
    assert report.companies == (company["id"],)
    assert {str(key) for (key,) in rows("SELECT DISTINCT company_id FROM pleo.accounting_entries")} == {company["id"]}


def test_a_range_of_dates_reads_just_those_entries(place: Place) -> None:
    pleo, rows = place.pleo, place.rows
    start, end = datetime(2026, 3, 10, tzinfo=UTC), datetime(2026, 4, 5, tzinfo=UTC)
    place.run("accounting_entries", start=start, end=end)
    low, high = rows("SELECT min(performed_at), max(performed_at) FROM pleo.accounting_entries")[0]
    assert start <= low <= high < end
    expected = [r for r in pleo.state.records("accounting_entries") if "2026-03-10" <= r["performedAt"] < "2026-04-05"]
    assert rows("SELECT count(*) FROM pleo.accounting_entries") == [(len(expected),)]


@everywhere
def test_money_is_exact_in_every_currency(first: First) -> None:
    pleo, rows = first.pleo, first.rows
    exponents = {"JPY": 0, "KWD": 3}
    stored = rows("SELECT id, transaction_value, transaction_value_minors, transaction_value_currency FROM pleo.accounting_entries")
    served = {record["id"]: record["transactionValue"] for record in pleo.state.records("accounting_entries")}
    assert {"DKK", "EUR", "GBP", "SEK", "JPY", "KWD"} <= {currency for *_, currency in stored}
    for key, amount, minors, currency in stored:
        assert (minors, currency) == (served[str(key)]["minors"], served[str(key)]["currency"])
        assert amount.scaleb(exponents.get(currency, 2)) == minors


def test_a_run_ends_with_a_snapshot_where_one_is_wanted(place: Place) -> None:
    warehouse = open_warehouse(place.url, "pleo", snapshot="on")
    sync.run(sync.SyncPlan(("employees",)), sync.Connection(place.pleo.url, API_KEY, requests_per_minute=1_000_000), warehouse)
    assert place.beside("w_snapshot").rows("SELECT count(*) FROM pleo.employees") == [(len(place.pleo.state.records("employees")),)]
