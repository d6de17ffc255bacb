"""A run that is killed goes on where it stopped, and ends with the tables of an undisturbed run."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import duckdb
import psycopg
import pytest

from pleo_connector import sync
from pleo_connector.sync import Mode
from pleo_connector.warehouses import open_warehouse
from tests.place import API_KEY, NOW, sandbox
from tests.sync.kill_storm import COMPANIES, Outcome, Store, at_each_boundary, at_random, ground, start
from tests.sync.looking import ask


@pytest.fixture(params=["DuckDB", "PostgreSQL"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    return Store(request.param, tmp_path)


@pytest.mark.slow
def test_a_few_kills_at_random_moments(store: Store) -> None:
    with ground(store, Mode.FULL) as place:
        outcome = at_random(place, kills=3, seed=1, in_a_row=3)
    assert outcome.is_clean, outcome


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("mode", list(Mode))
def test_many_kills_at_random_moments_and_some_at_write_boundaries(store: Store, mode: Mode) -> None:
    with ground(store, mode) as place:
        for outcome in (at_random(place, kills=20, seed=2, in_a_row=5), at_each_boundary(place, step=7)):
            assert outcome.is_clean, outcome


def test_a_storm_tells_what_was_lost_and_doubled() -> None:
    one, other = ("a", "a", "1"), ("b", "b", "2")
    outcome = Outcome(kills=1, cases=1, resumed=1)
    outcome.note("same", {"employees": Counter([one])}, {"employees": Counter([one])})
    assert (outcome.is_clean, outcome.identical) == (True, 1)
    outcome.note("differs", {"employees": Counter([one, other])}, {"employees": Counter([one, one])})
    assert (outcome.is_clean, outcome.identical, outcome.lost, outcome.doubled) == (False, 1, 1, 1)


def test_what_was_committed_is_not_asked_for_again(store: Store) -> None:
    rows = 4_000
    with sandbox(rows=rows, latency_ms=5) as pleo:
        url = store.make()
        mine = sum(entry["companyId"] in COMPANIES for entry in pleo.state.records("accounting_entries"))
        process = start(pleo, url, Mode.FULL)
        while not committed(url):
            time.sleep(0.01)
        process.kill()
        process.join()
        already = committed(url)
        assert 0 < already < mine
        connection = sync.Connection(pleo.url, API_KEY, requests_per_minute=1_000_000)
        plan = sync.SyncPlan(("accounting_entries",), Mode.FULL, companies=COMPANIES)
        report = sync.run(plan, connection, open_warehouse(url, "pleo"), now=NOW).streams["accounting_entries"]
        # Recent months are read anew when they had been read to the end; nothing else is.
        assert report.served == report.inserted + report.unchanged
        assert report.unchanged < min(already, mine / 4)
        assert (report.inserted, report.absent) == (mine - already, 0)


def committed(url: str) -> int:
    """Entries in the warehouse; 0 while it is not there, or another process holds its file."""
    try:
        ((count,),) = ask(url, "SELECT count(*) FROM pleo.accounting_entries")
    except (duckdb.Error, psycopg.errors.UndefinedTable):
        return 0
    return int(count)
