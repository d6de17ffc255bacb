"""`pleo-connector ui`: Dagster on the demo's data, and nothing left of its five processes afterwards."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import psutil
import pytest

from pleo_connector.analytics import marts
from pleo_connector.catalogue import CATALOGUE
from pleo_connector.cli.demo_place import free_port
from tests.cli.local import command, start

pytestmark = pytest.mark.usefixtures("the_only_demo")


@contextmanager
def ended_whatever_happens(process: subprocess.Popen[str]) -> Iterator[subprocess.Popen[str]]:
    """A failing test leaves no UI behind."""
    with process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()


def test_without_data_it_says_what_to_run_first(tmp_path: Path) -> None:
    ended = command("ui", pleo={}, cwd=tmp_path)
    assert ended.code == 2
    assert "pleo-connector demo" in ended.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.skipif(sys.platform == "win32", reason="process groups are a matter of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_shows_the_demo_and_ends_with_all_it_started(tmp_path: Path, number: signal.Signals) -> None:
    assert command("demo", pleo={}, cwd=tmp_path, timeout=120).code == 0
    port = free_port(0)
    with ended_whatever_happens(start("ui", "--port", str(port), pleo={}, cwd=tmp_path)) as process:
        assert process.stdout is not None
        assert f"http://127.0.0.1:{port}" in process.stdout.readline()
        graphql = {
            "query": "{runsOrError{... on Runs{results{jobName status}}} assetNodes{assetKey{path} assetMaterializations(limit: 1){runId}}}"
        }
        answer = httpx.post(f"http://127.0.0.1:{port}/graphql", json=graphql, timeout=60, trust_env=False).json()["data"]
        assert answer["runsOrError"]["results"] == [{"jobName": "pleo_sync", "status": "SUCCESS"}]
        made = [node for node in answer["assetNodes"] if "raw" not in node["assetKey"]["path"]]  # what Pleo serves is nobody's to make
        assert len(made) == len(CATALOGUE.tables()) + len(marts())
        assert all(node["assetMaterializations"] for node in made)

        family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        assert len(family) >= 5
        process.send_signal(number)
        process.communicate(timeout=60)
        assert process.returncode == 0
        assert not [one for one in family if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
        assert sorted(path.name for path in tmp_path.iterdir()) == [".demo"]
