"""Dagster's multiprocess executor: every stream in a process of its own, all of them writing one DuckDB file with one grant."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import dagster as dg
import pytest

from pleo_connector import sync
from pleo_connector.auth.stores import State, open_store
from pleo_connector.catalogue import CATALOGUE
from pleo_connector.cli.demo_place import free_port
from pleo_connector.cli.local_pleo import log_in
from pleo_connector.sandbox import SandboxConfig, running
from pleo_connector.settings import load
from pleo_connector.warehouses import open_warehouse
from tests.auth.storms import SCALE, scaled
from tests.cli.local import contents, environment
from tests.place import API_KEY

# Every step lists the companies first: one on a page, so that each step walks pages with one token after the other.
CODE_LOCATION = """
from dataclasses import replace

import dagster as dg

from pleo_connector import build_pleo_definitions
from pleo_connector.catalogue import CATALOGUE, Catalogue

catalogue = Catalogue(*(replace(stream, limit=1) if stream.name == "companies" else stream for stream in CATALOGUE))
defs = build_pleo_definitions(step_per_table=True, executor=dg.multiprocess_executor, catalogue=catalogue)
"""
COMPANIES = 5


def steps_done(home: Path) -> set[str]:
    """The steps of the newest run that ended well, from Dagster's event log: on stderr four processes write over each other."""
    with dg.DagsterInstance.from_config(str(home)) as instance:
        (run,) = instance.get_runs(limit=1)
        done = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_SUCCESS)
    return {str(entry.get_dagster_event().step_key) for entry in done}


@pytest.mark.slow
@pytest.mark.timeout(4000)
@pytest.mark.parametrize("start_method", ["spawn: {}", "forkserver: {preload_modules: [one_process_each]}"], ids=["spawn", "forkserver"])
def test_all_streams_at_once_on_one_duckdb_file(tmp_path: Path, start_method: str, record_property: Callable[[str, object], None]) -> None:
    """A step for each stream. Ten runs with PLEO_PROOF_SCALE=1, one otherwise; each loads a file of its own."""
    (tmp_path / "one_process_each.py").write_text(CODE_LOCATION)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    how = tmp_path / "how.yaml"
    how.write_text(f"execution: {{config: {{max_concurrent: 4, start_method: {{{start_method}}}}}}}\n")
    uri = f"http://127.0.0.1:{free_port(0)}/callback"
    # Tokens that end after three seconds: most steps find them over when they start.
    with running(SandboxConfig(port=0, requests_per_minute=0, redirect_uris=(uri,), access_token_lifetime=3.0)) as pleo:
        alone = tmp_path / "alone.duckdb"
        connection = sync.Connection(pleo.url, API_KEY, requests_per_minute=1_000_000)
        assert not sync.run(sync.SyncPlan(), connection, open_warehouse(f"duckdb:///{alone}", "pleo")).failures
        expected = {table: int(str(found[0])) for table, found in contents(alone).items()}
        environ = {
            "PLEO_API_URL": pleo.url,
            "PLEO_AUTH_URL": pleo.url,
            "PLEO_REDIRECT_URI": uri,
            "PLEO_TOKEN_STORE": str(tmp_path / "state" / "tokens.sqlite"),
            "PLEO_REQUESTS_PER_MINUTE": "100000",
        }
        settings = load(environ, None)
        log_in(settings)
        pleo.state.reset_counters()
        runs = scaled(10)
        for number in range(runs):
            file = tmp_path / f"spend{number}.duckdb"
            done = subprocess.run(
                [Path(sys.executable).with_name("dagster"), "job", "execute", "-m", "one_process_each", "-j", "pleo_sync", "-c", how],
                cwd=tmp_path,
                env=environment(environ | {"PLEO_WAREHOUSE": f"duckdb:///{file}"})
                | {"DAGSTER_HOME": str(tmp_path / "home"), "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path.cwd()}"},
                capture_output=True,
                text=True,
                timeout=1500,
                check=False,
            )
            assert done.returncode == 0, done.stderr[-6000:]
            steps = steps_done(tmp_path / "home")
            assert steps == {f"pleo_{stream.name}" for stream in CATALOGUE} | {"pleo_marts"}
            assert {table: int(str(found[0])) for table, found in contents(file).items()} == expected
            record_property("seen", json.dumps({"runs": 1, "steps": len(steps)}))
        counters = pleo.state.counters()
        record = open_store(environ["PLEO_TOKEN_STORE"]).store.read(settings.connection)
    assert expected["accounting_entries"] > 0
    assert counters["by_path"]["/v1/companies"] >= runs * len(CATALOGUE) * COMPANIES
    assert counters["reuse"] == counters["revoked_grants"] == 0
    assert record is not None and record.state is State.ACTIVE
    assert runs < counters["refreshes"] == counters["token_requests"] == record.generation - 1
    record_property("seen", json.dumps({name: counters[name] for name in ("requests", "refreshes", "reuse")}))
    record_property("scale", SCALE)
