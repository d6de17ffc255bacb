"""Forks made while a thread holds the token lock, whose parent or child is then killed: nobody waits for the dead."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pleo_connector.auth.stores import State
from pleo_connector.sandbox import Fault
from tests.auth.harness import Pleo, pleo
from tests.auth.storms import ROOT, in_store, stored_token_lives, wait_for

CODE = """
import os, sys, threading
from pleo_connector.auth import build_manager
from pleo_connector.settings import load

manager = build_manager(load(None, None), settle=0.05, deadline=float(os.environ["REFRESHER_DEADLINE"]))
token = manager.access_token()
thread = threading.Thread(target=manager.refresh)
thread.start()
os.read(0, 1)
pid = os.fork()
if pid == 0:
    print(os.getpid(), flush=True)
    os.read(0, 1)
    print(manager.access_token(rejected=token) != token, flush=True)
    os._exit(0)
thread.join()
print("joined", flush=True)
"""


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pleo]:
    with pleo(tmp_path, in_store(request.param) | {"REFRESHER_DEADLINE": "2"}, requests_per_minute=0) as found:
        found.connect()
        found.sandbox.state.reset_counters()
        yield found


@contextmanager
def forking(found: Pleo) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """A process whose thread is in the middle of a refresh, and the child that it forked then."""
    environ = {**os.environ, **found.environ, "PYTHONPATH": str(ROOT)}
    parent = subprocess.Popen([sys.executable, "-W", "ignore", "-c", CODE], env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    with parent:
        wait_for(lambda: found.record().intent is not None, 60)
        go_on(parent)
        assert parent.stdout is not None
        yield parent, int(parent.stdout.readline())
        parent.kill()


def go_on(process: subprocess.Popen[bytes]) -> None:
    assert process.stdin is not None
    process.stdin.write(b".")
    process.stdin.flush()


def test_a_child_does_not_keep_its_dead_parents_lock(stored: Pleo) -> None:
    stored.sandbox.state.set_faults(Fault("hang", path="/oauth/token$", times=1))
    with forking(stored) as (parent, _child):
        parent.kill()
        parent.wait()
        stored.sandbox.state.set_faults()
        # RefreshUnavailable if the child, which lives and has no part in it, kept the lock.
        stored.manager(lock_timeout=30.0, deadline=2.0).refresh()
        go_on(parent)  # the pipe is the child's too
        assert parent.stdout is not None and parent.stdout.readline() == b"True\n"
    assert stored.counted("refreshes") == 1 and stored.counted("reuse") == 0
    assert stored.record().state is State.ACTIVE and stored_token_lives(stored)


def test_a_killed_child_does_not_take_its_parents_lock_along(stored: Pleo) -> None:
    stored.sandbox.state.set_faults(Fault("delay_after", path="/oauth/token$", times=1, seconds=1.0))
    with forking(stored) as (parent, child):
        os.kill(child, signal.SIGKILL)
        assert parent.stdout is not None and parent.stdout.readline() == b"joined\n"
    assert stored.counted("refreshes") == 1 and stored.counted("reuse") == 0
    assert stored.record().generation == 2 and stored_token_lives(stored)
