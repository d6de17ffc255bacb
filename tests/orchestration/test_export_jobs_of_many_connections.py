"""The sensor for export jobs of many connections: whose items are landed, in which order, and who is waited for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from pleo_connector.orchestration import WarehouseResource
from pleo_connector.orchestration.connection_exports import Memories, evaluate
from pleo_connector.orchestration.connection_runs import Runs
from pleo_connector.orchestration.cursor import cursor_of, remembered
from pleo_connector.sandbox import RunningSandbox
from tests.orchestration.many import Impatient, Many, many

SENSOR, JOB = "pleo_export_jobs", "pleo_export_items"
PARTITIONS = dg.DynamicPartitionsDefinition(name="pleo_connections")
STREAMS = ("export_jobs", "export_job_items", "export_items")


@pytest.fixture
def place(tmp_path: Path, sandbox: RunningSandbox) -> Iterator[Many]:
    with many(tmp_path, sandbox) as found:
        found.define(streams=STREAMS)
        yield found


def partitions(place: Many, *labels: str) -> None:
    place.connect(*labels)
    place.tick()
    assert place.partitions == list(labels)


@pytest.mark.slow
def test_each_connection_has_its_items_landed_once(place: Many) -> None:
    partitions(place, "acme", "beta")
    result = place.tick(SENSOR)
    assert list(result) == ["acme", "beta"] and result["acme"] != result["beta"], "both see the same companies"
    for label, key in result.items():
        assert place.run(label, key, JOB).success
        rows, keys = place.rows(label, "export_items")
        assert rows == keys > 0
    assert place.tick(SENSOR) == {} and place.why == "2 of 2 connections polled, 0 under way; nothing to land."
    state = place.sandbox.state
    ended = next(job for job in state.records("export_jobs") if job["status"] == "completed")
    items = [item["accountingEntryId"] for item in state.records("export_job_items") if item["exportJobId"] == ended["id"]]
    job = state.start_export_job(ended["companyId"], sorted(items)[:2])
    again = place.tick(SENSOR)
    assert list(again) == ["acme", "beta"] and set(again.values()).isdisjoint(result.values())
    state.exports.move(job, "failed", expired=True)  # leaves the shared sandbox without it


def test_nothing_is_asked_for_a_connection_while_its_run_is_under_way(place: Many) -> None:
    partitions(place, "acme", "beta")
    result = place.tick(SENSOR)
    place.enqueue("acme", result["acme"], JOB)
    assert list(place.tick(SENSOR)) == ["beta"]


def test_one_that_cannot_be_looked_at_stops_nobody(place: Many, capfd: pytest.CaptureFixture[str]) -> None:
    partitions(place, "acme", "beta")
    acme = place.connection("acme")
    place.store.reseal(acme, place.store.read(acme).generation, b"not what any key opens")
    assert list(place.tick(SENSOR)) == ["beta"]
    assert "1 connections could not be polled. acme: " in capfd.readouterr().err


def test_a_run_that_failed_is_asked_for_again_once_a_person_has_mended_its_connection(place: Many) -> None:
    partitions(place, "acme")
    first = place.tick(SENSOR)
    place.grants["acme"].revoked = True
    assert not place.run("acme", first["acme"], JOB).success
    assert place.tick(SENSOR) == {}, "it waits for a person; the sensor of connections says so"
    place.connect("acme")
    second = place.tick(SENSOR)
    assert list(second) == ["acme"] and second["acme"] != first["acme"]


def test_who_found_no_room_is_first_next_time(place: Many) -> None:
    place.define(streams=STREAMS, at_once=1)
    partitions(place, "acme", "beta", "gamma")
    for label in ("acme", "beta", "gamma"):
        (result,) = place.tick(SENSOR).items()
        assert result[0] == label
        waiting = place.enqueue(*result, JOB)
        assert place.tick(SENSOR) == {} and "1 under way" in str(place.why)
        place.instance.delete_run(waiting.run_id)
        place.enqueue(*result, JOB, status=dg.DagsterRunStatus.SUCCESS)
    assert place.tick(SENSOR) == {} and place.why == "3 of 3 connections polled, 0 under way; nothing to land."


def test_a_look_without_time_goes_on_where_it_stopped(place: Many) -> None:
    partitions(place, "acme", "beta")
    context = dg.build_sensor_context(instance=place.instance, cursor=cursor_of(Memories(first="beta")))
    runs = Runs(place.instance, JOB, frozenset())
    result = evaluate(context, Impatient(), WarehouseResource(), PARTITIONS, runs, 8, seconds=0.0)
    assert not result.run_requests and "0 of 2 connections polled" in str(result.skip_reason)
    assert remembered(Memories, result.cursor).first == "beta"
