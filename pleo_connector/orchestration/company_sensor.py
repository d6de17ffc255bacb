"""The sensor for companies that join the grant: each gets a run of its own at once, instead of waiting for the next schedule."""

import json
from collections.abc import Sequence
from typing import Any

import dagster as dg

from pleo_connector.errors import PleoError
from pleo_connector.orchestration.assets import pleo_key
from pleo_connector.orchestration.starting import Starting

EVERY = 3600
"""Seconds between two looks; one costs a request or two."""

SECONDS = 25.0


def company_sensor(name: str, starting: Starting, job: Any, ops: Sequence[str]) -> dg.SensorDefinition:
    """Starts `job` for each company that was not there before; its first look only learns."""

    @dg.sensor(
        **starting.sensor("new_companies", "Syncs a company as soon as it joins the grant."),
        job_name=job.name,
        minimum_interval_seconds=EVERY,
        required_resource_keys={pleo_key(name)},
    )
    def new_companies(context: dg.SensorEvaluationContext) -> dg.SensorResult | dg.SkipReason:
        return evaluate(context, getattr(context.resources, pleo_key(name)), ops)

    return new_companies


def evaluate(context: dg.SensorEvaluationContext, pleo: Any, ops: Sequence[str]) -> dg.SensorResult | dg.SkipReason:
    """One evaluation. The cursor holds the companies that are known; a run's key is its company, so none is synced twice for being new."""
    from pleo_connector.sync.watching import look

    try:
        seen = look(pleo.connection(), seconds=SECONDS, jobs=False)
    except PleoError as error:
        context.log.warning("%s", error)
        return dg.SkipReason(str(error))
    if not seen.companies:
        return dg.SkipReason("Pleo listed no company in time.")
    known = _known(context.cursor)
    cursor = json.dumps(sorted({*seen.companies, *(known or ())}))
    new = [company for company in seen.companies if known is not None and company not in known]
    if not new:
        said = "none is new" if known is not None else "the next look compares with them"
        return dg.SensorResult(skip_reason=f"{len(seen.companies)} companies; {said}.", cursor=cursor)
    return dg.SensorResult(
        run_requests=[dg.RunRequest(f"company {company}", companies_config(ops, [company])) for company in new], cursor=cursor
    )


def companies_config(ops: Sequence[str], companies: list[str]) -> dict[str, Any]:
    """The run's configuration that limits every step to these companies."""
    return {"ops": {op: {"config": {"companies": companies}} for op in ops}}


def _known(cursor: str | None) -> set[str] | None:
    try:
        return set(json.loads(cursor)) if cursor else None
    except (TypeError, ValueError):
        return None
