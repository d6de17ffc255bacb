"""Schedules, and the sensor for companies that join the grant. All is stopped until a person starts it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from copy import deepcopy
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pleo_connector.errors import ConfigurationError
from pleo_connector.orchestration import build_pleo_connections_definitions, build_pleo_definitions
from pleo_connector.sandbox import RunningSandbox, SandboxConfig, running
from tests.orchestration.place import Place, environment, opened

NEW = "0c0a7a8e-9a56-4a39-9d54-6f3bb3a6f001"


@pytest.fixture(scope="module")
def growing() -> Iterator[RunningSandbox]:
    with running(SandboxConfig(port=0, requests_per_minute=0)) as ready:
        yield ready


@pytest.fixture
def settings(growing: RunningSandbox, tmp_path: Path) -> Iterator[dict[str, str]]:
    with environment(Place(tmp_path, growing.url).environment):
        yield Place(tmp_path, growing.url).environment


def tick(sensor: str, cursor: str | None, instance: dg.DagsterInstance | None = None) -> Any:
    with opened(instance) as ready:
        repository = build_pleo_definitions().get_repository_def()
        resources = repository.get_top_level_resources()
        context = dg.build_sensor_context(instance=ready, cursor=cursor, repository_def=repository, resources=resources)
        return repository.get_sensor_def(sensor).evaluate_tick(context)


def join(growing: RunningSandbox) -> None:
    """A company joins the grant."""
    growing.state.put("companies", deepcopy(growing.state.records("companies")[0]) | {"id": NEW, "name": "Newcomer ApS"})


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as ready:
        yield ready


def make(request: Any, instance: dg.DagsterInstance, status: dg.DagsterRunStatus) -> None:
    """The run that was asked for, as the daemon makes it; it is left in this status."""
    job = build_pleo_definitions().resolve_job_def(request.job_name)
    instance.create_run_for_job(
        job, run_config=request.run_config, tags={**request.tags, "dagster/run_key": request.run_key}, status=status
    )


def test_a_company_that_joins_is_synced_alone_and_once(
    growing: RunningSandbox, settings: dict[str, str], instance: dg.DagsterInstance
) -> None:
    before = len(growing.state.records("companies"))
    first = tick("pleo_new_companies", None)
    assert first.run_requests == [] and first.skip_message == f"{before} companies noted; the next evaluation compares with them."
    assert tick("pleo_new_companies", first.cursor).skip_message == f"{before} companies; none is new."
    join(growing)
    second = tick("pleo_new_companies", first.cursor, instance)
    (request,) = second.run_requests
    assert request.run_key == f"company {NEW}"
    assert request.run_config == {"ops": {"pleo_tables": {"config": {"companies": [NEW]}}}}
    definitions = build_pleo_definitions()
    assert dg.validate_run_config(definitions.resolve_job_def("pleo_sync"), dict(request.run_config))
    make(request, instance, dg.DagsterRunStatus.SUCCESS)
    third = tick("pleo_new_companies", second.cursor, instance)
    assert third.run_requests == [] and third.skip_message == f"{before + 1} companies; none is new."
    growing.state.start_over()
    assert NEW in json.loads(tick("pleo_new_companies", third.cursor, instance).cursor)["known"], (
        "one that leaves for a while is not new again"
    )


@pytest.mark.parametrize("ended", [dg.DagsterRunStatus.FAILURE, dg.DagsterRunStatus.CANCELED])
def test_a_company_whose_run_did_not_succeed_is_asked_for_again_until_one_does(
    growing: RunningSandbox, settings: dict[str, str], instance: dg.DagsterInstance, ended: dg.DagsterRunStatus
) -> None:
    join(growing)
    known = json.dumps([company["id"] for company in growing.state.records("companies") if company["id"] != NEW])
    found = tick("pleo_new_companies", known, instance)  # the cursor that earlier versions wrote
    (request,) = found.run_requests
    (same,) = tick("pleo_new_companies", found.cursor, instance).run_requests
    assert same.run_key == request.run_key, "a run that was not made is asked for by the same key"
    make(request, instance, ended)
    again = tick("pleo_new_companies", found.cursor, instance)
    (second,) = again.run_requests
    assert second.run_key != request.run_key and second.run_config == request.run_config
    make(second, instance, dg.DagsterRunStatus.STARTED)
    waits = tick("pleo_new_companies", again.cursor, instance)
    assert waits.run_requests == [] and "1 wait for their first sync" in waits.skip_message
    growing.state.start_over()
    assert tick("pleo_new_companies", found.cursor, instance).run_requests == [], "it has left the grant"


def test_a_pleo_that_does_not_answer_is_told(settings: dict[str, str]) -> None:
    with environment(settings | {"PLEO_API_KEY": ""}):
        result = tick("pleo_new_companies", None)
    assert result.run_requests == [] and "pleo-connector connect" in result.skip_message


def test_every_schedule_and_sensor_is_stopped_and_described() -> None:
    with environment({}):
        repository = build_pleo_definitions(name="acme").get_repository_def()
    schedules = {schedule.name: schedule for schedule in repository.schedule_defs}
    assert {name: schedule.cron_schedule for name, schedule in schedules.items()} == {
        "acme_hourly": "15 * * * *",
        "acme_daily": "0 5 * * *",
        "acme_weekly_full": "0 2 * * 0",
        "acme_keep_alive_weekly": "0 4 * * 1",
    }
    sensors = {sensor.name: sensor for sensor in repository.sensor_defs}
    assert set(sensors) == {"acme_export_jobs", "acme_new_companies", "acme_token_age"}
    for schedule in schedules.values():
        assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED and "Stopped until you start it" in (schedule.description or "")
    for sensor in sensors.values():
        assert sensor.default_status is dg.DefaultSensorStatus.STOPPED and "Stopped until you start it" in (sensor.description or "")


def test_what_is_named_runs_from_the_start_and_a_name_that_means_nothing_is_refused() -> None:
    with environment({}):
        repository = build_pleo_definitions(running=["hourly", "keep_alive_weekly", "export_jobs"]).get_repository_def()
        with pytest.raises(
            ConfigurationError, match="running names nightly, and pleo has no such schedule or sensor; it has daily, export_jobs, hourly, "
        ):
            build_pleo_definitions(running=["nightly"])
        many = build_pleo_connections_definitions(running=["connections", "export_jobs"]).get_repository_def()
    from_the_start = dg.DefaultScheduleStatus.RUNNING
    assert [one.name for one in repository.schedule_defs if one.default_status is from_the_start] == [
        "pleo_hourly",
        "pleo_keep_alive_weekly",
    ]
    assert {one.name for one in repository.sensor_defs if one.default_status is dg.DefaultSensorStatus.RUNNING} == {"pleo_export_jobs"}
    assert all("Stopped" not in str(one.description) for one in repository.schedule_defs if one.default_status is from_the_start)
    assert {one.name: one.default_status for one in many.sensor_defs} == {
        "pleo_connections": dg.DefaultSensorStatus.RUNNING,
        "pleo_export_jobs": dg.DefaultSensorStatus.RUNNING,
        "pleo_token_age": dg.DefaultSensorStatus.STOPPED,
    }


@pytest.mark.slow
def test_the_hourly_run_waits_for_the_one_before_and_the_weekly_one_reads_all() -> None:
    at = datetime(2026, 11, 22, 2, tzinfo=UTC)
    with environment({}), dg.instance_for_test() as instance:
        definitions = build_pleo_definitions()
        repository, job = definitions.get_repository_def(), definitions.resolve_job_def("pleo_sync")

        def due(name: str) -> Any:
            context = dg.build_schedule_context(instance=instance, scheduled_execution_time=at, repository_def=repository)
            return repository.get_schedule_def(name).evaluate_tick(context)

        (weekly,) = due("pleo_weekly_full").run_requests
        assert weekly.run_config == {"ops": {"pleo_tables": {"config": {"mode": "full"}}}}
        assert dg.validate_run_config(job, dict(weekly.run_config))
        assert len(due("pleo_hourly").run_requests) == 1
        run = instance.create_run_for_job(job)
        assert due("pleo_hourly").skip_message == f"Run {run.run_id} is under way."
