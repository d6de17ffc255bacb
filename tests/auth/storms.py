"""Many processes on one grant, and kills among them; the sandbox's counters judge. For every store."""

from __future__ import annotations

import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet

from pleo_connector.auth.connection import binding_of, keys_of
from pleo_connector.auth.stores import State, open_store
from pleo_connector.errors import ReauthRequired
from tests.auth.harness import Pleo, pleo, saw
from tests.postgres_server import new_database

ROOT = Path(__file__).parents[2]

SCALE = float(os.environ.get("PLEO_PROOF_SCALE", "0.1"))
"""What part of the full counts the slow tests run: CI a tenth, the published table all."""

QUICK = 0.8
"""A deadline of the token endpoint's that lets a test see it pass."""


def scaled(full: int, least: int = 1) -> int:
    """So many of the full count."""
    return max(least, round(full * SCALE))


def in_store(kind: str) -> dict[str, str]:
    """The variables of a fresh store: `sqlite` or `postgresql`."""
    if kind == "sqlite":
        return {}
    return {"PLEO_TOKEN_STORE": new_database(), "PLEO_TOKEN_KEYS": Fernet.generate_key().decode()}


def start(found: Pleo, *arguments: str, by: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    """A process of `refresher_process`; `by` is a program that starts it."""
    environ = {**os.environ, **found.environ, "PYTHONPATH": str(ROOT)}
    command = [*by, sys.executable, "-m", "tests.auth.refresher_process", *arguments]
    return subprocess.Popen(
        command, env=environ, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def stampede(
    tmp_path: Path, *, processes: int, threads: int, seconds: float, lifetime: float, environ: Mapping[str, str] | None = None
) -> None:
    with pleo(tmp_path, environ, access_token_lifetime=lifetime, requests_per_minute=0) as found:
        found.connect()
        found.sandbox.state.reset_counters()
        took = call_together(found, [()] * processes, threads, seconds)
        counters = found.sandbox.counters()
        assert counters["reuse"] == 0 and counters["revoked_grants"] == 0
        # A token is due after its life less the leeway, which is half of a life as short as this.
        assert seconds / lifetime - 1 <= counters["refreshes"] <= math.floor(took / (lifetime / 2)) + 1
        assert counters["token_requests"] == counters["refreshes"], "no refresh was sent in vain"
        assert found.record().generation == counters["refreshes"] + 1


def call_together(
    found: Pleo, by: Sequence[tuple[str, ...]], threads: int, seconds: float, *, meanwhile: Callable[[], object] = lambda: None
) -> float:
    """One process for each program in `by`; they start calling at the same moment, no call fails; the seconds until the last ended."""
    running = [start(found, "wait-and-call", str(threads), str(seconds), by=one) for one in by]
    begin(running)
    began = time.monotonic()
    meanwhile()
    told = told_by(running, seconds + 60)
    took = time.monotonic() - began
    assert sum(one["failed"] for one in told) == 0, [one["errors"] for one in told]
    assert min(one["calls"] for one in told) > 0
    return took


def begin(running: Sequence[subprocess.Popen[str]]) -> None:
    """Let processes go on that wait for a line, all at the same moment."""
    assert {process.stdout.readline() for process in running if process.stdout is not None} == {"ready\n"}
    for process in running:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()


def told_by(processes: Sequence[subprocess.Popen[str]], seconds: float) -> list[dict[str, Any]]:
    """What callers or readers tell at their end, which must come within so many seconds."""
    results = [process.communicate(timeout=seconds) for process in processes]
    assert [err for _, err in results] == [""] * len(processes)
    told = [json.loads(out) for out, _ in results]
    saw(calls=sum(one["calls"] for one in told), failed=sum(one["failed"] for one in told))
    return told


def wait_for(true: object, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.005)


@contextmanager
def forker(found: Pleo) -> Iterator[subprocess.Popen[str]]:
    process = start(found, "fork")
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    try:
        yield process
    finally:
        process.communicate(timeout=10)


def child_of(process: subprocess.Popen[str]) -> int:
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write("\n")
    process.stdin.flush()
    return int(process.stdout.readline())


def verdict(found: Pleo, **injectables: Any) -> str:
    """What the connector says after a kill, checked against what the sandbox knows afterwards."""
    was_open = found.record().state is State.REFRESHING
    try:
        found.manager(**{"settle": 0.2, **injectables}).refresh()
    except ReauthRequired as error:
        reason = str(error)
    else:
        reason = ""
    saw(kills=1)
    if reason:
        assert "rotation uncertain" in reason
        saw(reported=1, lost=not stored_token_lives(found), false_alarms=stored_token_lives(found))
        assert not stored_token_lives(found), f"a false alarm: {reason}"
        found.connect()
        return "reported"
    saw(lost=not stored_token_lives(found))
    assert stored_token_lives(found)
    return "recovered" if was_open else "idle"


def stored_token_lives(found: Pleo) -> bool:
    opened = open_store(found.environ["PLEO_TOKEN_STORE"])
    keys = keys_of(found.settings, opened)
    assert keys is not None
    stored = keys.open(found.record().blob or b"", binding_of(found.settings))
    with found.sandbox.state.lock:
        return found.sandbox.state.oauth.inspect("sandbox-client", stored.refresh.reveal()) is not None


def kill_at_random(found: Pleo, kills: int, latest: float = 0.12, **injectables: Any) -> Counter[str]:
    dice = random.Random(7)
    seen: Counter[str] = Counter()
    with forker(found) as process:
        for _ in range(kills):
            before = found.counted("token_requests")
            pid = child_of(process)
            wait_for(lambda before=before: found.counted("token_requests") > before)
            time.sleep(dice.random() * latest)
            os.kill(pid, signal.SIGKILL)
            seen[verdict(found, **injectables)] += 1
    assert found.counted("reuse") == 0 and found.counted("revoked_grants") == 0
    return seen
