"""Threads, event loops, processes, forks and kills; the sandbox's counters judge."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import httpx
import pytest

from pleo_connector import auth
from pleo_connector.auth.stores import State
from pleo_connector.errors import PleoError
from pleo_connector.sandbox import Fault
from tests.auth.harness import Pleo
from tests.auth.storms import ROOT, child_of, forker, kill_at_random, scaled, stampede, start, verdict, wait_for


@pytest.mark.slow
def test_eight_processes_of_25_threads_for_a_minute(tmp_path: Path) -> None:
    stampede(tmp_path, processes=8, threads=25, seconds=scaled(60, 8), lifetime=4)


def test_a_slow_owner_is_waited_for(connected: Pleo) -> None:
    """The owner lives and waits for Pleo: nobody may take its open intent for a dead one's."""
    connected.sandbox.state.set_faults(Fault("delay_before", path="/oauth/token", times=1, seconds=1.5))
    owner = start(connected, "once")
    wait_for(lambda: connected.record().state is State.REFRESHING)
    tokens = connected.manager().refresh()
    out, err = owner.communicate(timeout=20)
    assert (out, err) == ("ready\ndone\n", "")
    assert connected.counted("refreshes") == 1 and connected.counted("reuse") == 0
    assert tokens == connected.manager().tokens() and connected.record().generation == 2


def test_threads_of_one_process_refresh_once(connected: Pleo) -> None:
    connected.sandbox.state.expire_access_tokens()
    answers: list[int] = []
    with connected.client() as client:
        threads = [threading.Thread(target=lambda: answers.append(client.get("/v1/introspect").status_code)) for _ in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert Counter(answers) == {200: 16}
    assert connected.counted("refreshes") == 1 and connected.counted("reuse") == 0


def test_coroutines_of_several_loops_refresh_once(connected: Pleo) -> None:
    auth_ = auth.build_auth(connected.settings)
    answers: list[int] = []

    async def many() -> None:
        async with httpx.AsyncClient(base_url=connected.url, auth=auth_, trust_env=False) as client:
            answers.extend(answer.status_code for answer in await asyncio.gather(*(client.get("/v1/introspect") for _ in range(16))))

    for _ in range(2):
        connected.sandbox.state.expire_access_tokens()
        threads = [threading.Thread(target=lambda: asyncio.run(many())) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert Counter(answers) == {200: 64}
    assert connected.counted("refreshes") == 2 and connected.counted("reuse") == 0


def test_threads_that_waited_for_a_failed_refresh_do_not_all_try_it_again(connected: Pleo) -> None:
    token = connected.manager().access_token()
    connected.sandbox.state.set_faults(
        Fault("status", path="/oauth/token", status=401, error="invalid_client"),
    )
    manager = connected.manager()
    outcomes: list[str] = []
    barrier = threading.Barrier(8)

    def go() -> None:
        barrier.wait()
        try:
            manager.access_token(rejected=token)
        except PleoError as error:
            outcomes.append(type(error).__name__)

    threads = [threading.Thread(target=go) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert outcomes == ["ClientRejected"] * 8
    assert connected.sandbox.counters()["by_path"]["/oauth/token"] <= 3


@pytest.mark.slow
def test_a_fork_made_during_a_refresh_can_refresh_by_itself(connected: Pleo) -> None:
    """The child inherits locks that are held by threads it does not have."""
    code = (
        "import os, threading, time\n"
        "from pleo_connector.auth import build_manager\n"
        "from pleo_connector.settings import load\n"
        "manager = build_manager(load(None, None), settle=0.05)\n"
        "token = manager.access_token()\n"
        "thread = threading.Thread(target=manager.refresh); thread.start(); time.sleep(0.3)\n"
        "pid = os.fork()\n"
        "if pid == 0:\n"
        "    os._exit(0 if manager.access_token(rejected=token) != token else 7)\n"
        "thread.join()\n"
        "raise SystemExit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))\n"
    )
    connected.sandbox.state.set_faults(Fault("delay_after", path="/oauth/token", times=1, seconds=1.0))
    environ = {**os.environ, **connected.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code], env=environ, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert connected.counted("refreshes") == 1 and connected.counted("reuse") == 0


@pytest.mark.parametrize("number", [signal.SIGINT])
def test_an_interrupt_during_the_post_does_not_lose_the_tokens(connected: Pleo, number: signal.Signals) -> None:
    connected.sandbox.state.set_faults(Fault("delay_after", path="/oauth/token", times=1, seconds=1.0))
    process = start(connected, "once")
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    wait_for(lambda: connected.counted("refreshes") == 1)
    process.send_signal(number)
    _, err = process.communicate(timeout=20)
    assert "KeyboardInterrupt" in err
    assert connected.record().generation == 2 and connected.record().state is State.ACTIVE
    connected.manager().refresh()
    assert connected.counted("reuse") == 0


# --- kills -----------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_500_kills_lose_nothing_unseen(connected: Pleo) -> None:
    seen = kill_at_random(connected, scaled(500))
    assert seen.total() == scaled(500) and seen["recovered"] > 0, seen


def test_a_kill_after_the_rotation_is_reported(connected: Pleo) -> None:
    with forker(connected) as process:
        for _ in range(3):
            connected.sandbox.state.reset_counters()
            connected.sandbox.state.set_faults(Fault("delay_after", path="/oauth/token", times=1, seconds=1.0))
            pid = child_of(process)
            wait_for(lambda: connected.counted("refreshes") == 1)
            os.kill(pid, signal.SIGKILL)
            connected.sandbox.state.set_faults()
            assert verdict(connected) == "reported"
            assert connected.counted("reuse") == 0


def test_a_kill_before_the_rotation_is_recovered(connected: Pleo) -> None:
    with forker(connected) as process:
        for _ in range(3):
            connected.sandbox.state.reset_counters()
            connected.sandbox.state.set_faults(Fault("hang", path="/oauth/token", times=1))
            pid = child_of(process)
            wait_for(lambda: connected.sandbox.counters()["faults"] == {"hang": 1})  # the POST is there, and held
            os.kill(pid, signal.SIGKILL)
            connected.sandbox.state.set_faults()
            assert verdict(connected) == "recovered"
            assert connected.counted("reuse") == 0
