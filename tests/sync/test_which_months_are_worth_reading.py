"""Months with open entries are read by every run, and a run says where it found changes."""

from __future__ import annotations

from typing import Any

import pytest

from pleo_connector.stream_options import StreamOptions, SweepPolicy
from pleo_connector.sync import Mode
from tests.place import Place

DONE = {"status": "COMPLETED", "reviewStatus": "OK", "exportStatus": "EXPORTED"}


CASES: dict[str, tuple[dict[str, Any], bool]] = {
    "2026-01": ({}, False),
    "2026-02": ({"status": "PENDING"}, True),
    "2026-03": ({"reviewStatus": "WAITING_FOR_REVIEWER"}, True),
    "2026-04": ({"exportStatus": "NOT_EXPORTED"}, True),
    "2026-05": ({"reviewStatus": "BRAND_NEW"}, True),
    "2026-06": ({"status": "CANCELLED", "exportStatus": "NOT_EXPORTED"}, False),
    "2026-07": ({"exportStatus": "NOT_EXPORTED", "deletedAt": "2026-08-30T00:00:00Z"}, False),
}
"""Month: what its one special entry shows, and whether that keeps the month hot."""


def settle(place: Place) -> dict[str, dict[str, Any]]:
    """Every entry is done with; returns one of each month, all of one company."""
    found = {}
    company = place.pleo.state.records("companies")[0]["id"]
    for entry in place.pleo.state.records("accounting_entries"):
        place.pleo.state.put("accounting_entries", entry | DONE)
        if entry["companyId"] == company and not entry.get("deletedAt"):
            found[entry["performedAt"][:7]] = entry | DONE
    return found


def months(place: Place) -> set[str]:
    """Months whose sweeps the last run made."""
    rows = place.rows(
        "SELECT strftime(span_start, '%Y-%m') FROM pleo._sweeps WHERE stream = 'accounting_entries' "
        "AND started_at > (SELECT max(started_at) FROM pleo._sweeps WHERE stream = 'vendors')"
    )
    return {str(month) for (month,) in rows}


@pytest.mark.slow
def test_an_open_entry_brings_its_month_back_in_every_run_up_to_an_age(place: Place) -> None:
    entries = settle(place)
    for month, (fields, _) in CASES.items():
        place.pleo.state.put("accounting_entries", entries[month] | fields)
    place.run("accounting_entries", "vendors")

    def read(open_days: int) -> set[str]:
        place.run("vendors")  # a mark in time
        place.run("accounting_entries", options={"accounting_entries": StreamOptions(SweepPolicy(open_days=open_days))})
        return months(place) & CASES.keys()

    assert read(400) == {month for month, (_, is_open) in CASES.items() if is_open}
    assert read(220) == {"2026-04", "2026-05"}, "April ended 207 days ago, March 237"
    assert read(0) == set()


def test_a_run_says_how_many_changes_it_found_in_months_that_are_read_less_often(place: Place) -> None:
    entry = settle(place)["2026-09"]
    mine = (entry["companyId"],)
    first = place.run("accounting_entries", companies=mine).streams["accounting_entries"]
    assert first.changed_by_tier == {"first": first.inserted}
    assert first.found_late == {}
    place.pleo.state.put("accounting_entries", entry | {"note": "edited late"})
    old = next(
        entry for entry in place.pleo.state.records("accounting_entries") if entry["performedAt"] < "2026-02" and entry["companyId"] in mine
    )
    place.pleo.state.remove("accounting_entries", old["id"])
    report = place.run("accounting_entries", mode=Mode.FULL, companies=mine).streams["accounting_entries"]
    assert (report.updated, report.absent) == (1, 1)
    assert report.found_late == {"warm": 1, "cool": 1}
    assert report.changed_by_tier["hot"] == 0
    assert place.rows("SELECT tier, rows_changed FROM pleo._sweeps WHERE rows_changed = 1") == [("warm", 1)]
    assert report.as_dict()["changed_by_tier"] == report.changed_by_tier
