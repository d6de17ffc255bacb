from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from pleo_connector.analytics import marts
from pleo_connector.catalogue import CATALOGUE
from pleo_connector.orchestration import build_pleo_definitions
from pleo_connector.orchestration.checks import Checks
from pleo_connector.settings import load
from tests.orchestration.place import environment

ROOT = Path(__file__).parents[2]


@pytest.fixture
def no_network() -> Iterator[None]:
    """Any connection fails this test."""
    attempts: list[object] = []

    def watch(event: str, arguments: tuple[object, ...]) -> None:
        if event == "socket.connect" and armed:
            attempts.append(arguments[1])

    armed = [True]
    sys.addaudithook(watch)  # cannot be removed, so it is disarmed
    yield
    armed.clear()
    assert not attempts


def test_definitions_load_without_credentials_and_without_network(no_network: None, tmp_path: Path) -> None:
    with environment({"PLEO_ENVIRONMENT": "production", "PLEO_WAREHOUSE": f"duckdb:///{tmp_path}/w.duckdb"}):
        definitions = build_pleo_definitions()
        dg.Definitions.validate_loadable(definitions)
    graph = definitions.resolve_asset_graph()
    assert len(graph.executable_asset_keys) == len(CATALOGUE.tables()) + len(marts())
    assert len(graph.get_all_asset_keys() - graph.executable_asset_keys) == len(list(CATALOGUE)), "what Pleo serves, a stream each"
    assert not list(tmp_path.iterdir()), "loading touches no file"


def test_the_watch_on_the_network_sees_a_connection() -> None:
    seen: list[str] = []
    sys.addaudithook(lambda event, _: seen.append(event) if event == "socket.connect" and len(seen) < 1 else None)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()):
        pass
    assert seen


def test_the_daily_schedule_is_stopped_until_somebody_starts_it() -> None:
    with environment({}):
        repository = build_pleo_definitions().get_repository_def()
    schedule = repository.get_schedule_def("pleo_daily")
    assert schedule.name == "pleo_daily"
    assert schedule.cron_schedule == "0 5 * * *"
    assert schedule.execution_timezone == "UTC"
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    assert schedule.job_name == "pleo_sync"


def test_the_job_runs_every_table_and_every_check_in_one_process() -> None:
    with environment({}):
        definitions = build_pleo_definitions()
    job = definitions.resolve_job_def("pleo_sync")
    assert len(set(job.asset_layer.executable_asset_keys)) == len(CATALOGUE.tables()) + len(marts())
    checks = sum(len(list(Checks().of(table))) for table in CATALOGUE.tables())
    assert len(job.asset_layer.asset_graph.asset_check_keys) == checks
    assert job.executor_def is dg.in_process_executor
    assert {node.name for node in job.nodes} == {"pleo_tables", "pleo_marts"}


def test_settings_given_in_python_are_used(tmp_path: Path) -> None:
    with environment({}):
        settings = load({"PLEO_WAREHOUSE": f"duckdb:///{tmp_path}/other.duckdb", "PLEO_SCHEMA": "spend"}, env_file=None)
        graph = build_pleo_definitions(settings).resolve_asset_graph()
    relation = graph.get(dg.AssetKey(["pleo", "tags"])).metadata["dagster/relation_identifier"]
    assert getattr(relation, "value", relation) == "spend.tags"


@pytest.mark.slow
@pytest.mark.parametrize("command", [["check", "defs"], ["list", "defs", "--json"]])
def test_the_project_loads_with_dg(command: list[str], tmp_path: Path) -> None:
    dg_command = Path(sys.executable).with_name("dg")
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PLEO_")} | {"DAGSTER_HOME": str(tmp_path)}
    (tmp_path / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())
    done = subprocess.run([str(dg_command), *command], cwd=ROOT, env=variables, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    if command[0] == "check":
        assert "All definitions loaded successfully" in done.stdout + done.stderr
    else:
        assert all(f'"pleo/{table.name}"' in done.stdout for table in CATALOGUE.tables())


def test_telemetry_is_off(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.telemetry_enabled is False
