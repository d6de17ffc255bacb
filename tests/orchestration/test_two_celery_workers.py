"""Beyond one machine: steps on two Celery workers share one grant, one request budget and one warehouse."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from pleo_connector import sync
from pleo_connector.catalogue import CATALOGUE
from pleo_connector.cli.demo_place import free_port
from pleo_connector.cli.local_pleo import log_in
from pleo_connector.sandbox import RunningSandbox, SandboxConfig, running
from pleo_connector.settings import load
from pleo_connector.warehouses import open_warehouse
from tests.orchestration import celery_cluster
from tests.place import API_KEY
from tests.postgres_server import new_database

pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(celery_cluster.why_not()), reason=celery_cluster.why_not() or "")]

BUDGET = 400
COMPANIES = 8
RUN_TIME = ("_synced_at", "_sweep_id")
"""Columns that tell when and by which sweep a row was written."""


def _more_companies(pleo: RunningSandbox) -> None:
    """Eight companies of one organisation: four as sampled, and four that have some vendors and entries."""
    originals = pleo.state.records("companies")
    for number in range(COMPANIES - len(originals)):
        original = originals[number]
        key = f"{number:08x}{original['id'][8:]}"
        pleo.state.put("companies", original | {"id": key, "name": f"{original['name']} {number + 2}"})
        for stream, count in (("vendors", 3), ("accounting_entries", 150)):
            for record in pleo.state.records(stream, original["id"])[:count]:
                pleo.state.put(stream, record | {"id": f"{number:08x}{record['id'][8:]}", "companyId": key})


@pytest.fixture
def pleo() -> Iterator[RunningSandbox]:
    uri = f"http://127.0.0.1:{free_port(0)}/callback"
    # Tokens end after some seconds: both workers find them over, again and again.
    with running(SandboxConfig(port=0, requests_per_minute=BUDGET, redirect_uris=(uri,), access_token_lifetime=6.0)) as made:
        _more_companies(made)
        yield made


def _expected(database: str) -> None:
    """The same data, synced by one undisturbed process into the schema `expected`."""
    with running(SandboxConfig(port=0, requests_per_minute=0)) as twin:
        _more_companies(twin)
        connection = sync.Connection(twin.url, API_KEY, requests_per_minute=1_000_000)
        assert not sync.run(sync.SyncPlan(), connection, open_warehouse(database, "expected")).failures


def _differences(database: str) -> dict[str, tuple[int, int, int]]:
    """Rows that are only here, only there, and more often here, by table."""
    found = {}
    with psycopg.connect(database) as server:
        for table in CATALOGUE.tables():
            columns = ", ".join(f'"{name}"' for name in table.column_names if name not in RUN_TIME)
            here, there = (f'SELECT {columns} FROM {schema}."{table.name}"' for schema in ("pleo", "expected"))
            row = server.execute(
                f"SELECT (SELECT count(*) FROM ({here} EXCEPT {there}) AS a), (SELECT count(*) FROM ({there} EXCEPT {here}) AS b), "
                f"(SELECT count(*) FROM ({here}) AS c) - (SELECT count(*) FROM ({there}) AS d)"
            ).fetchone()
            assert row is not None
            if row != (0, 0, 0):
                found[table.name] = row
    return found


@pytest.mark.parametrize("power_cut", [False, True], ids=["undisturbed", "a-worker-is-killed"])
def test_all_rows_once_with_one_grant_and_one_budget(pleo: RunningSandbox, tmp_path: Path, *, power_cut: bool) -> None:
    database = new_database()
    environ = {
        "PLEO_API_URL": pleo.url,
        "PLEO_AUTH_URL": pleo.url,
        "PLEO_REDIRECT_URI": pleo.state.config.redirect_uris[0],
        "PLEO_TOKEN_STORE": database,
        "PLEO_TOKEN_KEYS": "Zm9yLXRlc3RzLW9ubHktMzItYnl0ZXMtbG9uZyEhISE=",
        "PLEO_WAREHOUSE": database,
        "PLEO_REQUESTS_PER_MINUTE": str(BUDGET),
    }
    log_in(load(environ, None))
    _expected(database)
    pleo.state.reset_counters()
    # SQLAlchemy 2.1 would take psycopg 3, with which Dagster's own storage does not work.
    storage = new_database().replace("postgresql://", "postgresql+psycopg2://")
    with celery_cluster.cluster(tmp_path, storage, environ) as cluster:
        run = cluster.run()
        if power_cut:
            until = time.monotonic() + 90
            while pleo.state.counters()["requests"] < BUDGET // 3:
                assert run.poll() is None and time.monotonic() < until, cluster.all_logs()
                time.sleep(0.05)
            cluster.workers[0].kill()
        assert run.wait(600) == 0, cluster.all_logs()
    counters = pleo.state.counters()
    assert _differences(database) == {}
    assert counters["records_served"] > 0
    assert counters["responses_429"] == 0
    assert counters["reuse"] == 0
    assert counters["revoked_grants"] == 0
    assert counters["refreshes"] > 1
    with psycopg.connect(database) as server:
        assert server.execute("SELECT count(*) FROM pleo.companies").fetchone() == (COMPANIES,)
