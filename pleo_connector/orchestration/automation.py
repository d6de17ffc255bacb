"""When the tables are synced: one job over all of a connection's assets, and a daily schedule that a person starts."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

DAILY = "0 5 * * *"
"""Five in the morning, UTC: before people in Europe look at yesterday."""


def sync_job(name: str, assets: Sequence[dg.AssetsDefinition]) -> Any:
    """The job that syncs every table of the connection and evaluates every check (its type has no public name)."""
    return dg.define_asset_job(
        f"{name}_sync",
        selection=dg.AssetSelection.assets(*assets),
        description="Bring every Pleo table up to date.",
    )


def daily_schedule(name: str, job: Any) -> dg.ScheduleDefinition:
    """The job once a day; stopped until somebody starts it in the UI."""
    return dg.ScheduleDefinition(
        name=f"{name}_daily",
        job=job,
        cron_schedule=DAILY,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.STOPPED,
        description="Every day at 05:00 UTC. Stopped until you start it.",
    )
