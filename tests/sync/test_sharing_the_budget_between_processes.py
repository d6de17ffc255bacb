"""Real processes on one grant: the sandbox's own count of a minute never exceeds the budget."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from cryptography.fernet import Fernet

from pleo_connector import sync
from pleo_connector.api import Budget, SharedBudget
from pleo_connector.sandbox import Fault
from pleo_connector.settings import load
from tests.auth.harness import Pleo, pleo
from tests.postgres_server import new_database

STORES = ["sqlite", "postgresql"]


@contextmanager
def connected(store: str, tmp_path: Path, per_minute: int, **config: Any) -> Iterator[Pleo]:
    environ = {"PLEO_REQUESTS_PER_MINUTE": str(per_minute)}
    if store == "postgresql":
        environ |= {"PLEO_TOKEN_STORE": new_database(), "PLEO_TOKEN_KEYS": Fernet.generate_key().decode()}
    with pleo(tmp_path, environ, requests_per_minute=per_minute, **config) as found:
        found.connect()
        found.sandbox.state.reset_counters()
        found.sandbox.state.rate_limit.reset()
        yield found


@dataclass
class Running:
    """Processes under way."""

    process: subprocess.Popen[str]
    pids: list[int]

    def ended(self) -> list[dict[str, int]]:
        """What each of them sent; a killed one has nothing to tell."""
        out, err = self.process.communicate(timeout=120)
        assert err == "" and self.process.returncode == 0, err
        return [json.loads(line) for line in out.splitlines()]


def start(found: Pleo, processes: int, workers: int, seconds: float, gap: float = 0.0, **environ: str) -> Running:
    root = Path(__file__).parents[2]
    command = [sys.executable, "-m", "tests.sync.budget_process", *map(str, (processes, workers, seconds, gap))]
    environment = {**os.environ, **found.environ, **environ, "PYTHONPATH": str(root)}
    process = subprocess.Popen(command, cwd=root, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return Running(process, [json.loads(process.stdout.readline())["pid"] for _ in range(processes)])


def wait_for_requests(found: Pleo, count: int) -> None:
    end = time.monotonic() + 60
    while found.counted("requests") < count:
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


@pytest.mark.parametrize("store", STORES)
def test_four_processes_send_no_more_than_one_might(store: str, tmp_path: Path) -> None:
    with connected(store, tmp_path, 40) as found:
        result = start(found, 4, 4, 2.0).ended()
        assert found.counted("responses_429") == 0
        assert 30 <= sum(one["sent"] for one in result) == found.counted("requests") <= 40


@pytest.mark.slow
def test_processes_with_budgets_of_their_own_send_too_much(tmp_path: Path) -> None:
    """What the test above would see without a shared budget."""
    with connected("sqlite", tmp_path, 40) as found:
        start(found, 2, 4, 3.0, PLEO_BUDGET_SCOPE="process").ended()
        assert found.counted("responses_429") > 0


@pytest.mark.slow
def test_a_pause_is_kept_by_the_others_too(tmp_path: Path) -> None:
    with connected("sqlite", tmp_path, 6000) as found:
        running = start(found, 4, 2, 6.0, 0.2)
        wait_for_requests(found, 20)
        found.sandbox.state.set_faults(Fault("status", path="/v1/introspect", status=429, retry_after=3, times=1))
        result = running.ended()
        assert sum(one["limited"] for one in result) == 1
        # Each process hears of it within a quarter of a second: 8 workers send 40 a second, which were 120.
        assert found.counted("sent_before_retry_after") <= 16


@pytest.mark.slow
@pytest.mark.parametrize("store", STORES)
def test_more_than_a_minute_with_a_kill_and_a_pause(store: str, tmp_path: Path) -> None:
    with connected(store, tmp_path, 60, access_token_lifetime=20.0) as found:
        running = start(found, 4, 4, 75.0, 0.1)
        wait_for_requests(found, 30)
        os.kill(running.pids[0], signal.SIGKILL)
        found.sandbox.state.set_faults(Fault("status", path="/v1/introspect", status=429, retry_after=3, times=1))
        result = running.ended()
        assert found.counted("responses_429") == 1, "the one that the sandbox was told to give"
        assert found.counted("reuse") == 0
        assert sum(one["sent"] for one in result) >= 60, "the second minute's budget was used too"
        assert min(one["sent"] for one in result) >= 10, "nobody starved"


# --- who gets which ---------------------------------------------------------------------------


def test_with_oauth_the_budget_is_shared_and_with_an_api_key_it_is_not(tmp_path: Path) -> None:
    environ = {"PLEO_TOKEN_STORE": str(tmp_path / "tokens.sqlite")}
    key = {**environ, "PLEO_API_KEY": "key"}
    assert isinstance(sync.connection_from_settings(load(environ, None)).budget(10), SharedBudget)
    assert isinstance(sync.connection_from_settings(load(key, None)).budget(10), Budget)
    assert isinstance(sync.connection_from_settings(load(key | {"PLEO_BUDGET_SCOPE": "shared"}, None)).budget(10), SharedBudget)
    assert isinstance(sync.connection_from_settings(load(environ | {"PLEO_BUDGET_SCOPE": "process"}, None)).budget(10), Budget)
    assert list(tmp_path.iterdir()) == [], "nothing is made before the first request"


def test_each_label_has_a_budget_of_its_own(tmp_path: Path) -> None:
    environ = {"PLEO_TOKEN_STORE": str(tmp_path / "tokens.sqlite"), "PLEO_API_KEY": "key"}
    names = [load(environ | more, None).credential for more in ({}, {"PLEO_CONNECTION": "acme"}, {"PLEO_API_KEY": ""})]
    assert names == ["sandbox/api-key", "sandbox/api-key/acme", "sandbox/sandbox-client"]


def test_a_connection_made_by_hand_has_a_budget_of_its_process() -> None:
    assert isinstance(sync.Connection("http://127.0.0.1:1", httpx.Auth()).budget(10), Budget)
