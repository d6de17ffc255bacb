from __future__ import annotations

from datetime import UTC, datetime

import dagster as dg
import pytest

from pleo_connector.catalogue import CATALOGUE
from pleo_connector.errors import ConfigurationError
from pleo_connector.orchestration import build_pleo_definitions
from pleo_connector.sandbox import Fault, RunningSandbox
from tests.orchestration.place import Place, environment, materialized

TWO = ["accounting_entries", "vendors", "tags"]


def run(
    place: Place,
    job_name: str = "pleo_sync",
    *,
    partition: str | None = None,
    tags: dict[str, str] | None = None,
    config: dict[str, object] | None = None,
    **options: object,
) -> dg.ExecuteInProcessResult:
    with environment(place.environment), dg.DagsterInstance.ephemeral() as instance:
        built = build_pleo_definitions(streams=TWO, **options)  # type: ignore[arg-type]
        job = built.resolve_job_def(job_name)
        run_config = {"ops": {"pleo_monthly_tables": {"config": config}}} if config else None
        return job.execute_in_process(instance=instance, raise_on_error=False, partition_key=partition, run_config=run_config, tags=tags)


def test_a_step_for_each_stream_with_its_child_tables() -> None:
    with environment({}):
        job = build_pleo_definitions(step_per_table=True, executor=None, marts=False).resolve_job_def("pleo_sync")
    assert {node.name for node in job.nodes} == {f"pleo_{stream.name}" for stream in CATALOGUE}
    assert job.executor_def is not dg.in_process_executor


@pytest.mark.slow
def test_steps_sync_their_streams_and_one_failing_step_leaves_the_others(place: Place, sandbox: RunningSandbox) -> None:
    sandbox.state.set_faults(Fault("status", path="/v1/vendors", status=400))
    result = run(place, step_per_table=True)
    assert not result.success
    assert [event.step_key for event in result.all_events if event.is_step_failure] == ["pleo_vendors"]
    assert {"accounting_entries", "accounting_entry_splits", "tags"} <= set(materialized(result))
    assert "vendors" not in materialized(result)


def test_a_missing_scope_leaves_out_its_step_with_a_warning(place: Place, sandbox: RunningSandbox) -> None:
    sandbox.state.set_faults(Fault("status", path="/v1/vendors", status=403))
    with environment(place.environment), dg.DagsterInstance.ephemeral() as instance:
        job = build_pleo_definitions(streams=["tax_codes", "vendors"], step_per_table=True).resolve_job_def("pleo_sync")
        both = job.execute_in_process(instance=instance, raise_on_error=False)
        (seen,) = instance.fetch_observations(dg.AssetKey(["pleo", "vendors"]), limit=5).records
        alone = job.execute_in_process(instance=instance, raise_on_error=False, asset_selection=[dg.AssetKey(["pleo", "vendors"])])
    assert both.success and set(materialized(both)) == {"tax_codes"}
    assert "the scope vendors:read" in str(seen.asset_observation.metadata["left_out"].value)  # type: ignore[union-attr]
    assert not alone.success, "nothing else was asked for"


def test_a_month_reads_this_month_whatever_is_due(place: Place) -> None:
    result = run(place, "pleo_months", partitioned=True, partition="2026-03-01")
    assert result.success
    outside = "performed_at < TIMESTAMPTZ '2026-03-01 00:00:00+00' OR performed_at >= TIMESTAMPTZ '2026-04-01 00:00:00+00'"
    assert place.scalar(f"SELECT count(*) FROM {{schema}}.accounting_entries WHERE {outside}") == 0
    assert place.scalar("SELECT count(*) FROM {schema}.accounting_entries") == materialized(result)["accounting_entries"]["rows_served"] > 0


@pytest.mark.slow
def test_the_sync_leaves_months_to_their_own_job(place: Place) -> None:
    with environment(place.environment), dg.DagsterInstance.ephemeral() as instance:
        result = build_pleo_definitions(partitioned=True).resolve_job_def("pleo_sync").execute_in_process(instance=instance)
    assert result.success
    assert "vendors" in materialized(result) and "accounting_entries" not in materialized(result)


def test_the_schedule_reads_the_last_three_months_in_one_run(place: Place) -> None:
    with environment({}), dg.DagsterInstance.ephemeral() as instance:
        schedule = build_pleo_definitions(partitioned=True, streams=TWO).get_repository_def().get_schedule_def("pleo_recent_months")
        (request,) = schedule.evaluate_tick(dg.build_schedule_context(instance=instance)).run_requests or ()
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    result = run(place, "pleo_months", partitioned=True, tags={name: value for name, value in request.tags.items() if "range" in name})
    assert result.success
    made = [
        event.partition
        for event in result.asset_materializations_for_node("pleo_monthly_tables")
        if event.asset_key.path[-1] == "accounting_entries"
    ]
    assert len(made) == 3 and made[-1] == datetime.now(UTC).strftime("%Y-%m-01")


@pytest.mark.parametrize(
    ("partition", "config", "expected"),
    [
        ("2026-03-01", {"from": "2026-01-01"}, "from and to cannot be set in a run of partitions"),
        (None, None, "choose the months (partitions) of this run"),
    ],
)
def test_what_is_read_by_month_wants_months_and_no_range(
    place: Place, partition: str | None, config: dict[str, object] | None, expected: str
) -> None:
    result = run(place, "pleo_months", partitioned=True, partition=partition, config=config)
    (failed,) = [event for event in result.all_events if event.is_step_failure]
    outcome = failed.step_failure_data.user_failure_data
    assert outcome is not None and expected in (outcome.description or "")


def test_months_alone_are_refused() -> None:
    with environment({}), pytest.raises(ConfigurationError, match="name a stream that is not read by month"):
        build_pleo_definitions(partitioned=True, streams=["accounting_entries"])


def test_the_current_month_is_a_partition() -> None:
    with environment({}):
        (assets,) = [
            one
            for one in build_pleo_definitions(partitioned=True, marts=False).assets or ()
            if isinstance(one, dg.AssetsDefinition) and one.partitions_def is not None
        ]
    assert assets.partitions_def is not None and assets.backfill_policy == dg.BackfillPolicy.single_run()
    assert assets.partitions_def.get_last_partition_key() == datetime.now(UTC).strftime("%Y-%m-01")
    by_month = {stream.name for stream in CATALOGUE if stream.window is not None}
    assert {CATALOGUE.table(key.path[-1]).stream for key in assets.keys} == by_month
