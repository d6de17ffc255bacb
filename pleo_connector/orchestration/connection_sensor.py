"""The sensor for many connections: partitions in step with the token store, and one run at a time for each that can be synced."""

from collections.abc import Sequence
from typing import Any

import dagster as dg

from pleo_connector.errors import PleoError
from pleo_connector.orchestration.assets import pleo_key, warehouse_key
from pleo_connector.orchestration.connection_health import ConnectionHealth, health_of
from pleo_connector.orchestration.connection_places import API_KEY_IS_ONE
from pleo_connector.orchestration.connection_runs import Memory, Pace, Runs, next_ones, utc_now
from pleo_connector.orchestration.cursor import cursor_of, remembered
from pleo_connector.orchestration.default_status import DefaultStatus

EVERY = 60
"""Seconds between two evaluations; none sends a request to Pleo."""

CONNECTION = "pleo/connection"
"""Tag of a run that the sensor requested: the label. A concurrency limit of one per value also stops second runs from elsewhere."""


def connection_sensor(
    name: str, defaults: DefaultStatus, job: Any, partitions: dg.DynamicPartitionsDefinition, assets: Sequence[dg.AssetKey], pace: Pace
) -> dg.SensorDefinition:
    """Keeps the partitions in step and asks for runs of `job`."""

    @dg.sensor(
        **defaults.sensor(
            "connections",
            f"A partition for each connection of the token store, and a run for each every {pace.every}, {pace.at_once} at once; "
            "the longest wait comes first.",
        ),
        job_name=job.name,
        minimum_interval_seconds=EVERY,
        required_resource_keys={pleo_key(name), warehouse_key(name)},
    )
    def connections(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        pleo, warehouse = (getattr(context.resources, key) for key in (pleo_key(name), warehouse_key(name)))
        return evaluate(context, pleo, warehouse, partitions, Runs(context.instance, job.name, frozenset(assets)), pace)

    return connections


def evaluate(
    context: dg.SensorEvaluationContext, pleo: Any, warehouse: Any, partitions: dg.DynamicPartitionsDefinition, runs: Runs, pace: Pace
) -> dg.SensorResult:
    """One evaluation. A store that cannot be read changes nothing."""
    from pleo_connector.auth.connections import list_connections

    memory, now = remembered(Memory, context.cursor), utc_now()
    known = context.instance.get_dynamic_partitions(str(partitions.name))
    try:
        settings = pleo.settings()
        if settings.uses_api_key:
            return dg.SensorResult(skip_reason=API_KEY_IS_ONE, cursor=context.cursor)
        health = health_of(list_connections(settings), known, settings, warehouse)
    except PleoError as error:
        context.log.warning("%s", error)
        return dg.SensorResult(skip_reason=str(error), cursor=context.cursor)
    for label in health.works:  # one that was connected again is due at once
        if label in memory.told and label not in memory.again:
            memory.again.append(label)
    _log_idle(context, memory, health)
    runs.note(memory, health.works, now)
    busy = runs.under_way([*health.works, *health.idle], now)
    chosen = next_ones(health.works, busy, memory, pace, now)
    memory.again = [label for label in memory.again if label in health.works and label not in chosen]
    memory.began = {label: when for label, when in memory.began.items() if label in health.works}
    memory.synced = sorted(set(memory.synced) & {*health.works, *health.idle})
    changes: list[Any] = [partitions.build_add_request(health.add)] if health.add else []
    changes += [partitions.build_delete_request(health.remove)] if health.remove else []
    requests = [dg.RunRequest(runs.key_after_last(label), partition_key=label, tags={CONNECTION: label}) for label in chosen]
    reason = None if requests else _skip_reason(health, busy)
    return dg.SensorResult(run_requests=requests, skip_reason=reason, cursor=cursor_of(memory), dynamic_partitions_requests=changes)


def _log_idle(context: dg.SensorEvaluationContext, memory: Memory, health: ConnectionHealth) -> None:
    """Log once why each idle connection is not synced."""
    for label, why in health.idle.items():
        if memory.told.get(label) != why:
            context.log.warning("%s", why)
    for label in health.remove:
        context.log.info("%s was disconnected: its partition is removed, its tables stay.", label)
    memory.told = dict(health.idle)


def _skip_reason(health: ConnectionHealth, busy: dict[str, str]) -> str:
    if not health.works:
        return "No connection of the token store can be synced." if health.idle else "The token store has no connection with a label."
    idle = f", {len(health.idle)} not synced" if health.idle else ""
    return f"{len(health.works)} connections, {len(busy)} under way{idle}; no other is due, or all places are taken."
