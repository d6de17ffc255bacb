"""Keeping the grants of all connections alive: one job that refreshes each connection's tokens, weekly, or when some are old."""

from datetime import UTC, datetime
from typing import Any

import dagster as dg
from pydantic import Field

from pleo_connector.errors import PleoError
from pleo_connector.orchestration import failures
from pleo_connector.orchestration.assets import pleo_key
from pleo_connector.orchestration.connection_places import pleo_of
from pleo_connector.orchestration.default_status import DefaultStatus
from pleo_connector.orchestration.keep_alive import A_DAY, OLD_DAYS


class KeepAliveConfig(dg.Config):
    """Which connections' tokens to refresh."""

    connections: list[str] = Field(default=[], description="Labels; none means every connection of the token store that works.")


def keep_alive_job(name: str) -> Any:
    """The job that refreshes the tokens of every connection, one after the other (its type has no public name)."""

    @dg.op(
        name=f"{name}_refresh_tokens",
        required_resource_keys={pleo_key(name)},
        description="Gets new tokens from Pleo for each connection; one that fails does not stop the others.",
    )
    def refresh_tokens(context: dg.OpExecutionContext, config: KeepAliveConfig) -> None:
        refresh_all(context, getattr(context.resources, pleo_key(name)), config.connections)

    @dg.job(name=f"{name}_keep_alive", description="Refresh the tokens of every connection, so that an idle grant does not end.")
    def keep_alive() -> None:
        refresh_tokens()

    return keep_alive


def refresh_all(context: dg.OpExecutionContext, pleo: Any, wanted: list[str]) -> None:
    """Refresh each connection that works; at the end Failure names those that could not be refreshed."""
    from pleo_connector.auth import build_manager
    from pleo_connector.auth.connections import list_connections

    failed: dict[str, PleoError] = {}
    refreshed = 0
    try:
        connections = list_connections(pleo.settings())
    except PleoError as error:
        raise failures.whole_run(error) from None
    for one in connections:
        if not one.label or one.state == "disconnected" or (wanted and one.label not in wanted):
            continue
        if not one.works:
            context.log.warning("%s is not refreshed until a person connects it again.", one.label)
            continue
        try:
            build_manager(pleo_of(one.label, pleo).settings()).refresh()
            refreshed += 1
        except PleoError as error:
            context.log.warning("%s was not refreshed: %s", one.label, error)
            failed[one.label] = error
    context.log.info("Refreshed the tokens of %d connections.", refreshed)
    if failed:
        raise dg.Failure(
            f"{len(failed)} connections were not refreshed; {refreshed} were. {' '.join(f'{label}: {failed[label]}' for label in failed)}",
            metadata=failures.in_short(failed.values()),
            allow_retries=any(failures.kind_of(error).passes for error in failed.values()),
        )


def token_age_sensor(name: str, defaults: DefaultStatus, job: Any) -> dg.SensorDefinition:
    """Looks at all stored tokens once a day and has the old ones refreshed."""

    @dg.sensor(
        **defaults.sensor("token_age", f"Refreshes the tokens of connections that were not refreshed for {OLD_DAYS} days."),
        job_name=job.name,
        minimum_interval_seconds=A_DAY,
        required_resource_keys={pleo_key(name)},
    )
    def token_age(context: dg.SensorEvaluationContext) -> dg.RunRequest | dg.SkipReason:
        return evaluate_token_age(context, getattr(context.resources, pleo_key(name)), f"{name}_refresh_tokens", datetime.now(UTC))

    return token_age


def evaluate_token_age(context: dg.SensorEvaluationContext, pleo: Any, op: str, now: datetime) -> dg.RunRequest | dg.SkipReason:
    """What the sensor does about the tokens in the store."""
    from pleo_connector.auth.connections import list_connections

    try:
        connections = [one for one in list_connections(pleo.settings()) if one.label and one.works]
    except PleoError as error:
        context.log.warning("%s", error)
        return dg.SkipReason(str(error))
    old = [one.label for one in connections if one.refreshed_at is not None and now.timestamp() - one.refreshed_at >= OLD_DAYS * A_DAY]
    if not old:
        return dg.SkipReason(f"The tokens of all {len(connections)} connections are younger than {OLD_DAYS} days.")
    context.log.warning("Not refreshed for %d days: %s. Pleo ends a grant after about 60. Refreshing.", OLD_DAYS, ", ".join(old))
    return dg.RunRequest(f"day {now.date().isoformat()}", {"ops": {op: {"config": {"connections": old}}}})
