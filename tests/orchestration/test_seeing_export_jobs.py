"""The sensor for export jobs, from a job's opening to long after its end, against the sandbox."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pleo_connector.orchestration import build_pleo_definitions, export_sensor
from pleo_connector.sandbox import Fault, RunningSandbox, SandboxConfig, running
from pleo_connector.sync.export_jobs import poll_companies
from tests.orchestration.place import Place, environment

JOBS = "/v3/export-jobs"


class World:
    """A sandbox without open jobs, an instance, and the sensor as the daemon evaluates it."""

    def __init__(self, sandbox: RunningSandbox, place: Place, instance: dg.DagsterInstance) -> None:
        self.sandbox, self.place, self.instance = sandbox, place, instance
        self.definitions = build_pleo_definitions()
        self.repository = self.definitions.get_repository_def()
        self.cursor: str | None = None

    def tick(self, *, keep_cursor: bool = True) -> Any:
        """One evaluation, with the cursor of the last."""
        context = dg.build_sensor_context(
            instance=self.instance,
            cursor=self.cursor,
            repository_def=self.repository,
            resources=self.repository.get_top_level_resources(),
        )
        result = self.repository.get_sensor_def("pleo_export_jobs").evaluate_tick(context)
        if keep_cursor:
            self.cursor = result.cursor
        return result

    def run(self, result: Any) -> bool:
        """Do what the sensor asks for, as the daemon would: with its key on the run."""
        (request,) = result.run_requests
        job = self.definitions.resolve_job_def("pleo_export_items")
        done = job.execute_in_process(instance=self.instance, raise_on_error=False, tags={"dagster/run_key": request.run_key})
        return done.success

    def open_job(self, count: int = 3) -> str:
        """A new job over entries of an ended one."""
        state = self.sandbox.state
        ended = next(job for job in state.records("export_jobs") if job["status"] == "completed")
        items = [item["accountingEntryId"] for item in state.records("export_job_items") if item["exportJobId"] == ended["id"]]
        return state.start_export_job(ended["companyId"], sorted(items)[:count])

    def landed(self, job: str) -> int:
        sql = f"SELECT count(*) FROM {{schema}}.export_items WHERE export_job_id = '{job}' AND _deleted_at IS NULL"
        return int(self.place.scalar(sql))

    def status(self, job: str) -> str:
        return str(self.place.scalar(f"SELECT status FROM {{schema}}.export_jobs WHERE id = '{job}'"))

    def settled(self) -> None:
        """Land what is open at the start, and let the sensor see that it is."""
        assert self.run(self.tick())
        assert self.tick().run_requests == []


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with running(SandboxConfig(port=0, requests_per_minute=0)) as sandbox:
        place = Place(tmp_path, sandbox.url)
        with environment(place.environment), dg.DagsterInstance.ephemeral() as instance:
            yield World(sandbox, place, instance)


@pytest.mark.slow
def test_items_are_landed_while_their_job_is_open_and_stay_when_it_has_expired(world: World) -> None:
    world.settled()
    job = world.open_job()
    assert world.run(world.tick())
    assert (world.landed(job), world.status(job)) == (3, "pending")
    assert world.tick().skip_message == "Open export jobs: 4, all landed."
    world.sandbox.state.move_export_job(job, "in_progress")
    assert world.run(world.tick()), "its state has changed"
    assert world.status(job) == "in_progress"
    world.sandbox.state.exports.move(job, "failed", expired=True)
    assert world.run(world.tick()), "and once more when it has ended"
    assert (world.landed(job), world.status(job)) == (3, "failed"), "Pleo no longer serves the items; they stay"
    for _ in range(2):
        result = world.tick()
        assert result.run_requests == [] and result.skip_message == "Open export jobs: 3, all landed."


def test_a_job_is_not_asked_for_twice_while_its_run_is_under_way(world: World) -> None:
    result = world.tick()
    (request,) = result.run_requests
    run = world.instance.create_run_for_job(
        world.definitions.resolve_job_def("pleo_export_items"), tags={"dagster/run_key": request.run_key}
    )
    world.sandbox.state.reset_counters()
    again = world.tick()
    assert again.skip_message == f"Run {run.run_id} is under way."
    assert world.sandbox.state.counters()["by_path"] == {}, "and Pleo is not asked"


def test_a_cursor_that_was_lost_brings_the_same_key_so_dagster_runs_it_once(world: World) -> None:
    first, second = world.tick(keep_cursor=False), world.tick(keep_cursor=False)
    assert first.run_requests[0].run_key == second.run_requests[0].run_key
    world.cursor = "not what the sensor wrote"
    assert world.tick().run_requests[0].run_key == first.run_requests[0].run_key


@pytest.mark.slow
def test_a_run_that_failed_is_asked_for_again_under_another_key(world: World) -> None:
    first = world.tick()
    world.sandbox.state.set_faults(Fault("html", path="/v3/export-items"))
    assert not world.run(first)
    world.sandbox.state.set_faults()
    second = world.tick()
    assert second.run_requests[0].run_key != first.run_requests[0].run_key
    assert world.run(second)
    assert world.tick().run_requests == []


@pytest.mark.slow
def test_items_that_pleo_refuses_are_asked_for_once_and_again_after_an_hour(world: World) -> None:
    first = world.tick()
    world.sandbox.state.set_faults(Fault("status", path="/v3/export-items", status=403))
    assert not world.run(first)
    for _ in range(2):
        result = world.tick()
        assert result.run_requests == [] and "the scope export-items:read" in result.skip_message
        assert "The next try is at" in result.skip_message
    memory = json.loads(world.cursor or "")
    fresh = world.open_job()
    assert world.tick(keep_cursor=False).run_requests, "another job is asked for: it may be of a company that is not refused"
    world.sandbox.state.move_export_job(fresh, "completed")
    world.cursor = json.dumps(memory | {"scopes": ["export-items:read"]})
    assert world.tick(keep_cursor=False).run_requests, "the grant was of other scopes"
    world.cursor = json.dumps(memory | {"refused_at": memory["refused_at"] - 3600})
    assert world.tick().run_requests[0].run_key != first.run_requests[0].run_key, "an hour later"


def test_a_list_that_pleo_refuses_is_not_asked_for_within_the_hour(world: World) -> None:
    world.sandbox.state.set_faults(Fault("status", path=JOBS, status=403))
    assert "the scope export-jobs:read" in world.tick().skip_message
    world.sandbox.state.reset_counters()
    assert "the scope export-jobs:read" in world.tick().skip_message
    assert world.sandbox.state.counters()["by_path"] == {}


def test_looks_spend_from_the_budget_that_runs_share(world: World) -> None:
    with environment(world.place.environment | {"PLEO_REQUESTS_PER_MINUTE": "3", "PLEO_BUDGET_SCOPE": "shared"}):
        few = World(world.sandbox, world.place, world.instance)
        pleo = few.repository.get_top_level_resources()["pleo"]
        with dg.build_sensor_context(instance=few.instance, resources={"pleo": pleo}) as context:
            result: Any = export_sensor.evaluate(context, context.resources.pleo, "pleo_export_items", seconds=3)
            counted = sum(world.sandbox.state.counters()["by_path"].values())
            again: Any = export_sensor.evaluate(context, context.resources.pleo, "pleo_export_items", seconds=2)
    assert result.run_requests or result.skip_reason
    assert 0 < counted <= 3, "one minute's requests"
    assert sum(world.sandbox.state.counters()["by_path"].values()) == counted and not again.run_requests, (
        "and none are left for the next evaluation"
    )


@pytest.mark.parametrize(("key", "advice"), [("wrong", "make a new key in Pleo"), ("", "pleo-connector connect")])
def test_a_credential_that_does_not_work_is_told_and_starts_nothing(world: World, key: str, advice: str) -> None:
    with environment(world.place.environment | {"PLEO_API_KEY": key}):
        result = World(world.sandbox, world.place, world.instance).tick()
    assert result.run_requests == []
    assert advice in result.skip_message


def test_a_company_that_may_not_be_listed_does_not_hide_the_others(world: World) -> None:
    opened = sum(job["status"] in ("pending", "in_progress") for job in world.sandbox.state.records("export_jobs"))
    world.sandbox.state.set_faults(Fault("status", path=JOBS, status=403, times=1))
    assert opened - 1 <= len(json.loads(world.tick().cursor)["asked"]) <= opened
    world.sandbox.state.set_faults(Fault("status", path=JOBS, status=403))
    assert "the scope export-jobs:read" in world.tick().skip_message


def test_a_look_that_runs_out_of_time_goes_on_where_it_stopped(world: World) -> None:
    pleo = world.repository.get_top_level_resources()["pleo"]
    with dg.build_sensor_context(instance=world.instance, resources={"pleo": pleo}) as context:
        companies = poll_companies(context.resources.pleo.connection(), seconds=9)
        world.sandbox.state.set_faults(Fault("delay_before", path=JOBS, seconds=30, after=1))
        result: Any = export_sensor.evaluate(context, context.resources.pleo, "pleo_export_items", seconds=3)
    assert json.loads(result.cursor)["first"] == companies[1]
    assert result.run_requests or "polled 1 of" in result.skip_reason.skip_message


def test_only_open_jobs_are_asked_for(world: World) -> None:
    world.tick()
    assert world.sandbox.state.counters()["by_path"][JOBS] == len(world.sandbox.state.records("companies"))
    cursor = json.loads(world.cursor or "")
    opened = {job["id"]: job["status"] for job in world.sandbox.state.records("export_jobs") if job["status"] in ("pending", "in_progress")}
    assert cursor["asked"] == opened


def test_the_job_holds_the_tables_of_export_jobs_alone_and_all_is_stopped(world: World) -> None:
    keys = {key.path[-1] for key in world.definitions.resolve_job_def("pleo_export_items").asset_layer.selected_asset_keys}
    assert {"export_jobs", "export_job_items", "export_items", "export_item_lines"} <= keys
    assert all(key.startswith("export_") for key in keys)
    sensor = world.repository.get_sensor_def("pleo_export_jobs")
    assert sensor.default_status is dg.DefaultSensorStatus.STOPPED and sensor.minimum_interval_seconds == 120
