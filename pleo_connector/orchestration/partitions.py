"""Months as partitions, for streams that are read by month: a backfill of a range is one run that reads this range."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from pleo_connector.errors import ConfigurationError
from pleo_connector.orchestration import failures
from pleo_connector.orchestration.automation import DAILY, WEEKLY_FULL
from pleo_connector.orchestration.default_status import DefaultStatus
from pleo_connector.orchestration.launchpad import ModeChoice, PleoSyncConfig

FIRST = "2015-01-01"
"""Pleo was founded in 2015: nothing is older."""

RECENT = 3
"""Months that the daily schedule reads."""

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
"""Dagster's own tags on a run of a range of partitions."""

MONTHS = dg.MonthlyPartitionsDefinition(FIRST, end_offset=1)
"""Calendar months in UTC, the current one included."""


def backfill_policy(partitions: dg.PartitionsDefinition[str] | None) -> dg.BackfillPolicy | None:
    """A range of months is one run; of anything else (connections), each partition has a run of its own."""
    if partitions is None:
        return None
    months = isinstance(partitions, dg.TimeWindowPartitionsDefinition)
    return dg.BackfillPolicy.single_run() if months else dg.BackfillPolicy.multi_run(1)


def within_partitions(
    context: dg.AssetExecutionContext, config: PleoSyncConfig, partitions: dg.PartitionsDefinition[str] | None
) -> PleoSyncConfig:
    """The config limited to the months of the run's partitions; as it is where these tables have none, or others than months.

    The first month has no start and the current one no end, so that all partitions together are all of time: a run of all of them,
    and one with mode `full`, has no range and reads every month.
    """
    if partitions is not None and not isinstance(partitions, dg.TimeWindowPartitionsDefinition):
        return config
    if not (context.has_partition_key or context.has_partition_key_range):
        if partitions is not None:
            raise failures.whole_run(ConfigurationError("These tables are read by month: choose the months (partitions) of this run."))
        return config
    if config.start or config.end:
        raise failures.whole_run(
            ConfigurationError("from and to cannot be set in a run of partitions: its months say what is read. Leave both empty.")
        )
    months = context.partition_time_window
    start = "" if months.start <= MONTHS.start else months.start.isoformat()
    end = "" if months.end > datetime.now(UTC) else months.end.isoformat()
    if config.mode is ModeChoice.full or not (start or end):
        return config.model_copy(update={"mode": ModeChoice.full})
    return config.model_copy(update={"start": start, "end": end})


def months_job(name: str, assets: Sequence[dg.AssetsDefinition]) -> Any:
    """The job of the tables with months; a run has one month or a range of them (its type has no public name)."""
    return dg.define_asset_job(
        f"{name}_months",
        selection=dg.AssetSelection.assets(*assets),
        description="Reads the months of the run's partitions, and all months of a company that is new or has missing entries.",
    )


def recent_months() -> dict[str, str]:
    """The tags of a run of the current month and those before it that the daily schedule reads."""
    recent = MONTHS.get_partition_keys()[-RECENT:]
    return {RANGE_START: recent[0], RANGE_END: recent[-1]}


def months_schedules(defaults: DefaultStatus, job: Any) -> list[dg.ScheduleDefinition]:
    """The last months once a day, and all months once a week; each as one run."""

    @dg.schedule(
        **defaults.schedule("recent_months", f"Every day at 05:00 UTC: the current month and the {RECENT - 1} before it."),
        job_name=job.name,
        cron_schedule=DAILY,
        execution_timezone="UTC",
    )
    def recent(_context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        return dg.RunRequest(tags=recent_months())

    @dg.schedule(
        **defaults.schedule("all_months", "Every Sunday at 02:00 UTC: reads every month again; unchanged rows are not written."),
        job_name=job.name,
        cron_schedule=WEEKLY_FULL,
        execution_timezone="UTC",
    )
    def every(_context: dg.ScheduleEvaluationContext) -> dg.RunRequest:
        months = MONTHS.get_partition_keys()
        return dg.RunRequest(tags={RANGE_START: months[0], RANGE_END: months[-1]})

    return [recent, every]
