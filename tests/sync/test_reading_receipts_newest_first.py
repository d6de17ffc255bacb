"""Receipts are read from the newest down to what is known, and whole once in 30 days."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from pleo_connector import sync
from pleo_connector.sandbox import Fault
from tests.place import NOW, Place

PATH = "/v1/accounting-entries/receipts:search"
COMPANIES = 5


def newest(place: Place) -> dict[str, Any]:
    return max(place.pleo.state.records("receipts"), key=lambda record: str(record["createdAt"]))


def oldest(place: Place) -> dict[str, Any]:
    return min(place.pleo.state.records("receipts"), key=lambda record: str(record["createdAt"]))


def added(place: Place, created: str) -> str:
    key = "0b8f6f1e-7c53-4a7e-9d2a-0a5b3f6c1d2e"
    place.pleo.state.put("receipts", newest(place) | {"id": key, "createdAt": created})
    return key


def test_the_first_run_reads_all_and_the_next_stops_at_the_mark(place: Place) -> None:
    first = place.run("receipts").streams["receipts"]
    records = place.pleo.state.records("receipts")
    assert (first.served, first.inserted, first.sweeps_completed, first.warnings) == (len(records), len(records), COMPANIES, [])
    key = added(place, "2026-11-22T23:00:00.5Z")
    place.pleo.state.reset_counters()
    second = place.run("receipts").streams["receipts"]
    assert second.error is None
    assert (second.inserted, second.updated, second.deleted) == (1, 0, 0)
    assert place.requests(PATH) == COMPANIES, "one page each: the mark is on it"
    assert second.served < first.served
    assert place.rows(f"SELECT count(*) FROM pleo.receipts WHERE id = '{key}'") == [(1,)]


def test_a_receipt_that_became_visible_late_is_met_within_the_overlap(synced: Place) -> None:
    company = newest(synced)
    late = synced.run("receipts")
    assert late.written == 0
    mark = str(company["createdAt"])[:10]
    key = added(synced, f"{mark[:8]}{int(mark[8:10]) - 2:02}T00:00:00Z")
    assert synced.run("receipts").streams["receipts"].inserted == 1
    assert synced.rows(f"SELECT count(*) FROM pleo.receipts WHERE id = '{key}'") == [(1,)]


def test_an_incremental_run_deletes_nothing_and_the_next_complete_one_does(synced: Place) -> None:
    gone, changed = newest(synced), oldest(synced)
    synced.pleo.state.remove("receipts", gone["id"])
    synced.pleo.state.put("receipts", changed | {"sizeInBytes": 123_456})
    partial = synced.run("receipts").streams["receipts"]
    assert (partial.updated, partial.deleted) == (0, 0)
    complete = synced.run("receipts", now=datetime.now(UTC) + timedelta(days=31)).streams["receipts"]
    assert (complete.updated, complete.deleted, complete.inserted) == (1, 1, 0)
    assert synced.rows(f"SELECT size_in_bytes FROM pleo.receipts WHERE id = '{changed['id']}'") == [(123_456,)]
    assert synced.rows(f"SELECT _deleted_source FROM pleo.receipts WHERE id = '{gone['id']}'") == [("sweep_absent",)]


def test_full_mode_reads_all(synced: Place) -> None:
    again = synced.run("receipts", mode=sync.Mode.FULL)
    assert again.streams["receipts"].served == len(synced.pleo.state.records("receipts"))
    assert again.written == 0


def test_a_walk_that_broke_off_leaves_no_gap_below_what_it_met(place: Place) -> None:
    """The newest page is committed before the rest fails: the mark must not move to it."""
    company = place.pleo.state.records("companies")[0]["id"]
    place.pleo.state.set_faults(Fault("status", status=500, path=PATH, after=1))
    broken = place.run("receipts", companies=(company,), patience=0.01).streams["receipts"]
    assert broken.error is not None
    assert broken.inserted == 100
    place.pleo.state.set_faults()
    # The open sweep is too old to go on: the next run starts anew, and must not take its first page for a mark.
    place.run("receipts", companies=(company,), now=NOW + timedelta(days=3650))
    mine = {entry["id"] for entry in place.pleo.state.records("accounting_entries", company)}
    wanted = sum(record["accountingEntryId"] in mine for record in place.pleo.state.records("receipts"))
    assert place.rows("SELECT count(*) FROM pleo.receipts WHERE _deleted_at IS NULL") == [(wanted,)]
    assert {status for (status,) in place.rows("SELECT DISTINCT status FROM pleo._sweeps WHERE stream = 'receipts'")} == {
        "abandoned",
        "complete",
    }
