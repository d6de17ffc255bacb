"""What a click in Dagster's UI starts: the same mutations, a real code server, and runs in processes of their own."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import PythonFileTarget
from dagster._daemon.backfill import execute_backfill_iteration
from dagster_graphql.test.utils import execute_dagster_graphql

from pleo_connector.sandbox import Fault, RunningSandbox
from tests.orchestration.place import Place, environment

ROOT = Path(__file__).parents[2]
LOCATION = 'from pleo_connector import build_pleo_definitions\n\ndefs = build_pleo_definitions(partitioned=True, streams=["accounting_entries", "vendors", "tags"])\n'
AT_ONCE = "\nrun_coordinator: {module: dagster._core.run_coordinator, class: DefaultRunCoordinator}\n"
"""Runs start without a daemon to take them from the queue."""
SELECTOR = {"repositoryLocationName": "location", "repositoryName": "__repository__"}

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


@dataclass
class Ui:
    workspace: WorkspaceProcessContext
    instance: dg.DagsterInstance

    def ask(self, query: str, **variables: Any) -> Any:
        answer = execute_dagster_graphql(self.workspace.create_request_context(), query, variables=variables)
        assert answer.errors is None, answer.errors
        (found,) = answer.data.values()
        return found

    def finished(self, run_id: str, seconds: float = 90) -> dg.DagsterRun:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            run = self.instance.get_run_by_id(run_id)
            if run is not None and run.is_finished:
                return run
            time.sleep(0.2)
        raise AssertionError(f"run {run_id} has not ended")

    def materialized(self, run_id: str) -> list[tuple[str, str | None]]:
        logs = self.instance.all_logs(run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION)
        events = [log.asset_materialization for log in logs]
        return [(event.asset_key.path[-1], event.partition) for event in events if event is not None]


@contextmanager
def served(folder: Path, variables: dict[str, str], location: str = LOCATION) -> Iterator[Ui]:
    """What a browser would talk to, over the code location with these PLEO_* variables."""
    home = folder / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text() + AT_ONCE)
    file = folder / "location.py"
    file.write_text(location)
    target = PythonFileTarget(python_file=str(file), attribute=None, working_directory=str(folder), location_name="location")
    with (
        environment(variables),
        dg.DagsterInstance.from_config(str(home)) as instance,
        WorkspaceProcessContext(instance, target) as workspace,
    ):
        yield Ui(workspace, instance)
    # Dagster leaves its code server to end by itself, and a test that comes later would hear of it.
    workspace._grpc_server_registry.wait_for_processes()


@pytest.fixture
def ui(place: Place) -> Iterator[Ui]:
    with served(place.folder, place.environment) as ready:
        yield ready


def test_a_backfill_of_three_months_is_one_run_that_reads_these_months(ui: Ui, place: Place) -> None:
    months = ["2026-02-01", "2026-03-01", "2026-04-01"]
    launched = ui.ask(
        "mutation ($params: LaunchBackfillParams!) { launchPartitionBackfill(backfillParams: $params) "
        "{ __typename ... on LaunchBackfillSuccess { backfillId } } }",
        params={"assetSelection": [{"path": ["pleo", "accounting_entries"]}], "partitionNames": months},
    )
    assert launched["__typename"] == "LaunchBackfillSuccess"
    list(execute_backfill_iteration(ui.workspace, logging.getLogger("backfill")))
    (run,) = ui.instance.get_runs()
    assert ui.finished(run.run_id).is_success
    assert (run.tags["dagster/asset_partition_range_start"], run.tags["dagster/asset_partition_range_end"]) == (months[0], months[-1])
    assert ui.materialized(run.run_id) == [("accounting_entries", month) for month in months]
    entries = "{schema}.accounting_entries"
    assert place.scalar(f"SELECT count(*) FROM {entries}") > 0
    outside = "performed_at < TIMESTAMPTZ '2026-02-01 00:00:00+00' OR performed_at >= TIMESTAMPTZ '2026-05-01 00:00:00+00'"
    assert place.scalar(f"SELECT count(*) FROM {entries} WHERE {outside}") == 0
    assert place.scalar(f"SELECT count(DISTINCT month(performed_at)) FROM {entries}") == 3


def test_re_execution_from_asset_failure_repeats_only_what_failed(ui: Ui, sandbox: RunningSandbox) -> None:
    sandbox.state.set_faults(Fault("status", path="/v1/vendors", status=404))
    launched = ui.ask(
        "mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) "
        "{ __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }",
        params={
            "selector": {
                **SELECTOR,
                "pipelineName": "pleo_sync",
                "assetSelection": [{"path": ["pleo", "vendors"]}, {"path": ["pleo", "tags"]}],
            },
            "runConfigData": "{}",
        },
    )
    first = launched["run"]["runId"]
    assert ui.finished(first).status is dg.DagsterRunStatus.FAILURE
    assert ui.materialized(first) == [("tags", None)]
    sandbox.state.set_faults()
    again = ui.ask(
        "mutation ($params: ReexecutionParams!) { launchRunReexecution(reexecutionParams: $params) "
        "{ __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }",
        params={"parentRunId": first, "strategy": "FROM_ASSET_FAILURE"},
    )
    second = again["run"]["runId"]
    assert ui.finished(second).is_success
    assert ui.materialized(second) == [("vendors", None)]
