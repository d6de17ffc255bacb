"""The keep-alive job, its weekly schedule, and the sensor on the age of the tokens."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest

from pleo_connector.orchestration import build_pleo_definitions
from pleo_connector.orchestration.keep_alive import evaluate_token_age
from pleo_connector.sandbox import API_KEY
from tests.auth.harness import Pleo, pleo
from tests.orchestration.place import environment


@pytest.fixture
def connected(tmp_path: Path) -> Iterator[Pleo]:
    with pleo(tmp_path, requests_per_minute=0) as found:
        found.connect()
        found.sandbox.state.reset_counters()
        yield found


def run(found: Pleo, **more: str) -> dg.ExecuteInProcessResult:
    with environment({**found.environ, **more}), dg.DagsterInstance.ephemeral() as instance:
        return build_pleo_definitions().resolve_job_def("pleo_keep_alive").execute_in_process(instance=instance, raise_on_error=False)


def evaluated(found: Pleo, days: float, **more: str) -> dg.RunRequest | dg.SkipReason:
    return evaluate_token_age(dg.build_sensor_context(), found.with_(**more), datetime.now(UTC) + timedelta(days=days))


def test_the_job_refreshes_once(connected: Pleo) -> None:
    assert run(connected).success
    assert connected.counted("refreshes") == 1 and connected.record().generation == 2


def test_a_grant_that_is_gone_needs_a_person_and_is_not_tried_again(connected: Pleo) -> None:
    connected.sandbox.state.revoke_grants()
    done = run(connected)
    assert not done.success
    (failure,) = [event for event in done.all_events if event.is_step_failure]
    result = failure.step_failure_data.user_failure_data
    assert result is not None and "pleo-connector connect" in (result.description or "")
    assert connected.counted("token_requests") == 1


def test_an_api_key_needs_no_keeping_alive(connected: Pleo) -> None:
    assert run(connected, PLEO_API_KEY=API_KEY).success
    assert isinstance(evaluated(connected, 99, PLEO_API_KEY=API_KEY), dg.SkipReason)
    assert connected.counted("token_requests") == 0


def test_the_sensor_acts_from_day_45(connected: Pleo) -> None:
    young, old, older = evaluated(connected, 44.9), evaluated(connected, 45.1), evaluated(connected, 46.1)
    assert isinstance(young, dg.SkipReason) and "44 days" in (young.skip_message or "")
    assert isinstance(old, dg.RunRequest) and isinstance(older, dg.RunRequest)
    assert old.run_key != older.run_key, "tomorrow it is tried again"
    connected.sandbox.state.revoke_grants()
    run(connected)
    gone = evaluated(connected, 99)
    assert isinstance(gone, dg.SkipReason) and "reauth required" in (gone.skip_message or "")
    assert connected.counted("refreshes") == 0


def test_a_store_that_does_not_open_is_told(connected: Pleo) -> None:
    result = evaluated(connected, 0, PLEO_TOKEN_STORE="postgresql://user:hunter2-secret@127.0.0.1:1/db")
    assert isinstance(result, dg.SkipReason) and "refused" in (result.skip_message or "") and "hunter2" not in (result.skip_message or "")


def test_all_of_it_is_stopped_until_somebody_starts_it(connected: Pleo) -> None:
    with environment(connected.environ):
        repository = build_pleo_definitions(name="acme").get_repository_def()
    schedule = repository.get_schedule_def("acme_keep_alive_weekly")
    sensor = repository.get_sensor_def("acme_token_age")
    assert (schedule.cron_schedule, schedule.job_name) == ("0 4 * * 1", "acme_keep_alive")
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    assert sensor.default_status is dg.DefaultSensorStatus.STOPPED and sensor.job_name == "acme_keep_alive"


def test_the_sensor_itself_runs(connected: Pleo) -> None:
    with environment(connected.environ), dg.DagsterInstance.ephemeral() as instance:
        repository = build_pleo_definitions().get_repository_def()
        context = dg.build_sensor_context(instance=instance, repository_def=repository, resources=repository.get_top_level_resources())
        result = repository.get_sensor_def("pleo_token_age").evaluate_tick(context)
    assert result.skip_message is not None and "0 days ago" in result.skip_message
