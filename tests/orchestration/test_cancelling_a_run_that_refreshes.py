"""Terminating a run from Dagster's UI while its process waits for Pleo's new tokens: they are stored all the same."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import dagster as dg
import pytest

from pleo_connector.auth.stores import State
from pleo_connector.sandbox import Fault
from tests.auth.harness import Pleo, pleo
from tests.auth.storms import SCALE, in_store, scaled, stored_token_lives, wait_for
from tests.orchestration.test_what_the_ui_launches import SELECTOR, Ui, served

pytestmark = [pytest.mark.slow, pytest.mark.timeout(4000), pytest.mark.filterwarnings("ignore")]

LOCATION = 'from pleo_connector import build_pleo_definitions\n\ndefs = build_pleo_definitions(streams=["vendors"])\n'
LAUNCH = (
    "mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) "
    "{ __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"
)
TERMINATE = "mutation ($run: String!) { terminateRun(runId: $run) { __typename } }"


@pytest.fixture(params=["sqlite", "postgresql"])
def refreshing(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Pleo, Ui]]:
    """A grant in each store, and a Dagster whose runs use it."""
    with pleo(tmp_path, in_store(request.param), requests_per_minute=0) as found:
        found.connect()
        found.sandbox.state.reset_counters()
        variables = found.environ | {"PLEO_WAREHOUSE": f"duckdb:///{tmp_path / 'w.duckdb'}", "PLEO_MARTS": "off"}
        with served(tmp_path, variables, LOCATION) as ui:
            yield found, ui


def test_a_run_cancelled_during_its_refresh_loses_no_token(
    refreshing: tuple[Pleo, Ui], record_property: Callable[[str, object], None]
) -> None:
    found, ui = refreshing
    times = scaled(15, 2)
    for done in range(1, times + 1):
        found.sandbox.state.expire_access_tokens()
        found.sandbox.state.set_faults(Fault("delay_after", path="/oauth/token$", times=1, seconds=3.0))
        params = {"selector": {**SELECTOR, "pipelineName": "pleo_sync"}, "runConfigData": "{}"}
        run = ui.ask(LAUNCH, params=params)["run"]["runId"]
        wait_for(lambda done=done: found.counted("refreshes") == done, 90)
        assert ui.ask(TERMINATE, run=run)["__typename"] == "TerminateRunSuccess"
        assert ui.finished(run).status is dg.DagsterRunStatus.CANCELED
        # The run is told to be over while its process may still wait for the answer.
        wait_for(lambda done=done: found.record().generation == done + 1, 30)
        assert found.record().state is State.ACTIVE and stored_token_lives(found)
    assert found.counted("reuse") == 0
    record_property("seen", json.dumps({"cancelled_runs": times, "refreshes": times}))
    record_property("scale", SCALE)
