"""The sensor for export jobs of many connections: it polls all of them in turn, and requests a run for each that has items to land.

It does for each connection what `export_sensor` does for one, with a memory per connection. It also divides the time of an
evaluation and the number of concurrent runs between them.
"""

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from typing import Any

import dagster as dg

from pleo_connector.errors import PleoError
from pleo_connector.orchestration.assets import pleo_key, warehouse_key
from pleo_connector.orchestration.connection_health import health_of
from pleo_connector.orchestration.connection_places import API_KEY_IS_ONE, pleo_of
from pleo_connector.orchestration.connection_runs import Runs, utc_now
from pleo_connector.orchestration.connection_sensor import CONNECTION
from pleo_connector.orchestration.cursor import cursor_of, remembered
from pleo_connector.orchestration.default_status import DefaultStatus
from pleo_connector.orchestration.export_sensor import EVERY, SECONDS, ConnectionPoll, Memory, ended, poll_connection

AT_A_TIME = 8
"""Connections that are polled at the same time: each waits for Pleo most of the time, and has its own request budget."""

EACH = 10.0
"""Seconds for one connection at most, so that one with many companies, or with slow answers, leaves time for the others."""


@dataclass(slots=True)
class Memories:
    """The sensor's cursor."""

    of: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The memory of each connection that has one, by label."""
    first: str | None = None
    """The connection to begin with."""

    def recall(self, label: str) -> Memory:
        """What is remembered of a connection."""
        try:
            return Memory(**self.of.get(label, {}))
        except TypeError:
            return Memory()

    def keep(self, memories: dict[str, Memory]) -> None:
        """Remember these and no others; of each, what differs from a fresh one."""
        fresh = asdict(Memory())
        changed = {
            label: {key: value for key, value in asdict(memory).items() if value != fresh[key]} for label, memory in memories.items()
        }
        self.of = {label: values for label, values in changed.items() if values}


def export_jobs_sensor(
    name: str, defaults: DefaultStatus, job: Any, partitions: dg.DynamicPartitionsDefinition, at_once: int
) -> dg.SensorDefinition:
    """Looks for open export jobs of every connection and starts `job` for those that have some."""

    @dg.sensor(
        **defaults.sensor(
            "export_jobs",
            "Lands export items of every connection while their job is open: afterwards Pleo no longer serves them. "
            f"A run for each connection, {at_once} at once.",
        ),
        job_name=job.name,
        minimum_interval_seconds=EVERY,
        required_resource_keys={pleo_key(name), warehouse_key(name)},
    )
    def open_jobs(context: dg.SensorEvaluationContext) -> dg.SensorResult:
        pleo, warehouse = (getattr(context.resources, key) for key in (pleo_key(name), warehouse_key(name)))
        return evaluate(context, pleo, warehouse, partitions, Runs(context.instance, job.name, frozenset()), at_once)

    return open_jobs


def evaluate(
    context: dg.SensorEvaluationContext,
    pleo: Any,
    warehouse: Any,
    partitions: dg.DynamicPartitionsDefinition,
    runs: Runs,
    at_once: int,
    *,
    seconds: float = SECONDS,
) -> dg.SensorResult:
    """One evaluation: poll the connections in turn for so many seconds, and request runs up to the limit."""
    from pleo_connector.auth.connections import list_connections

    memories = remembered(Memories, context.cursor)
    known = context.instance.get_dynamic_partitions(str(partitions.name))
    try:
        settings = pleo.settings()
        if settings.uses_api_key:
            return dg.SensorResult(skip_reason=API_KEY_IS_ONE, cursor=context.cursor)
        # A connection that is no partition yet is about to have its first sync, which lands its export items too.
        labels = [label for label in health_of(list_connections(settings), known, settings, warehouse).works if label in known]
    except PleoError as error:
        context.log.warning("%s", error)
        return dg.SensorResult(skip_reason=str(error), cursor=context.cursor)
    busy = runs.under_way(labels, utc_now())
    # A connection that waits for a person is remembered too: after a failed run, the next one needs another key.
    mine = {label: memories.recall(label) for label in known}
    turn = [label for label in _from(labels, memories.first) if label not in busy]
    for label in turn:
        mine[label].settle(*ended(context.instance, runs.job, mine[label].run_key))
    polls = _poll_connections(turn, mine, pleo, time.monotonic() + seconds)
    _log(context, polls)
    wanting = [label for label, poll in polls.items() if poll.wanted]
    chosen = wanting[: max(0, at_once - len(busy))]
    memories.first = next((label for label in turn if label not in polls or label in wanting[len(chosen) :]), memories.first)
    requests = [
        dg.RunRequest(mine[label].request(polls[label].wanted, label), partition_key=label, tags={CONNECTION: label}) for label in chosen
    ]
    memories.keep(mine)
    reason = (
        None if requests else f"{len(polls)} of {len(labels)} connections polled, {len(busy)} under way; nothing to land{_room(wanting)}."
    )
    return dg.SensorResult(run_requests=requests, skip_reason=reason, cursor=cursor_of(memories))


def _poll_connections(turn: Sequence[str], memories: dict[str, Memory], pleo: Any, until: float) -> dict[str, ConnectionPoll]:
    """What each connection has to land; connections for which there is no time are left out."""

    def one(label: str) -> ConnectionPoll | None:
        left = until - time.monotonic()
        if left <= 0:
            return None
        try:
            return poll_connection(memories[label], pleo_of(label, pleo), min(left, EACH))
        except PleoError as error:
            return ConnectionPoll(error=error)

    with ThreadPoolExecutor(AT_A_TIME, thread_name_prefix="export-jobs") as threads:
        return {label: poll for label, poll in zip(turn, threads.map(one, turn), strict=True) if poll is not None}


def _log(context: dg.SensorEvaluationContext, polls: dict[str, ConnectionPoll]) -> None:
    failed = {label: poll.error for label, poll in polls.items() if poll.error is not None}
    if failed:
        reasons = " ".join(f"{label}: {error}" for label, error in failed.items())
        context.log.warning("%d connections could not be polled. %s", len(failed), reasons)
    for label, poll in polls.items():
        if poll.wanted:
            context.log.info("%s has export jobs to land: %s.", label, poll.summary)


def _room(wanting: Sequence[str]) -> str:
    return f" now, {len(wanting)} wait for a free place" if wanting else ""


def _from(labels: Sequence[str], first: str | None) -> list[str]:
    place = labels.index(first) if first in labels else 0
    return [*labels[place:], *labels[:place]]
