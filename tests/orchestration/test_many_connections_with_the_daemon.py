"""Many connections under Dagster's own daemon, queue and code server, with the limits of docs/dagster.md."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import dagster as dg
import pytest

from pleo_connector.sandbox import RunningSandbox
from tests.orchestration.many import Many, variables
from tests.orchestration.place import environment

ROOT = Path(__file__).parents[2]
LOCATION = """
from pleo_connector import PleoResource, WarehouseResource, build_pleo_connections_definitions

defs = build_pleo_connections_definitions(pleo=PleoResource(), warehouse=WarehouseResource(), streams=("vendors",))
"""
DONE, FAILED = dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.filterwarnings("ignore")]


def the_limits() -> str:
    """What the page tells people to put into their dagster.yaml."""
    (found,) = re.findall(r"```yaml\n(concurrency:.*?)```", (ROOT / "docs" / "dagster.md").read_text(), re.DOTALL)
    return str(found)


def dagster(place: Many, *arguments: str) -> None:
    """A command of Dagster's over the code location."""
    command = [str(Path(sys.executable).with_name("dagster")), *arguments, "-f", "location.py"]
    done = subprocess.run(command, cwd=place.folder, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@contextmanager
def daemon(place: Many) -> Iterator[None]:
    """Dagster's daemon, which evaluates sensors and takes runs from the queue; all its processes end with it."""
    command = [str(Path(sys.executable).with_name("dagster-daemon")), "run", "-f", "location.py"]
    with (place.folder / "daemon.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=place.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True)
        try:
            yield
        finally:
            process.terminate()
            try:
                process.wait(60)
            finally:
                with suppress(ProcessLookupError):  # its code server and its runs are of its group
                    os.killpg(process.pid, signal.SIGKILL)


@pytest.fixture
def place(tmp_path: Path, sandbox: RunningSandbox) -> Iterator[Many]:
    sandbox.state.reset_counters()
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text(f"telemetry: {{enabled: false}}\n{the_limits()}")
    (tmp_path / "location.py").write_text(LOCATION)
    with (
        environment(variables(tmp_path, sandbox) | {"DAGSTER_HOME": str(home)}),
        dg.DagsterInstance.from_config(str(home)) as instance,
    ):
        yield Many(sandbox, tmp_path, instance)


def of(place: Many, label: str) -> list[dg.RunRecord]:
    """The connection's runs, oldest first."""
    return list(place.instance.get_run_records(dg.RunsFilter(tags={"dagster/partition": label}), ascending=True))


def ended(place: Many, label: str, count: int = 1) -> bool:
    runs = of(place, label)
    return len(runs) >= count and all(record.dagster_run.is_finished for record in runs)


def wait_for(place: Many, true: Callable[[], bool], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, (place.folder / "daemon.log").read_text()[-5000:]
        time.sleep(0.5)


def test_the_daemon_syncs_each_connection_once_and_the_queue_keeps_to_one_run_of_each(place: Many) -> None:
    labels = ["acme", "beta", "gamma"]
    place.connect(*labels, "revoked")
    place.grants["revoked"].revoked = True
    dagster(place, "sensor", "start", "pleo_connections")
    with daemon(place):
        wait_for(place, lambda: all(ended(place, label) for label in [*labels, "revoked"]))
        assert {label: [record.dagster_run.status for record in of(place, label)] for label in [*labels, "revoked"]} == {
            **{label: [DONE] for label in labels},
            "revoked": [FAILED],
        }
        served = len(place.sandbox.state.records("vendors"))
        assert {label: place.rows(label, "vendors") for label in labels} == dict.fromkeys(labels, (served, served))
        place.connect("delta")
        for _ in range(2):
            dagster(place, "job", "backfill", "-j", "pleo_sync", "--partitions", "acme", "--noprompt")
        wait_for(place, lambda: ended(place, "delta") and ended(place, "acme", 3))
    assert [record.dagster_run.status for record in of(place, "delta")] == [DONE], "who connects is synced within a minute or two"
    backfilled = of(place, "acme")[1:]
    assert [record.dagster_run.status for record in backfilled] == [DONE, DONE]
    first, second = sorted((record.start_time or 0.0, record.end_time or 0.0) for record in backfilled)
    assert first[1] <= second[0], "one after the other"
    assert len(of(place, "revoked")) == 1, "it waits for a person"
    counters = place.sandbox.counters()
    assert (counters["reuse"], counters["revoked_grants"]) == (0, 0)
