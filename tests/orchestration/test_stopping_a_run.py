from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from pleo_connector.errors import PleoUnavailable, SyncCancelled
from pleo_connector.orchestration import PleoResource
from pleo_connector.orchestration.worker import Finished, Listener, Loaded, Quiet, listen
from pleo_connector.sandbox import RunningSandbox, SandboxConfig, running
from pleo_connector.settings import load
from pleo_connector.sync import StreamReport, SyncPlan, SyncReport, run
from tests.orchestration.place import Place, environment

DONE = SyncReport({})


def test_what_the_sync_tells_is_heard_in_order() -> None:
    def sync(on_load: Listener, on_finish: Listener, _cancel: threading.Event) -> SyncReport:
        on_load(StreamReport("a"))
        on_load(StreamReport("b"))
        on_finish(StreamReport("a"))
        return DONE

    heard = list(listen(sync))
    assert [type(event) for event in heard] == [Loaded, Loaded, Finished]
    assert [event.report.stream for event in heard if not isinstance(event, Quiet)] == ["a", "b", "a"]


def test_a_quiet_sync_gives_a_heartbeat() -> None:
    go_on = threading.Event()

    def sync(_load: Listener, _finish: Listener, _cancel: threading.Event) -> SyncReport:
        assert go_on.wait(10)
        return DONE

    events = listen(sync, heartbeat=0.01)
    assert isinstance(next(events), Quiet)
    go_on.set()
    assert all(isinstance(event, Quiet) for event in events)


def test_an_error_of_the_sync_is_raised_to_the_listener() -> None:
    def sync(_load: Listener, _finish: Listener, _cancel: threading.Event) -> SyncReport:
        raise PleoUnavailable("Down.")

    with pytest.raises(PleoUnavailable, match="Down"):
        list(listen(sync))


def test_leaving_early_cancels_the_sync_and_waits_for_it() -> None:
    stopped = threading.Event()

    def sync(on_load: Listener, _finish: Listener, cancel: threading.Event) -> SyncReport:
        on_load(StreamReport("a"))
        assert cancel.wait(10)
        stopped.set()
        raise SyncCancelled("Stopped.")

    events = listen(sync)
    next(events)
    events.close()
    assert stopped.is_set()
    assert not [thread for thread in threading.enumerate() if thread.name == "pleo-sync"]


@pytest.fixture(scope="module")
def slow() -> Iterator[RunningSandbox]:
    with running(SandboxConfig(port=0, requests_per_minute=0, latency_ms=40, rows=20_000)) as ready:
        yield ready


def test_a_cancelled_sync_keeps_what_it_loaded_and_the_next_goes_on(slow: RunningSandbox, tmp_path: Path) -> None:
    place = Place(tmp_path, slow.url)
    plan, cancel = SyncPlan(("accounting_entries",)), threading.Event()
    with environment(place.environment):
        connection = PleoResource.from_settings(load(env_file=None)).connection()
        with pytest.raises(SyncCancelled, match="the next run continues there"):
            # Two requests at once: the first batch, after two seconds, is then far from all.
            run(plan, replace(connection, concurrency=2), place.warehouse, on_load=lambda _: cancel.set(), cancel=cancel)
        kept = place.scalar("SELECT count(*) FROM {schema}.accounting_entries")
        assert 0 < kept < 20_000
        assert place.scalar("SELECT count(*) FROM {schema}._sweeps WHERE status = 'open'") > 0
        report = run(plan, connection, place.warehouse).streams["accounting_entries"]
    assert report.inserted == 20_000 - kept, "pages that were committed are not fetched again"
    assert report.unchanged < 5_000, "but for recent months that had been read to the end"
    assert place.scalar("SELECT count(*) FROM {schema}.accounting_entries") == 20_000
    assert place.scalar("SELECT count(*) FROM {schema}._sweeps WHERE status = 'open'") == 0


CHILD = """
import dagster as dg
from pleo_connector.orchestration import build_pleo_definitions

with dg.DagsterInstance.ephemeral() as instance:
    job = build_pleo_definitions().resolve_job_def("pleo_sync")
    result = job.execute_in_process(instance=instance, raise_on_error=False, asset_selection=[dg.AssetKey(["pleo", "accounting_entries"])])
    print("SUCCESS" if result.success else "STOPPED")
"""


def loaded(place: Place) -> int:
    """Entries in the warehouse; none while it is not there, or the run is writing."""
    with contextlib.suppress(Exception):
        return int(place.scalar("SELECT count(*) FROM {schema}.accounting_entries"))
    return 0


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_the_run_within_seconds_and_leaves_it_resumable(
    slow: RunningSandbox, tmp_path: Path, number: signal.Signals
) -> None:
    place = Place(tmp_path, slow.url)
    variables = {**os.environ, **place.environment, "PLEO_CONCURRENCY": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD], env=variables, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        until = time.monotonic() + 90
        while not loaded(place) and time.monotonic() < until:
            time.sleep(0.2)
        child.send_signal(number)
        out, log = child.communicate(timeout=30)
    finally:
        if child.poll() is None:
            child.kill()
            child.communicate()
    assert "STOPPED" in out, log[-2000:]
    assert "loaded rows are kept" in log
    assert 0 < place.scalar("SELECT count(*) FROM {schema}.accounting_entries") < 20_000
    assert place.run(["accounting_entries"]).success
    assert place.scalar("SELECT count(*) FROM {schema}.accounting_entries") == 20_000
