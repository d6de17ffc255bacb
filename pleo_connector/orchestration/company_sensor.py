"""The sensor for companies that join the grant: each is read whole at once, instead of waiting for the next schedule.

A company needs a run of each job that reads from Pleo: the sync, and the months' job where tables are read by month. The cursor holds the
requested runs; the event log says how they ended. A run that failed, was cancelled or was lost is requested again at the next evaluation.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import dagster as dg

from pleo_connector.errors import PleoError
from pleo_connector.orchestration.assets import pleo_key
from pleo_connector.orchestration.automation import UNDER_WAY, is_lost
from pleo_connector.orchestration.cursor import cursor_of, remembered
from pleo_connector.orchestration.default_status import DefaultStatus
from pleo_connector.orchestration.partitions import recent_months

EVERY = 3600
"""Seconds between two evaluations; each costs one or two requests."""

SECONDS = 25.0


@dataclass(frozen=True, slots=True)
class CompanyRun:
    """A job that reads new companies. `ops` are its steps; a job `by_month` runs with recent partitions and reads all months."""

    job: Any
    ops: Sequence[str]
    by_month: bool = False

    def request(self, company: str, failed: int) -> dg.RunRequest:
        """The run of one company; `failed` counts its failed runs."""
        config: dict[str, Any] = {"companies": [company]} | ({"mode": "full"} if self.by_month else {})
        return dg.RunRequest(
            self.key(company, failed),
            {"ops": {op: {"config": config} for op in self.ops}},
            tags=recent_months() if self.by_month else None,
            job_name=self.job.name,
        )

    def key(self, company: str, failed: int) -> str:
        """The run's key; it changes after each failed run."""
        return ("months of " if self.by_month else "") + f"company {company}" + (f", failed {failed}" if failed else "")


@dataclass(slots=True)
class Memory:
    """The sensor's cursor."""

    known: list[str] | None = None
    """Companies of earlier evaluations; None before the first."""
    waiting: dict[str, dict[str, int]] = field(default_factory=dict)
    """New company -> job whose run has not succeeded yet -> number of failed runs."""


def company_sensor(name: str, defaults: DefaultStatus, runs: Sequence[CompanyRun]) -> dg.SensorDefinition:
    """Starts the runs of each new company. The first evaluation only notes the companies."""

    @dg.sensor(
        **defaults.sensor("new_companies", "Syncs a company as soon as it joins the grant, and again until that succeeds."),
        jobs=[one.job for one in runs],
        minimum_interval_seconds=EVERY,
        required_resource_keys={pleo_key(name)},
    )
    def new_companies(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        return evaluate(context, getattr(context.resources, pleo_key(name)), runs)

    return new_companies


def evaluate(context: dg.SensorEvaluationContext, pleo: Any, runs: Sequence[CompanyRun]) -> dg.SensorResult | dg.SkipReason:
    """One evaluation: find new companies, and request each of their runs that has not succeeded and is not under way."""
    from pleo_connector.sync.export_jobs import poll_companies

    try:
        companies = poll_companies(pleo.connection(), seconds=SECONDS)
    except PleoError as error:
        context.log.warning("%s", error)
        return dg.SkipReason(str(error))
    if not companies:
        return dg.SkipReason("Pleo did not list the companies in time; the next evaluation tries again.")
    memory = _memory(context.cursor)
    if memory.known is None:
        memory.known = sorted(companies)
        return dg.SensorResult(
            skip_reason=f"{len(companies)} companies noted; the next evaluation compares with them.", cursor=cursor_of(memory)
        )
    for company in companies:
        if company not in memory.known:
            memory.waiting[company] = {run.job.name: 0 for run in runs}
    memory.known = sorted({*companies, *memory.known})
    requests = [
        request
        for company in memory.waiting
        if company in companies  # a run for one that has left the grant can only fail
        for request in _requests(context.instance, company, memory.waiting[company], {run.job.name: run for run in runs})
    ]
    memory.waiting = {company: jobs for company, jobs in memory.waiting.items() if jobs}
    status = f"{len(memory.waiting)} wait for their first sync" if memory.waiting else "none is new"
    reason = None if requests else f"{len(companies)} companies; {status}."
    return dg.SensorResult(run_requests=requests, skip_reason=reason, cursor=cursor_of(memory))


def _requests(instance: dg.DagsterInstance, company: str, failed: dict[str, int], runs: Mapping[str, CompanyRun]) -> list[dg.RunRequest]:
    """The runs to request. Jobs that succeeded, and jobs that no longer exist, are removed from `failed`."""
    requests = []
    for job in list(failed):
        run = runs.get(job)
        if run is None:
            del failed[job]
            continue
        wanted = dg.RunsFilter(job_name=job, tags={"dagster/run_key": run.key(company, failed[job])})
        record = next(iter(instance.get_run_records(wanted, limit=1)), None)
        if record is not None and record.dagster_run.status is dg.DagsterRunStatus.SUCCESS:
            del failed[job]
            continue
        if record is not None:
            if record.dagster_run.status in UNDER_WAY and not is_lost(instance, record, datetime.now(UTC)):
                continue
            failed[job] += 1
        requests.append(run.request(company, failed[job]))
    return requests


def _memory(cursor: str | None) -> Memory:
    """The memory in the cursor; earlier versions wrote only the list of known companies."""
    try:
        content = json.loads(cursor or "null")
    except ValueError:
        content = None
    return Memory(known=content) if isinstance(content, list) else remembered(Memory, cursor)
