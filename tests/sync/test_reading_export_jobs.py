"""Export jobs are followed to their end; their items are captured while they run, and never deleted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from pleo_connector import sync
from pleo_connector.catalogue import CATALOGUE
from pleo_connector.errors import Forbidden, MissingContraAccounts
from tests.place import Place, sandbox

ALL = ("export_jobs", "export_job_items", "export_items")


def jobs(place: Place, *statuses: str) -> list[dict[str, Any]]:
    return [job for job in place.pleo.state.records("export_jobs") if job["status"] in statuses]


def entries_of(place: Place, job_id: str) -> set[str]:
    return {item["accountingEntryId"] for item in place.pleo.state.records("export_job_items") if item["exportJobId"] == job_id}


def captured(place: Place, job_id: str) -> set[str]:
    found = place.rows(f"SELECT accounting_entry_id FROM pleo.export_items WHERE export_job_id = '{job_id}' AND _deleted_at IS NULL")
    return {str(entry) for (entry,) in found}


def finished_entries(place: Place, count: int) -> tuple[str, list[str]]:
    job = jobs(place, "completed")[0]
    return job["companyId"], sorted(entries_of(place, job["id"]))[:count]


def test_items_are_captured_while_their_job_runs_and_kept_afterwards(place: Place) -> None:
    first = place.run(*ALL)
    assert first.failures == {}
    running_job = jobs(place, "in_progress")[0]
    assert captured(place, running_job["id"]) == entries_of(place, running_job["id"]) != set()
    assert place.rows("SELECT DISTINCT j.status FROM pleo.export_items i JOIN pleo.export_jobs j ON j.id = i.export_job_id ORDER BY 1") == [
        ("in_progress",),
        ("pending",),
    ]
    place.pleo.state.move_export_job(running_job["id"], "completed")
    second = place.run(*ALL)
    assert second.failures == {}
    assert [second.streams[name].warnings for name in ALL] == [[], [], []]
    assert second.streams["export_jobs"].updated == 1
    assert second.streams["export_job_items"].updated == len(captured(place, running_job["id"])) > 0
    assert place.rows(f"SELECT DISTINCT status FROM pleo.export_job_items WHERE export_job_id = '{running_job['id']}'") == [("successful",)]
    assert captured(place, running_job["id"]) == entries_of(place, running_job["id"])
    assert place.pleo.state.counters()["by_status"].get("422") is None


def test_items_of_ended_jobs_are_read_once(synced: Place) -> None:
    synced.pleo.state.reset_counters()
    again = synced.run(*ALL)
    assert again.written == 0
    for job in jobs(synced, "completed", "failed", "completed_with_errors"):
        assert synced.requests(f"/v3/export-jobs/{job['id']}/items") == 0
    for job in jobs(synced, "pending", "in_progress"):
        assert synced.requests(f"/v3/export-jobs/{job['id']}/items") == 1
    synced.pleo.state.reset_counters()
    synced.run("export_job_items", mode=sync.Mode.FULL)
    assert all(synced.requests(f"/v3/export-jobs/{job['id']}/items") == 1 for job in synced.pleo.state.records("export_jobs"))


def test_a_job_that_begins_and_ends_between_two_runs(synced: Place) -> None:
    company, entries = finished_entries(synced, 3)
    job_id = synced.pleo.state.start_export_job(company, entries)
    synced.pleo.state.move_export_job(job_id, "completed_with_errors")
    report = synced.run(*ALL)
    assert report.failures == {}
    assert (report.streams["export_jobs"].inserted, report.streams["export_job_items"].inserted) == (1, 3)
    found = synced.rows(f"SELECT status, count(*) FROM pleo.export_job_items WHERE export_job_id = '{job_id}' GROUP BY ALL ORDER BY 1")
    assert found == [("failed", 1), ("successful", 2)]
    assert captured(synced, job_id) == set(), "Pleo never served them to us"


def test_an_entry_exported_twice_has_an_item_in_each_job(place: Place) -> None:
    company, entries = finished_entries(place, 2)
    one = place.pleo.state.start_export_job(company, entries)
    place.run(*ALL)
    place.pleo.state.move_export_job(one, "failed")
    other = place.pleo.state.start_export_job(company, entries)
    assert place.run(*ALL).streams["export_items"].inserted == 2
    assert captured(place, one) == captured(place, other) == set(entries)
    assert place.rows("SELECT count(*) = count(DISTINCT id) FROM pleo.export_items") == [(True,)]


def test_a_job_that_ends_between_two_pages_keeps_what_was_read(place: Place) -> None:
    items = place.pleo.state.records("export_items")
    company = items[0]["companyId"]
    entries = []
    for number in range(150):
        entry = f"{number:08x}-0000-4000-8000-000000000000"
        place.pleo.state.put("export_items", items[0] | {"accountingEntryId": entry})
        entries.append(entry)
    job_id = place.pleo.state.start_export_job(company, entries)
    place.pleo.state.end_export_job_after(job_id, pages=1)
    report = place.run(*ALL).streams["export_items"]
    assert report.error is None
    (warning,) = report.warnings
    assert job_id in warning
    assert "ended while" in warning
    assert len(captured(place, job_id)) == 100
    assert place.pleo.state.counters()["by_status"]["422"] == 1
    again = place.run(*ALL).streams["export_items"]
    assert (again.error, again.warnings) == (None, [])
    assert len(captured(place, job_id)) == 100
    assert place.rows(f"SELECT status FROM pleo._sweeps WHERE stream = 'export_items' AND parent_id = '{job_id}'") == [("abandoned",)]
    assert place.rows("SELECT count(*) FROM pleo._checkpoints") == [(0,)]


def test_a_job_that_ends_before_its_first_page_is_no_error(place: Place) -> None:
    (pending,) = jobs(place, "pending")
    place.pleo.state.end_export_job_after(pending["id"], pages=0)
    report = place.run(*ALL).streams["export_items"]
    assert (report.error, report.warnings) == (None, [])
    assert place.pleo.state.counters()["by_status"]["422"] == 1
    assert captured(place, pending["id"]) == set()
    assert place.run(*ALL).failures == {}


def test_missing_contra_accounts_are_one_clear_sentence_and_stop_nobody_else(place: Place) -> None:
    running_job, (pending,) = jobs(place, "in_progress")[0], jobs(place, "pending")
    place.pleo.state.set_contra_accounts(running_job["companyId"], present=False)
    report = place.run(*ALL)
    assert list(report.failures) == ["export_items"]
    error = report.failures["export_items"]
    assert isinstance(error, MissingContraAccounts)
    assert running_job["id"] in str(error)
    assert "MISSING_CONTRA_ACCOUNTS" in str(error)
    assert captured(place, pending["id"]) == entries_of(place, pending["id"]), "the other company's items came"
    place.pleo.state.set_contra_accounts(running_job["companyId"], present=True)
    assert place.run(*ALL).failures == {}
    assert captured(place, running_job["id"]) == entries_of(place, running_job["id"])


def test_a_job_expires_after_an_hour_of_the_sandboxs_clock(tmp_path: Path) -> None:
    now = [1_000_000.0]
    with sandbox(access_token_lifetime=1e9, clock=lambda: now[0]) as pleo:
        place = Place(tmp_path, pleo)
        running_jobs = jobs(place, "pending", "in_progress")
        captured_items = sum(len(entries_of(place, job["id"])) for job in running_jobs)
        place.run(*ALL)
        now[0] += 3599
        assert place.run(*ALL).written == 0
        now[0] += 1
        assert place.run(*ALL).streams["export_jobs"].updated == len(running_jobs)
        assert place.rows("SELECT count(*) FROM pleo.export_jobs WHERE failure_reason_type = 'job_expired'") == [(len(running_jobs) + 1,)]
        assert place.rows("SELECT count(*) FROM pleo.export_items WHERE _deleted_at IS NULL") == [(captured_items,)]


@pytest.mark.parametrize("lacking", ["export-items:read", "export-jobs:read"])
def test_a_credential_without_the_export_scopes_fails_those_streams_alone(tmp_path: Path, lacking: str) -> None:
    scopes = tuple(dict.fromkeys(stream.scope for stream in CATALOGUE if stream.scope not in ("", lacking)))
    with sandbox(scopes=scopes) as pleo:
        place = Place(tmp_path, pleo)
        report = place.run("companies", "tag_groups", "tag_group_dimensions", *ALL)
        failed = {"export-items:read": ["export_items"], "export-jobs:read": list(ALL)}[lacking]
        assert list(report.failures) == failed
        assert all(isinstance(error, Forbidden) and lacking in str(error) for error in report.failures.values())
        assert report.streams["tag_group_dimensions"].inserted > 0


def test_the_items_of_a_job_can_be_synced_without_the_jobs(place: Place) -> None:
    wanted = sum(len(entries_of(place, job["id"])) for job in jobs(place, "pending", "in_progress"))
    report = place.run("export_items")
    assert list(report.streams) == ["export_items"]
    assert report.streams["export_items"].inserted == wanted > 0
    assert place.rows("SELECT table_name FROM duckdb_tables() WHERE table_name = 'export_jobs'") == []


def test_money_of_export_items_is_a_hundredth_of_what_is_served(place: Place) -> None:
    (item,) = [
        record
        for record in place.pleo.state.records("export_items")
        if record["accountingEntryId"] == min(entries_of(place, jobs(place, "pending")[0]["id"]))
    ]
    yen = {"currency": "JPY", "value": 150000}
    none = {"currency": "UNDEFINED", "value": 12.5}
    place.pleo.state.put("export_items", item | {"amount": {"inSupplierCurrency": yen, "inWalletCurrency": none}})
    other = {"currency": "SEK", "value": 89696}
    line = item["accountingEntryLines"][0] | {"lineAmount": {"inSupplierCurrency": other, "inWalletCurrency": other}}
    place.pleo.state.put(
        "export_items",
        place.pleo.state.get("export_items", item["accountingEntryId"]) | {"accountingEntryLines": [line]},  # type: ignore[operator]
    )
    place.run("export_items")
    where = f"WHERE accounting_entry_id = '{item['accountingEntryId']}'"
    columns = ", ".join(
        f"{name}{part}::VARCHAR"
        for name in ("amount_in_supplier_currency", "amount_in_wallet_currency")
        for part in ("", "_value", "_currency")
    )
    assert place.rows(f"SELECT {columns} FROM pleo.export_items {where}") == [(None, "150000.00000000", "JPY", None, "12.50000000", None)]
    line_amounts = place.rows(
        "SELECT line_amount_in_wallet_currency::VARCHAR FROM pleo.export_item_lines l"
        f" JOIN pleo.export_items i ON i.id = l.export_item_id {where.replace('WHERE ', 'WHERE i.')}"
    )
    assert line_amounts == [("896.96000000",)]


def test_lists_of_an_item_become_tables(place: Place) -> None:
    place.run("export_items")
    counts = {
        name: place.rows(f"SELECT count(*) FROM pleo.{name}")[0][0]
        for name in ("export_item_lines", "export_item_line_tags", "export_item_files")
    }
    assert all(counts.values()), counts
    job_ids = [job["id"] for job in jobs(place, "pending", "in_progress")]
    entries = set().union(*(entries_of(place, job) for job in job_ids))
    served = [item for item in place.pleo.state.records("export_items") if item["accountingEntryId"] in entries]
    assert counts["export_item_lines"] == sum(len(item["accountingEntryLines"]) for item in served)
    assert counts["export_item_files"] == sum(len(item["files"] or ()) for item in served)
