"""The demo's one run: Dagster materialises every asset in this process, and its UI can show it afterwards."""

from __future__ import annotations

import gc
import logging
import threading
import uuid
from typing import TYPE_CHECKING

import dagster as dg
from dagster import DagsterEventType
from dagster._core.errors import DagsterExecutionInterruptedError

from pleo_connector.catalogue import CATALOGUE
from pleo_connector.cli.demo_place import DemoPlace
from pleo_connector.cli.output import Output
from pleo_connector.errors import PleoError
from pleo_connector.orchestration import build_pleo_definitions
from pleo_connector.settings import Settings

if TYPE_CHECKING:
    from dagster import EventLogEntry, ExecuteInProcessResult

JOB = "pleo_sync"
SYNC_THREAD = "pleo-sync"
"""The name that `orchestration.worker` gives the thread of a sync."""

_SYNC_STOPS_WITHIN = 30.0

_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
"""Dagster's own lines go to its event log, which the UI shows; a person at the terminal gets ours."""


def materialise(place: DemoPlace, settings: Settings, output: Output) -> None:
    """Run the job over all assets; PleoError with the failed step's sentence when it fails."""
    logging.getLogger("dagster").setLevel(logging.ERROR)
    job = build_pleo_definitions(settings).resolve_job_def(JOB)
    with dg.DagsterInstance.from_config(str(place.dagster_home)) as instance:
        run_id = str(uuid.uuid4())
        instance.add_event_listener(run_id, lambda entry: _tell(entry, output))
        output.note(f"Dagster materialises {len(CATALOGUE.tables())} tables ...")
        try:
            result = job.execute_in_process(instance=instance, run_id=run_id, run_config=_QUIET, raise_on_error=False)
        except DagsterExecutionInterruptedError:
            raise KeyboardInterrupt from None
        finally:
            _wait_for_sync()
        if not result.success:
            raise PleoError(_why(result))


def _wait_for_sync() -> None:
    """Let a cancelled sync stop before its sandbox does.

    Dagster drops an interrupted step without closing it; collecting it closes it, which cancels the sync in its thread.
    """
    gc.collect()
    for thread in threading.enumerate():
        if thread.name == SYNC_THREAD:
            thread.join(_SYNC_STOPS_WITHIN)


def _tell(entry: EventLogEntry, output: Output) -> None:
    """One line for each table as it is done."""
    event = entry.dagster_event
    if event is None or event.event_type is not DagsterEventType.ASSET_MATERIALIZATION:
        return
    materialization = event.step_materialization_data.materialization
    count = materialization.metadata.get("dagster/row_count")
    output.note(f"  {materialization.asset_key.path[-1]}{f': {count.value:,} rows' if count is not None else ''}")


def _why(result: ExecuteInProcessResult) -> str:
    """The sentence of the first failed step."""
    for event in result.all_node_events:
        if event.is_step_failure:
            failure = event.step_failure_data
            # Dagster reports Ctrl-C during a step as a failure of that step.
            if failure.error is not None and failure.error.cls_name == DagsterExecutionInterruptedError.__name__:
                raise KeyboardInterrupt
            if failure.user_failure_data is not None and failure.user_failure_data.description:
                return str(failure.user_failure_data.description)
            if failure.error is not None:
                return " ".join(failure.error.message.split())
    return "The Dagster run failed; `pleo-connector ui` shows its log."
