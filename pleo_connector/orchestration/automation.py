"""When the tables are synced: one job over all of a connection's assets, and schedules that a person starts."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from pleo_connector.orchestration.default_status import DefaultStatus

ALL_OR_FAIL = "pleo/all-or-fail"
"""Tag of runs that fail when Pleo refuses one of their streams, where other runs leave it out with a warning."""

DAILY = "0 5 * * *"
"""05:00 UTC, before the working day in Europe begins."""


def sync_job(name: str, assets: Sequence[dg.AssetsDefinition]) -> Any:
    """The job that syncs every table of the connection and evaluates every check (its type has no public name)."""
    return dg.define_asset_job(
        f"{name}_sync",
        selection=dg.AssetSelection.assets(*assets),
        description="Bring every Pleo table up to date.",
    )


def daily_schedule(defaults: DefaultStatus, job: Any) -> dg.ScheduleDefinition:
    """The job once a day."""
    return dg.ScheduleDefinition(
        **defaults.schedule("daily", "Every day at 05:00 UTC."),
        job=job,
        cron_schedule=DAILY,
        execution_timezone="UTC",
    )


HOURLY = "15 * * * *"
"""At minute 15 of each hour: the windows that are due, above all recent months."""

WEEKLY_FULL = "0 2 * * 0"
"""Sunday at 02:00 UTC: every month is read again, at a time when the request budget is free."""


def hourly_schedule(defaults: DefaultStatus, job: Any) -> dg.ScheduleDefinition:
    """The job once an hour, unless its last run is still under way."""

    @dg.schedule(
        **defaults.schedule("hourly", "Every hour: recent months and everything else that is due."),
        job_name=job.name,
        cron_schedule=HOURLY,
        execution_timezone="UTC",
    )
    def hourly(context: dg.ScheduleEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        if (busy := run_under_way(context.instance, job.name)) is not None:
            return dg.SkipReason(f"Run {busy} is under way.")
        return dg.RunRequest()

    return hourly


def weekly_full_schedule(defaults: DefaultStatus, job: Any, ops: Sequence[str]) -> dg.ScheduleDefinition:
    """The job once a week with mode `full`. It finds late edits of old entries, and marks deleted records."""
    return dg.ScheduleDefinition(
        **defaults.schedule("weekly_full", "Every Sunday at 02:00 UTC: reads everything again; unchanged rows are not written."),
        job_name=job.name,
        cron_schedule=WEEKLY_FULL,
        execution_timezone="UTC",
        run_config={"ops": {op: {"config": {"mode": "full"}} for op in ops}},
    )


LOST = 3600
"""Seconds after which a run that is still under way counts as lost: its process may have ended."""

UNDER_WAY = [
    dg.DagsterRunStatus.QUEUED,
    dg.DagsterRunStatus.NOT_STARTED,
    dg.DagsterRunStatus.STARTING,
    dg.DagsterRunStatus.STARTED,
    dg.DagsterRunStatus.CANCELING,
]
"""Statuses of a run that has not ended."""

_IN_A_PROCESS = (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING)


def run_under_way(instance: dg.DagsterInstance, job_name: str) -> str | None:
    """The id of a run of the job that has not ended, if there is one."""
    for record in instance.get_run_records(dg.RunsFilter(job_name=job_name, statuses=UNDER_WAY), limit=5):
        if (datetime.now(UTC) - record.create_timestamp).total_seconds() < LOST:
            return record.dagster_run.run_id
    return None


def is_lost(instance: dg.DagsterInstance, record: dg.RunRecord, now: datetime) -> bool:
    """Whether the run's process has ended: it wrote nothing for an hour, where a sync writes a line every ten seconds."""
    if record.dagster_run.status not in _IN_A_PROCESS or (now - record.create_timestamp).total_seconds() < LOST:
        return False
    newest = instance.get_records_for_run(record.dagster_run.run_id, limit=1, ascending=False).records
    return not newest or now.timestamp() - newest[0].timestamp >= LOST
