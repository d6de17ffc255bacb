"""Keeping a grant alive that no sync uses: a job, a weekly schedule, and a sensor that watches the age of the tokens.

Pleo ends a grant that was not refreshed for some time (at least 60 days). Schedule and sensor are stopped until a person starts them.
"""

from datetime import UTC, datetime
from typing import Any

import dagster as dg

from pleo_connector.errors import PleoError
from pleo_connector.orchestration import failures
from pleo_connector.orchestration.assets import pleo_key
from pleo_connector.orchestration.default_status import DefaultStatus

WEEKLY = "0 4 * * 1"
"""Monday at 04:00 UTC, an hour before the daily sync."""

OLD_DAYS = 45
"""Days without a refresh from which the sensor warns and acts."""

A_DAY = 86_400
"""Seconds."""


def keep_alive_job(name: str) -> Any:
    """The job that refreshes the connection's tokens now, due or not (its type has no public name)."""

    @dg.op(name=f"{name}_refresh_tokens", required_resource_keys={pleo_key(name)}, description="Gets new tokens from Pleo.")
    def refresh_tokens(context: dg.OpExecutionContext) -> None:
        from pleo_connector.auth import build_manager, status

        settings = getattr(context.resources, pleo_key(name)).settings()
        if settings.uses_api_key:
            context.log.info("Requests carry an API key; there are no tokens to keep alive.")
            return
        try:
            build_manager(settings).refresh()
            current = status(settings)
        except PleoError as error:
            raise failures.whole_run(error) from None
        context.log.info("Refreshed %s: generation %s.", current.connection, current.generation)

    @dg.job(name=f"{name}_keep_alive", description="Refresh the tokens of the connection, so that an idle grant does not end.")
    def keep_alive() -> None:
        refresh_tokens()

    return keep_alive


def weekly_schedule(defaults: DefaultStatus, job: Any) -> dg.ScheduleDefinition:
    """The job once a week."""
    return dg.ScheduleDefinition(
        **defaults.schedule("keep_alive_weekly", "Every Monday at 04:00 UTC."),
        job=job,
        cron_schedule=WEEKLY,
        execution_timezone="UTC",
    )


def token_age_sensor(name: str, defaults: DefaultStatus, job: Any) -> dg.SensorDefinition:
    """Checks the stored tokens once a day; from day 45 without a refresh it warns and starts the job."""

    @dg.sensor(
        **defaults.sensor("token_age", f"From day {OLD_DAYS} without a refresh: warns, and refreshes the tokens."),
        job_name=job.name,  # given as a job, Dagster warns of a beta feature of its own
        minimum_interval_seconds=A_DAY,
        required_resource_keys={pleo_key(name)},
    )
    def token_age(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        return evaluate_token_age(context, getattr(context.resources, pleo_key(name)).settings(), datetime.now(UTC))

    return token_age


def evaluate_token_age(context: dg.SensorEvaluationContext, settings: Any, now: datetime) -> dg.RunRequest | dg.SkipReason:
    """What the sensor does about the tokens of these settings; it logs a warning where a person must act."""
    from pleo_connector.auth import status

    if settings.uses_api_key:
        return dg.SkipReason("Requests carry an API key; there are no tokens.")
    try:
        current = status(settings)
    except PleoError as error:
        context.log.warning("%s", error)
        return dg.SkipReason(str(error))
    if current.state not in ("active", "refreshing") or current.last_refresh is None:
        sentence = f"{current.connection} is {current.state.replace('_', ' ')}: {current.reason}."
        context.log.warning("%s", sentence)
        return dg.SkipReason(sentence)
    days = (now - datetime.fromisoformat(current.last_refresh)).days
    if days < OLD_DAYS:
        return dg.SkipReason(f"The tokens of {current.connection} were refreshed {days} days ago.")
    context.log.warning(
        "The tokens of %s were not refreshed for %d days; Pleo ends a grant after about 60. Refreshing.", current.connection, days
    )
    return dg.RunRequest(run_key=f"{current.connection} generation {current.generation} day {now.date().isoformat()}")
