"""When the tables are synced: one job over all of a connection's assets, and a daily schedule that a person starts."""

import dagster as dg

DAILY = "0 5 * * *"
"""Five in the morning, UTC: before people in Europe look at yesterday."""


def sync_job(name: str, assets: dg.AssetsDefinition) -> "dg.UnresolvedAssetJobDefinition":  # type: ignore[name-defined]
    """The job that syncs every table of the connection and evaluates every check."""
    return dg.define_asset_job(
        f"{name}_sync",
        selection=dg.AssetSelection.assets(assets),
        description="Bring every Pleo table up to date.",
        executor_def=dg.in_process_executor,
    )


def daily_schedule(name: str, job: "dg.UnresolvedAssetJobDefinition") -> dg.ScheduleDefinition:  # type: ignore[name-defined]
    """The job once a day; stopped until somebody starts it in the UI."""
    return dg.ScheduleDefinition(
        name=f"{name}_daily",
        job=job,
        cron_schedule=DAILY,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Every day at 05:00 UTC. Stopped until you start it.",
    )
