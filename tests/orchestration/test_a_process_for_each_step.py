"""Dagster's multiprocess executor: every stream in a process of its own, all of them writing one DuckDB file with one grant."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pleo_connector import sync
from pleo_connector.cli.demo_place import free_port
from pleo_connector.cli.local_pleo import log_in
from pleo_connector.sandbox import SandboxConfig, running
from pleo_connector.settings import load
from pleo_connector.warehouses import open_warehouse
from tests.cli.local import contents, environment
from tests.sync.places import API_KEY

CODE_LOCATION = """
import dagster as dg

from pleo_connector import build_pleo_definitions

defs = build_pleo_definitions(step_per_table=True, executor=dg.multiprocess_executor)
"""


@pytest.mark.slow
def test_all_streams_at_once_on_one_duckdb_file(tmp_path: Path) -> None:
    (tmp_path / "one_process_each.py").write_text(CODE_LOCATION)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    uri = f"http://127.0.0.1:{free_port(0)}/callback"
    # Tokens that end after three seconds: most steps find them over when they start.
    with running(SandboxConfig(port=0, requests_per_minute=0, redirect_uris=(uri,), access_token_lifetime=3.0)) as pleo:
        file = tmp_path / "spend.duckdb"
        environ = {
            "PLEO_API_URL": pleo.url,
            "PLEO_AUTH_URL": pleo.url,
            "PLEO_REDIRECT_URI": uri,
            "PLEO_TOKEN_STORE": str(tmp_path / "state" / "tokens.sqlite"),
            "PLEO_WAREHOUSE": f"duckdb:///{file}",
            "PLEO_REQUESTS_PER_MINUTE": "100000",
        }
        log_in(load(environ, None))
        done = subprocess.run(
            [Path(sys.executable).with_name("dagster"), "job", "execute", "-m", "one_process_each", "-j", "pleo_sync"],
            cwd=tmp_path,
            env=environment(environ) | {"DAGSTER_HOME": str(tmp_path / "home"), "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path.cwd()}"},
            capture_output=True,
            text=True,
            timeout=400,
            check=False,
        )
        assert done.returncode == 0, done.stderr[-6000:]
        counters = pleo.state.counters()
        alone = tmp_path / "alone.duckdb"
        assert not sync.run(
            sync.SyncPlan(), sync.Connection(pleo.url, API_KEY, requests_per_minute=1_000_000), open_warehouse(f"duckdb:///{alone}", "pleo")
        ).failures
    assert counters["reuse"] == 0
    assert counters["revoked_grants"] == 0
    assert counters["refreshes"] > 1
    rows = {table: int(str(found[0])) for table, found in contents(file).items()}
    assert rows == {table: int(str(found[0])) for table, found in contents(alone).items()}
    assert rows["accounting_entries"] > 0
