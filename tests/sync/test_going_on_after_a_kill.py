"""A run that is killed goes on where it stopped, and ends with the tables of an undisturbed run."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import httpx
import psycopg
import pytest

from pleo_connector import sync
from pleo_connector.catalogue import CATALOGUE
from pleo_connector.sandbox import RunningSandbox, SandboxConfig, running
from pleo_connector.warehouses import open_warehouse
from tests.postgres_server import new_database
from tests.sync.looking import ask

ROWS = 4_000
BATCH = 400
"""Small batches, so that a short run has many commits to be killed between."""

PROGRAM = f"""
import sys, httpx
from pleo_connector import sync
from pleo_connector.sync import loader
from pleo_connector.warehouses import open_warehouse
loader.BATCH_ROWS = {BATCH}
print("ready", flush=True)
sync.run(
    sync.SyncPlan(("companies", "employees", "accounting_entries"), mode=sync.Mode.FULL),
    sync.Connection(sys.argv[1], httpx.BasicAuth("sandbox-api-key", ""), requests_per_minute=1_000_000, concurrency=4),
    open_warehouse(sys.argv[2], "pleo"),
)
"""


Make = Callable[[str], str]


@pytest.fixture(params=["duckdb", "postgres"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """Name to URL of an empty warehouse."""
    return (lambda name: f"duckdb:///{tmp_path}/{name}.duckdb") if request.param == "duckdb" else (lambda _: new_database())


def table_contents(url: str) -> dict[str, list[tuple[Any, ...]]]:
    contents = {}
    for name in ("companies", "employees", "accounting_entries"):
        for table in CATALOGUE.stream(name).tables():
            columns = ", ".join(f'"{column}"' for column in table.column_names if column not in ("_synced_at", "_sweep_id"))
            contents[table.name] = sorted(ask(url, f"SELECT {columns} FROM pleo.{table.name}"), key=repr)
    return contents


def start(pleo: RunningSandbox, url: str) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, pleo.url, url], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def storm(pleo: RunningSandbox, make: Make, kills: int, seed: int) -> None:
    undisturbed, stormy = make("undisturbed"), make("stormy")
    began = time.monotonic()
    with start(pleo, undisturbed) as process:
        assert process.wait() == 0
    seconds = time.monotonic() - began
    chance = random.Random(seed)
    pleo.state.reset_counters()
    for _ in range(kills):
        with start(pleo, stormy) as process:
            time.sleep(chance.uniform(0.05, seconds * 0.8))
            process.send_signal(signal.SIGKILL)
    with start(pleo, stormy) as process:
        assert process.wait() == 0
    assert table_contents(stormy) == table_contents(undisturbed)
    assert ask(stormy, "SELECT count(*) FROM pleo._seen_keys UNION ALL SELECT count(*) FROM pleo._checkpoints") == [(0,), (0,)]
    assert {status for (status,) in ask(stormy, "SELECT DISTINCT status FROM pleo._sweeps")} <= {"complete", "abandoned"}


def test_a_few_kills_at_random_moments(make: Make) -> None:
    with running(SandboxConfig(port=0, rows=ROWS, requests_per_minute=0, latency_ms=5)) as pleo:
        storm(pleo, make, kills=3, seed=1)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("seed", [2, 3, 4])
def test_many_kills_at_random_moments(make: Make, seed: int) -> None:
    with running(SandboxConfig(port=0, rows=ROWS, requests_per_minute=0, latency_ms=5)) as pleo:
        storm(pleo, make, kills=20, seed=seed)


def test_what_was_committed_is_not_asked_for_again(make: Make) -> None:
    with running(SandboxConfig(port=0, rows=ROWS, requests_per_minute=0, latency_ms=5)) as pleo:
        url = make("w")
        warehouse = open_warehouse(url, "pleo")
        process = start(pleo, url)
        while not committed(url):
            time.sleep(0.01)
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()
        already = committed(url)
        assert 0 < already < ROWS
        connection = sync.Connection(pleo.url, httpx.BasicAuth("sandbox-api-key", ""), requests_per_minute=1_000_000)
        report = sync.run(sync.SyncPlan(("accounting_entries",), mode=sync.Mode.FULL), connection, warehouse).streams["accounting_entries"]
        # Recent months are read anew when they had been read to the end; nothing else is.
        assert report.served == report.inserted + report.unchanged
        assert report.unchanged < min(already, ROWS / 4)
        assert (report.inserted, report.absent) == (ROWS - already, 0)


def committed(url: str) -> int:
    """Entries in the warehouse; 0 while it is not there, or another process holds its file."""
    try:
        ((count,),) = ask(url, "SELECT count(*) FROM pleo.accounting_entries")
    except (duckdb.Error, psycopg.errors.UndefinedTable):
        return 0
    return int(count)
