"""The sensor for export jobs. Pleo serves export items (merchant, tax, contra account) only while their job is open: an hour at most.

It lists all companies' open jobs every two minutes and requests a run that lands their items. Its cursor holds the requested
jobs; the event log says whether the run succeeded. A job is landed again when its status changes, and once more when it has ended.

Jobs that Pleo refuses because a scope is missing are requested again after an hour, or when the scopes of the grant change: a run
every two minutes would be refused again.
"""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import dagster as dg

from pleo_connector.catalogue import CATALOGUE, Catalogue, SyncMode
from pleo_connector.errors import Forbidden, PleoError
from pleo_connector.orchestration import failures
from pleo_connector.orchestration.assets import pleo_key
from pleo_connector.orchestration.automation import ALL_OR_FAIL, run_under_way
from pleo_connector.orchestration.cursor import cursor_of, remembered
from pleo_connector.orchestration.default_status import DefaultStatus

if TYPE_CHECKING:
    from pleo_connector.sync.export_jobs import PolledJobs

EVERY = 120
"""Seconds between two evaluations."""

SECONDS = 25.0
"""Seconds for one poll at most; Dagster ends an evaluation after 60."""

ENDED = "ended"

PATIENCE = 3600.0
"""Seconds until refused jobs are requested again."""


@dataclass(slots=True)
class Memory:
    """The sensor's cursor: the landed jobs with their state, and the jobs of the last requested run. The field names are stored."""

    landed: dict[str, str] = field(default_factory=dict)
    asked: dict[str, str] = field(default_factory=dict)
    run_key: str = ""
    attempt: int = 0
    first: str | None = None
    """The company to begin with."""
    refused: dict[str, str] = field(default_factory=dict)
    """Jobs, by state, whose items Pleo refused."""
    refusal: str = ""
    refused_at: float = 0.0
    """Seconds since 1970."""
    scopes: list[str] = field(default_factory=list)
    """Of the grant, when it was refused."""

    def settle(self, status: dg.DagsterRunStatus | None, refusal: str = "") -> None:
        """Note how the last requested run ended (None: it was never made), and Pleo's refusal if that was the cause."""
        if not self.asked:
            return
        if status is dg.DagsterRunStatus.SUCCESS:
            self.landed |= self.asked
            self.attempt = 0
        else:
            self.attempt += 1
        if refusal:
            self.refuse(refusal, self.asked)
        self.asked = {}

    def refuse(self, refusal: str, jobs: dict[str, str]) -> None:
        """Note that Pleo refuses these jobs; without jobs, that it refuses the list of jobs."""
        self.refusal, self.refused, self.refused_at = refusal, self.refused | jobs, time.time()

    def reconsider(self, scopes: Sequence[str]) -> None:
        """Forget a refusal that is old, or was of a grant with other scopes."""
        if time.time() - self.refused_at >= PATIENCE or list(scopes) != self.scopes:
            self.refusal, self.refused, self.refused_at = "", {}, 0.0
        self.scopes = list(scopes)

    @property
    def list_is_refused(self) -> bool:
        """Whether Pleo refused the list of jobs itself."""
        return bool(self.refusal) and not self.refused

    def explanation(self) -> str:
        """The refusal, and the time of the next try."""
        again = time.strftime("%H:%M", time.gmtime(self.refused_at + PATIENCE))
        return f"{self.refusal} The next try is at {again} UTC, or when the scopes of the grant change."

    def wanted(self, polled: "PolledJobs") -> dict[str, str]:
        """Jobs to land now, by state."""
        jobs = {job: status for job, status in polled.open_jobs.items() if self.landed.get(job) != status}
        if polled.complete:
            gone = [job for job in self.landed if job not in polled.open_jobs]
            jobs |= {job: ENDED for job in gone if self.landed[job] != ENDED}
            self.landed = {job: state for job, state in self.landed.items() if job in polled.open_jobs or state != ENDED}
        return {job: state for job, state in jobs.items() if self.refused.get(job) != state}

    def request(self, jobs: dict[str, str], connection: str = "") -> str:
        """Note the requested jobs. Returns the run's key: the same for the same jobs in the same states until a run of it failed."""
        text = json.dumps([sorted(jobs.items()), self.attempt])
        of = f" of {connection}" if connection else ""  # two connections may see the same company
        self.asked, self.run_key = jobs, f"export jobs{of} {hashlib.sha256(text.encode()).hexdigest()[:16]}"
        return self.run_key


def export_job(name: str, assets: Sequence[dg.AssetsDefinition], catalogue: Catalogue = CATALOGUE) -> Any:
    """The job that lands export jobs and their items, or None where these are not among the assets (its type has no public name)."""
    streams = {stream.name for stream in catalogue if stream.mode is SyncMode.OPEN_JOBS}
    keys = [spec.key for one in assets for spec in one.specs if spec.metadata.get("pleo/stream") in streams]
    if not keys:
        return None
    return dg.define_asset_job(
        f"{name}_export_items",
        selection=dg.AssetSelection.assets(*keys),
        description="Land export jobs and their items, which Pleo serves only while a job is open.",
        # What this run leaves out is gone within the hour: the sensor must see that it is not landed.
        tags={ALL_OR_FAIL: "yes"},
    )


def export_sensor(name: str, defaults: DefaultStatus, job: Any) -> dg.SensorDefinition:
    """Looks for open export jobs and starts `job`."""

    @dg.sensor(
        **defaults.sensor("export_jobs", "Lands export items while their job is open: afterwards Pleo no longer serves them."),
        job_name=job.name,
        minimum_interval_seconds=EVERY,
        required_resource_keys={pleo_key(name)},
    )
    def open_jobs(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        return evaluate(context, getattr(context.resources, pleo_key(name)), job.name)

    return open_jobs


def evaluate(context: dg.SensorEvaluationContext, pleo: Any, job_name: str, *, seconds: float = SECONDS) -> dg.SensorResult | dg.SkipReason:
    """One evaluation: skip while a run is under way; else poll, and request a run for jobs that are not landed."""
    if (busy := run_under_way(context.instance, job_name)) is not None:
        return dg.SkipReason(f"Run {busy} is under way.")
    memory = remembered(Memory, context.cursor)
    memory.settle(*ended(context.instance, job_name, memory.run_key))
    poll = poll_connection(memory, pleo, seconds)
    if poll.error is not None:
        context.log.warning("%s", poll.error)
    if not poll.wanted:
        return dg.SensorResult(skip_reason=poll.summary, cursor=cursor_of(memory))
    run_key = memory.request(poll.wanted)
    context.log.info("Landing export jobs: %s.", poll.summary)
    return dg.SensorResult(run_requests=[dg.RunRequest(run_key=run_key)], cursor=cursor_of(memory))


@dataclass(frozen=True, slots=True)
class ConnectionPoll:
    """The result of polling one connection."""

    wanted: dict[str, str] = field(default_factory=dict)
    """Jobs to land now, by state."""
    summary: str = ""
    """Those jobs, or why there are none, in words."""
    error: PleoError | None = None


def poll_connection(memory: Memory, pleo: Any, seconds: float) -> ConnectionPoll:
    """Poll one connection for so many seconds at most, and update its memory; an error of Pleo's is part of the result."""
    from pleo_connector.sync.export_jobs import poll_export_jobs

    try:
        memory.reconsider(_scopes(pleo))
        if memory.list_is_refused:
            return ConnectionPoll(summary=memory.explanation())
        polled = poll_export_jobs(pleo.connection(), seconds=seconds, first=memory.first)
    except PleoError as error:
        if isinstance(error, Forbidden):
            memory.refuse(str(error), {})
        return ConnectionPoll(summary=memory.explanation() if memory.refusal else str(error), error=error)
    memory.first = polled.next_company
    wanted = memory.wanted(polled)
    if not wanted:
        return ConnectionPoll(summary=memory.explanation() if memory.refused else _skip_reason(polled))
    return ConnectionPoll(wanted, ", ".join(f"{job} ({state})" for job, state in sorted(wanted.items())))


def _skip_reason(polled: "PolledJobs") -> str:
    part = (
        ""
        if polled.complete
        else f" (polled {len(polled.listed)} of {len(polled.companies)} companies in time; the next evaluation continues)"
    )
    if not polled.open_jobs:
        return f"No export job is open{part}."
    return f"Open export jobs: {len(polled.open_jobs)}, all landed{part}."


def _scopes(pleo: Any) -> tuple[str, ...]:
    """What the stored grant covers; nothing for an API key."""
    from pleo_connector.auth import status

    return tuple(sorted(status(pleo.settings(), others=False).scopes))


def ended(instance: dg.DagsterInstance, job_name: str, run_key: str) -> tuple[dg.DagsterRunStatus | None, str]:
    """How the newest run with this key ended (None without one), and Pleo's refusal if it failed by nothing else."""
    runs = instance.get_runs(dg.RunsFilter(job_name=job_name, tags={"dagster/run_key": run_key}), limit=1) if run_key else []
    if not runs:
        return None, ""
    run = runs[0]
    if run.status is not dg.DagsterRunStatus.FAILURE:
        return run.status, ""
    ends = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE)
    errors = [entry.dagster_event.step_failure_data.user_failure_data for entry in ends if entry.dagster_event is not None]
    if errors and all(one is not None and one.label and _kind(one) == failures.ACCESS.name for one in errors):
        return run.status, " ".join(str(one.description) for one in errors if one is not None)
    return run.status, ""


def _kind(failure: Any) -> str:
    kind = failure.metadata.get("failure")
    return str(kind.value) if kind is not None else ""
