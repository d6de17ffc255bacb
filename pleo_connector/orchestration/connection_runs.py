"""What Dagster knows of the runs of each connection, and which connections are next."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import dagster as dg

from pleo_connector.orchestration.automation import UNDER_WAY, is_lost

PARTITION = "dagster/partition"
"""Dagster's own tag of a run for one partition."""

HOURLY, AT_ONCE = timedelta(hours=1), 8

_OVERLAP = timedelta(minutes=1)
"""Read twice, since the clocks of Dagster's storage and of this process may differ."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How often each connection is synced, and how many at once."""

    every: timedelta = HOURLY
    at_once: int = AT_ONCE

    @property
    def first_at_once(self) -> int:
        """How many of these may be connections that no run has brought up to date yet: such a run can take hours."""
        return max(1, self.at_once // 2)


@dataclass(slots=True)
class Memory:
    """The sensor's cursor."""

    told: dict[str, str] = field(default_factory=dict)
    """Label -> the logged reason why it is not synced. The names of these fields are stored in cursors."""
    began: dict[str, float] = field(default_factory=dict)
    """When the last run of each connection was made, in seconds since the epoch; 0 for none."""
    synced: list[str] = field(default_factory=list)
    """Connections that a run has brought up to date."""
    again: list[str] = field(default_factory=list)
    """Connections that work again, and wait for a run whenever the last one was."""

    looked_at: float = 0.0
    """When the last evaluation read the runs, in seconds since the epoch."""


@dataclass(frozen=True, slots=True)
class Runs:
    """The runs of one job, by the connection that they are for."""

    instance: dg.DagsterInstance
    job: str
    assets: frozenset[dg.AssetKey]

    def under_way(self, labels: Sequence[str], now: datetime) -> dict[str, str]:
        """Label -> id of a run that has not ended; also of a backfill, or of one that a person started from the assets."""
        if not labels:
            return {}
        wanted = dg.RunsFilter(statuses=UNDER_WAY, tags={PARTITION: list(labels)})
        return {
            record.dagster_run.tags[PARTITION]: record.dagster_run.run_id
            for record in self.instance.get_run_records(wanted)
            if self._is_ours(record.dagster_run) and not is_lost(self.instance, record, now)
        }

    def note(self, memory: Memory, labels: Iterable[str], now: datetime) -> None:
        """Update the memory with the runs that changed since the last evaluation, and with new connections."""
        if memory.looked_at:
            since = datetime.fromtimestamp(memory.looked_at, UTC) - _OVERLAP
            for record in self.instance.get_run_records(dg.RunsFilter(job_name=self.job, updated_after=since)):
                self._note(memory, record)
        for label in labels:
            if label not in memory.began:
                memory.began[label] = 0.0
                for record in (*self._newest(label), *self._newest(label, dg.DagsterRunStatus.SUCCESS)):
                    self._note(memory, record)
        memory.looked_at = now.timestamp()

    def key_after_last(self, label: str) -> str:
        """The key of the next run: the same until that run exists, so that repeated requests make one run."""
        last = self._newest(label)
        return f"{label} after {last[0].dagster_run.run_id if last else 'none'}"

    def _newest(self, label: str, *statuses: dg.DagsterRunStatus) -> Sequence[dg.RunRecord]:
        return self.instance.get_run_records(dg.RunsFilter(job_name=self.job, statuses=statuses, tags={PARTITION: label}), limit=1)

    def _note(self, memory: Memory, record: dg.RunRecord) -> None:
        label = record.dagster_run.tags.get(PARTITION)
        if label is None:
            return
        memory.began[label] = max(memory.began.get(label, 0.0), record.create_timestamp.timestamp())
        if record.dagster_run.status is dg.DagsterRunStatus.SUCCESS and label not in memory.synced:
            memory.synced.append(label)

    def _is_ours(self, run: dg.DagsterRun) -> bool:
        return run.job_name == self.job or bool(self.assets & (run.asset_selection or frozenset()))


def next_ones(works: Sequence[str], busy: Iterable[str], memory: Memory, pace: Pace, now: datetime) -> list[str]:
    """The connections to sync now: those due that waited longest, within what may run at once."""
    running = set(busy)
    late = (now - pace.every).timestamp()
    due = [label for label in works if label not in running and (label in memory.again or memory.began.get(label, 0.0) <= late)]
    free = pace.at_once - len(running)
    first_free = pace.first_at_once - sum(label not in memory.synced for label in running)
    chosen: list[str] = []
    for label in sorted(due, key=lambda label: (memory.began.get(label, 0.0), label)):
        if len(chosen) >= free:
            break
        if label not in memory.synced:
            if first_free < 1:
                continue
            first_free -= 1
        chosen.append(label)
    return chosen


def utc_now() -> datetime:
    """The time, aware."""
    return datetime.now(UTC)
