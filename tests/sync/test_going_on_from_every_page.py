"""A run that stops after any page ends, once it is run again, with the tables of a run that never stopped; rows may move meanwhile."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pleo_connector import sync
from pleo_connector.sandbox import Fault
from pleo_connector.sync import loader
from tests.place import Place, sandbox

STREAM = "accounting_entries"
PATH = "/v1/accounting-entries:search"
COLUMNS = "* EXCLUDE (_synced_at, _sweep_id)"
ROWS = 4_000


def tables(place: Place) -> list[list[tuple[Any, ...]]]:
    names = ("accounting_entries", "accounting_entry_tags", "accounting_entry_splits", "accounting_entry_receipts")
    return [place.rows(f"SELECT {COLUMNS} FROM pleo.{name} ORDER BY ALL") for name in names]


def full(place: Place) -> sync.StreamReport:
    """A full sync of one company: two pages in most of its months."""
    company = place.pleo.state.records("companies")[0]["id"]
    return place.run(STREAM, mode=sync.Mode.FULL, patience=0.0, companies=(company,), allow_mass_delete=True).streams[STREAM]


@pytest.mark.slow
@pytest.mark.timeout(2700)
def test_from_every_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loader, "USUAL", replace(loader.USUAL, rows=1))  # each page is a commit
    with sandbox(rows=ROWS) as pleo:
        undisturbed = Place(tmp_path, pleo).beside("undisturbed")
        requests = full(undisturbed).traffic.requests
        expected = tables(undisturbed)
        assert 1_000 < len(expected[0]) < 100 * requests
        for served in range(2, requests):
            place = Place(tmp_path, pleo).beside(str(served))
            pleo.state.set_faults(Fault("status", PATH, status=503, after=served))
            assert full(place).error is not None
            pleo.state.set_faults()
            assert full(place).error is None
            assert tables(place) == expected, served


def edited(pleo: Any, how: str, number: int) -> None:
    """Change one generated entry of the first company, in the middle of what is read."""
    entry = pleo.state.records(STREAM)[number]
    assert entry["companyId"] == pleo.state.records("companies")[0]["id"]
    if how == "changed":
        pleo.state.put(STREAM, entry | {"note": "edited meanwhile"})
    elif how == "deleted":
        pleo.state.remove(STREAM, entry["id"])
    else:
        pleo.state.put(STREAM, entry | {"id": "0b8f6f1e-7c53-4a7e-9d2a-0a5b3f6c1d2e", "note": "inserted meanwhile"})


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize(("how", "place_of_it"), list(itertools.product(["inserted", "changed", "deleted"], [5, ROWS // 2, ROWS - 2])))
def test_rows_that_change_while_pages_are_read(tmp_path: Path, how: str, place_of_it: int) -> None:
    with sandbox(rows=ROWS) as pleo:
        place = Place(tmp_path, pleo).beside("moving")
        pleo.state.set_faults(Fault("status", PATH, status=503, after=14))
        assert full(place).error is not None
        pleo.state.set_faults()
        edited(pleo, how, place_of_it)
        full(place)
        full(place)
        undisturbed = Place(tmp_path, pleo).beside("undisturbed")
        full(undisturbed)
        alive = f"SELECT {COLUMNS} FROM pleo.{STREAM} WHERE _deleted_source IS DISTINCT FROM 'sweep_absent' ORDER BY ALL"
        assert place.rows(alive) == undisturbed.rows(alive)
