"""Months as partitions: what a run of some months, of all months and of a new company reads, and what it may mark deleted."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from types import SimpleNamespace
from typing import Any

import dagster as dg
import pytest

from pleo_connector.orchestration import build_pleo_definitions
from pleo_connector.orchestration.launchpad import ModeChoice, PleoSyncConfig
from pleo_connector.orchestration.partitions import MONTHS, within_partitions
from pleo_connector.sandbox import RunningSandbox
from pleo_connector.sync.windows import FIRST_MONTH
from tests.orchestration.place import Place, environment, materialized

NEW = "0c0a7a8e-9a56-4a39-9d54-6f3bb3a6f002"
STREAMS = ["companies", "accounting_entries"]
GONE = "SELECT count(*) FROM {schema}.accounting_entries WHERE _deleted_source = 'sweep_absent'"


@pytest.fixture
def by_month(place: Place, sandbox: RunningSandbox) -> Iterator[dg.Definitions]:
    with environment(place.environment):
        yield build_pleo_definitions(streams=STREAMS, partitioned=True)
    sandbox.state.start_over()


def execute(definitions: dg.Definitions, tags: Mapping[str, str] | None = None, *, job: str = "pleo_months", **options: Any) -> str:
    """A run of the job to its success; returns the warnings of accounting entries."""
    with dg.DagsterInstance.ephemeral() as instance:
        result = definitions.resolve_job_def(job).execute_in_process(instance=instance, tags=dict(tags or {}), **options)
        assert result.success
        return str(materialized(result)["accounting_entries"].get("warnings", ""))


def scheduled(definitions: dg.Definitions, schedule: str) -> dict[str, str]:
    """The tags of the run that a schedule asks for."""
    with dg.DagsterInstance.ephemeral() as instance:
        found = definitions.get_repository_def().get_schedule_def(schedule)
        (request,) = found.evaluate_tick(dg.build_schedule_context(instance=instance)).run_requests or ()
    return {name: value for name, value in request.tags.items() if "range" in name}


FULL = {"ops": {"pleo_monthly_tables": {"config": {"mode": "full"}}}}


@pytest.fixture
def filled(place: Place, sandbox: RunningSandbox, by_month: dg.Definitions) -> dg.Definitions:
    """All is read by a run of one month with mode full: entries from before the first month and after the last one too."""
    one = sandbox.state.records("accounting_entries")[0]
    for key, moment in ((NEW, "2009-05-01T00:00:00Z"), (NEW[:-1] + "3", "2046-05-01T00:00:00Z")):
        sandbox.state.put("accounting_entries", one | {"id": key, "performedAt": moment})
    execute(by_month, partition_key=MONTHS.get_partition_keys()[-8], run_config=FULL)
    assert place.scalar("SELECT count(*) FROM {schema}.accounting_entries") == len(sandbox.state.records("accounting_entries"))
    return by_month


def test_an_entry_that_vanished_is_marked_deleted_in_runs_of_single_months(
    place: Place, sandbox: RunningSandbox, filled: dg.Definitions
) -> None:
    sandbox.state.remove("accounting_entries", NEW)
    result = execute(filled, partition_key=MONTHS.get_partition_keys()[0])
    assert place.scalar(GONE) == 0 and "the next run reads all months" in result, "it may have moved to another month"
    result = execute(filled, partition_key=MONTHS.get_partition_keys()[-8])
    assert place.scalar(GONE) == 1 and result == ""


@pytest.mark.slow
def test_all_months_in_one_run_are_all_of_time(place: Place, sandbox: RunningSandbox, filled: dg.Definitions) -> None:
    for key in (NEW, NEW[:-1] + "3"):
        sandbox.state.remove("accounting_entries", key)
    execute(filled, scheduled(filled, "pleo_all_months"))
    assert place.scalar(GONE) == 2


@pytest.mark.parametrize(
    ("first", "last", "mode", "read"),
    [
        (0, -1, ModeChoice.incremental, ("", "", ModeChoice.full)),
        (-2, -2, ModeChoice.full, ("", "", ModeChoice.full)),
        (0, 0, ModeChoice.incremental, ("", "2015-02-01", ModeChoice.incremental)),
        (1, 2, ModeChoice.incremental, ("2015-02-01", "2015-04-01", ModeChoice.incremental)),
        (1, -1, ModeChoice.incremental, ("2015-02-01", "", ModeChoice.incremental)),
    ],
)
def test_the_ends_of_the_partitions_are_open_and_all_of_them_or_mode_full_read_every_month(
    first: int, last: int, mode: ModeChoice, read: tuple[str, str, ModeChoice]
) -> None:
    keys = MONTHS.get_partition_keys()
    start, end = (MONTHS.time_window_for_partition_key(key) for key in (keys[first], keys[last]))
    context: Any = SimpleNamespace(
        has_partition_key=False, has_partition_key_range=True, partition_time_window=dg.TimeWindow(start.start, end.end)
    )
    request = within_partitions(context, PleoSyncConfig(mode=mode), MONTHS)
    assert (request.start[:10], request.end[:10], request.mode) == read


def test_the_first_partition_is_the_first_month_that_has_a_window_of_its_own() -> None:
    assert MONTHS.start == FIRST_MONTH


def tick(definitions: dg.Definitions, instance: dg.DagsterInstance, cursor: str | None) -> Any:
    repository = definitions.get_repository_def()
    resources = repository.get_top_level_resources()
    context = dg.build_sensor_context(instance=instance, cursor=cursor, repository_def=repository, resources=resources)
    return repository.get_sensor_def("pleo_new_companies").evaluate_tick(context)


def test_a_company_that_joins_gets_a_run_of_its_tables_and_one_of_all_its_months(
    place: Place, sandbox: RunningSandbox, by_month: dg.Definitions
) -> None:
    sandbox.state.put("companies", deepcopy(sandbox.state.records("companies")[0]) | {"id": NEW, "name": "Newcomer ApS"})
    one = sandbox.state.records("accounting_entries")[0]
    for number, moment in enumerate(("2012-03-01T00:00:00Z", "2026-02-01T00:00:00Z")):
        sandbox.state.put("accounting_entries", one | {"id": f"{NEW[:-1]}{number}", "companyId": NEW, "performedAt": moment})
    with dg.DagsterInstance.ephemeral() as instance:
        result = tick(by_month, instance, '["a company that was known"]')
        requests = {request.job_name: request for request in result.run_requests if NEW in str(request.run_key)}
        assert set(requests) == {"pleo_sync", "pleo_months"}
        assert len({request.run_key for request in requests.values()}) == 2
    months = requests["pleo_months"]
    execute(by_month, months.tags, run_config=months.run_config)
    assert place.scalar("SELECT count(*) FROM {schema}.accounting_entries") == 2
