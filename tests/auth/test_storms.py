"""The long tests of the credentials layer, at the full counts with PLEO_PROOF_SCALE=1; the sandbox's counters judge.

`python -m benchmarks.credentials` makes the table of docs/credentials-proof.md of them.
"""

from __future__ import annotations

import asyncio
import os
import random
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from cryptography.fernet import Fernet

from pleo_connector import auth
from pleo_connector.auth.connection import binding_of, keys_of
from pleo_connector.auth.stores import State, open_store
from pleo_connector.errors import PleoError
from pleo_connector.sandbox import Fault
from tests.auth import test_refreshing_a_token as refreshing
from tests.auth.harness import Pleo, pleo, saw
from tests.auth.reading import PAGES, ROWS, read_entries
from tests.auth.storms import (
    QUICK,
    ROOT,
    SCALE,
    call_together,
    child_of,
    forker,
    in_store,
    scaled,
    start,
    stored_token_lives,
    told_by,
    verdict,
    wait_for,
)
from tests.postgres_server import server

pytestmark = [pytest.mark.slow, pytest.mark.timeout(4000)]


def calling(found: Pleo, processes: int, threads: int, seconds: float) -> list[subprocess.Popen[str]]:
    return [start(found, "call", str(threads), str(seconds)) for _ in range(processes)]


def clocks(*ahead: str) -> list[tuple[str, ...]]:
    """What starts one process for each, with that clock."""
    return [(sys.executable, "-m", "tests.auth.wrong_clock", one) for one in ahead]


def wait_for_calls(found: Pleo, processes: int) -> None:
    wait_for(lambda: found.counted("requests") >= 20 * processes, 60)


# --- 2: coroutines -----------------------------------------------------------------------------


def test_64_coroutines_in_one_loop_and_in_four(tmp_path: Path) -> None:
    """Tokens that are killed; those that end by themselves are in test_tokens_that_fall_due.py."""
    expiries = scaled(20)
    with pleo(tmp_path, requests_per_minute=0) as found:
        found.connect()
        auth_ = auth.build_auth(found.settings)
        answers: list[int] = []

        async def many(count: int) -> None:
            async with httpx.AsyncClient(base_url=found.url, auth=auth_, trust_env=False) as client:
                answers.extend(answer.status_code for answer in await asyncio.gather(*(client.get("/v1/introspect") for _ in range(count))))

        for _ in range(expiries):
            for loops in (1, 4):
                found.sandbox.state.reset_counters()
                found.sandbox.state.expire_access_tokens()
                threads = [threading.Thread(target=lambda loops=loops: asyncio.run(many(64 // loops))) for _ in range(loops)]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()
                assert found.counted("refreshes") == 1 and found.counted("reuse") == 0
                saw(refreshes=1)
        assert answers == [200] * 128 * expiries
        saw(calls=len(answers))


# --- 4: kills in the window --------------------------------------------------------------------


def test_kills_in_the_window_that_no_client_can_close(stored: Pleo) -> None:
    with forker(stored) as process:
        for _ in range(scaled(50)):
            before = stored.counted("refreshes")
            stored.sandbox.state.set_faults(Fault("delay_after", path="/oauth/token$", times=1, seconds=0.3))
            pid = child_of(process)
            wait_for(lambda before=before: stored.counted("refreshes") > before)
            os.kill(pid, signal.SIGKILL)
            stored.sandbox.state.set_faults()
            assert verdict(stored, deadline=QUICK) == "reported"
    assert stored.counted("reuse") == 0


# --- 5: signals during the POST ----------------------------------------------------------------


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_signals_during_a_slow_post_lose_nothing(tmp_path: Path, kind: str) -> None:
    """Seventy in each store; runs that Dagster cancels are in tests/orchestration/test_cancelling_a_run_that_refreshes.py."""
    numbers = [signal.SIGINT, signal.SIGTERM] * scaled(35, 2)
    lanes = 4
    stores = [in_store(kind) for _ in range(lanes)]  # not in the threads: they would each start a server

    def interrupted(lane: int) -> int:
        (tmp_path / str(lane)).mkdir()
        with pleo(tmp_path / str(lane), stores[lane], requests_per_minute=0) as found:
            found.connect()
            found.sandbox.state.reset_counters()
            for done, number in enumerate(numbers[lane::lanes], 1):
                found.sandbox.state.set_faults(Fault("delay_after", path="/oauth/token$", times=1, seconds=3.0 if SCALE == 1 else 0.6))
                process = start(found, "verb")
                wait_for(lambda done=done: found.counted("refreshes") == done, 90)
                process.send_signal(number)
                _, err = process.communicate(timeout=60)
                assert "KeyboardInterrupt" in err
                assert found.record().generation == done + 1 and found.record().state is State.ACTIVE
                assert stored_token_lives(found)
            assert found.counted("reuse") == 0
        return len(numbers[lane::lanes])

    with ThreadPoolExecutor(lanes) as pool:
        saw(signals=sum(pool.map(interrupted, range(lanes))))


# --- 6: lost answers ---------------------------------------------------------------------------


@pytest.mark.parametrize("oracle", ["introspection", "probe", "none"])
def test_every_fault_again_and_again(connected: Pleo, oracle: str) -> None:
    for _ in range(scaled(20)):
        for kind, more in refreshing.UNPROCESSED:
            refreshing.test_a_refresh_that_was_not_processed_is_done_again(connected, oracle, kind, more)
            saw(faults=1, refreshes=connected.counted("refreshes"))
            assert connected.sandbox.counters()["by_path"]["/oauth/token"] <= 2
        for kind, more in refreshing.ROTATED:
            refreshing.test_a_rotation_whose_answer_was_lost_is_reported(connected, oracle, kind, more)
            saw(faults=1, refreshes=connected.counted("refreshes"), reuse=connected.counted("reuse"), reported=1)
            saw(lost=not stored_token_lives(connected), false_alarms=stored_token_lives(connected))
            assert connected.sandbox.counters()["by_path"]["/oauth/token"] == (2 if oracle == "none" else 1)
        connected.connect()
        connected.sandbox.state.reset_counters()


# --- 8: revoked elsewhere ----------------------------------------------------------------------


def test_a_grant_revoked_elsewhere_is_asked_about_once(stored: Pleo) -> None:
    seconds = scaled(30, 8)
    running = calling(stored, 8, 2, seconds)
    wait_for_calls(stored, 8)
    stored.sandbox.state.reset_counters()
    stored.sandbox.state.revoke_grants()
    told = told_by(running, seconds + 60)
    errors = {str(error) for one in told for error in one["errors"]}
    assert errors and all(error.startswith("ReauthRequired") and "pleo-connector connect" in error for error in errors), errors
    told_by(calling(stored, 2, 2, 1), 60)
    assert stored.counted("token_requests") == 1, "after a restart too nobody asks again"
    saw(token_requests=1)


# --- 13: tokens that die between pages ---------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "ahead"),
    [
        ("postgresql", ("0", "300", "-300", "-3600@4", "3600@6")),
        ("sqlite", ("0", "300", "-300", "300@4", "-300@6")),
        ("sqlite", ("-3600@4",) * 5),  # the processes of one host have one clock, which somebody sets
        ("sqlite", ("3600@4",) * 5),
    ],
)
def test_clocks_that_are_wrong_or_set_fail_no_call(tmp_path: Path, kind: str, ahead: tuple[str, ...]) -> None:
    """Each process has a clock of its own, and an access token dies every two seconds."""
    seconds = scaled(60, 12)
    kills = range(int(seconds / 2) - 1)

    with pleo(tmp_path, in_store(kind), requests_per_minute=0) as found:
        found.connect()
        found.sandbox.state.reset_counters()

        def kill() -> None:
            for _ in kills:
                time.sleep(2.0)
                found.sandbox.state.expire_access_tokens()

        call_together(found, clocks(*ahead), 4, seconds, meanwhile=kill)
        assert len(kills) <= found.counted("refreshes") <= 2 * len(kills)
        assert found.counted("reuse") == 0 and found.counted("revoked_grants") == 0


def test_hosts_that_share_a_server_go_by_its_clock(tmp_path: Path) -> None:
    """Their own clocks differ by more than a token lives: by those, each would replace what the other just got."""
    seconds, lifetime = scaled(60, 16), 4.0
    with pleo(tmp_path, in_store("postgresql"), access_token_lifetime=lifetime, requests_per_minute=0) as found:
        found.connect()
        found.sandbox.state.reset_counters()
        took = call_together(found, clocks("0", "300", "-300", "-3600@4", "3600@8"), 4, seconds)
        assert seconds / lifetime - 1 <= found.counted("refreshes") <= 2 * (took / (lifetime / 2) + 1)
        assert found.counted("reuse") == 0 and found.counted("revoked_grants") == 0


def test_a_token_that_dies_after_each_page_costs_no_row(tmp_path: Path) -> None:
    with pleo(tmp_path, requests_per_minute=0, rows=ROWS) as found:
        found.connect()
        with found.client() as client:
            ids = read_entries(client, found.sandbox.state.expire_access_tokens)
        assert len(ids) == len(set(ids)) == ROWS
        assert found.counted("refreshes") == PAGES - 1 and found.counted("reuse") == 0
        saw(rows=len(ids), tokens_killed=PAGES)


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_a_token_that_dies_costs_one_refresh_for_eight_reading_processes(tmp_path: Path, kind: str) -> None:
    kills = scaled(50)
    with pleo(tmp_path, in_store(kind), requests_per_minute=0, rows=ROWS) as found:
        found.connect()
        found.sandbox.state.reset_counters()
        progress = [tmp_path / f"pages-{number}" for number in range(8)]
        for file in progress:
            file.touch()
        running = [start(found, "read", str(file)) for file in progress]
        wait_for(lambda: all(file.stat().st_size for file in progress), 300)
        for number in range(1, kills + 1):
            # Two tokens that die within one call are a refusal, and rightly so: each call is to meet one at most.
            before = [file.stat().st_size for file in progress]
            wait_for(lambda before=before: all(file.stat().st_size >= two + 2 for file, two in zip(progress, before, strict=True)), 120)
            found.sandbox.state.expire_access_tokens()
            wait_for(lambda number=number: found.counted("refreshes") >= number, 120)
        for file in progress:
            file.unlink()
        told = told_by(running, 60)
        assert sum(one["failed"] for one in told) == 0, told
        assert found.counted("refreshes") == found.counted("token_requests") == kills
        saw(tokens_killed=kills)


def refreshing_into(found: Pleo, tokens: list[object]) -> None:
    tokens.append(found.manager().refresh())


# --- 14, 11: the server of the store -----------------------------------------------------------


def test_the_stores_server_is_restarted_while_tokens_are_under_way(tmp_path: Path) -> None:
    with server() as postgres:
        environ = {"PLEO_TOKEN_STORE": postgres.url(), "PLEO_TOKEN_KEYS": Fernet.generate_key().decode()}
        with pleo(tmp_path, environ, requests_per_minute=0) as found:
            found.connect()
            found.sandbox.state.reset_counters()
            for number in range(1, scaled(5, 2) + 1):
                found.sandbox.state.set_faults(Fault("delay_after", path="/oauth/token$", times=1, seconds=0.5))
                tokens: list[object] = []
                owner = threading.Thread(target=refreshing_into, args=(found, tokens))
                owner.start()
                wait_for(lambda number=number: found.counted("refreshes") == number)
                postgres.stop()
                time.sleep(30 * SCALE)
                postgres.start()
                owner.join(60)
                assert tokens == [found.manager().tokens()] and found.record().generation == number + 1
                saw(restarts=1, lost=not stored_token_lives(found))
            assert found.counted("reuse") == 0


# --- 15: an operator meanwhile -----------------------------------------------------------------


def test_logins_and_disconnects_during_a_refresh(stored: Pleo) -> None:
    for _ in range(scaled(25)):
        stored.sandbox.state.reset_counters()
        refreshing.test_a_login_during_a_refresh_wins(stored)
        saw(operator=1, refreshes=1)
        assert stored.counted("reuse") == 0
        stored.sandbox.state.reset_counters()
        refreshing.test_disconnect_waits_for_a_refresh_and_is_final(stored)
        saw(operator=1, refreshes=1)
        assert stored.counted("reuse") == 0
        stored.connect()
    stored.sandbox.state.reset_counters()


# --- 28: httpx2 beside httpx -------------------------------------------------------------------


def test_with_and_without_httpx2_beside_httpx_all_is_the_same(tmp_path: Path) -> None:
    """Authlib's own integration would rather import it. The whole suite runs beside it; here some of it runs without."""
    both = "import httpx, httpx2; assert not issubclass(httpx2.ConnectError, httpx.ConnectError)"
    assert subprocess.run([sys.executable, "-c", both], check=False).returncode == 0
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['httpx2'] = None\n")
    environ = {**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}"}
    without = "import importlib.util\ntry:\n    import httpx2\nexcept ImportError:\n    print('hidden')"
    assert subprocess.check_output([sys.executable, "-c", without], env=environ, text=True) == "hidden\n"
    tests = [
        f"tests/auth/test_{name}.py"
        for name in ("asking_the_token_endpoint", "refreshing_a_token", "logging_in", "sending_credentials_only_to_pleo")
    ]
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", *tests]
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:]
    saw(tests=int(done.stdout.split(" passed")[0].split()[-1]))


# --- 29: the soak ------------------------------------------------------------------------------

SOAK = float(os.environ.get("PLEO_SOAK_SECONDS", "120"))


@pytest.mark.timeout(8000)
def test_soak(tmp_path: Path) -> None:
    """Four processes, tokens of five seconds, faults in two of a hundred requests, and a kill every ten seconds."""
    dice = random.Random(3)
    lost_answers = [Fault("truncated", probability=0.005), Fault("reset", probability=0.01), Fault("status", status=503, probability=0.005)]
    faults = [
        Fault(one.kind, path=path, status=one.status, probability=one.probability) for one in lost_answers for path in ("/oauth", "/v1")
    ]
    with pleo(tmp_path, access_token_lifetime=5.0, requests_per_minute=0) as found:
        found.connect()
        found.sandbox.state.set_faults(*faults)
        running = calling(found, 4, 2, SOAK + 60)
        end = time.monotonic() + SOAK
        next_kill = time.monotonic() + 10
        while time.monotonic() < end:
            time.sleep(0.25)
            if time.monotonic() >= next_kill:
                next_kill += 10
                place = dice.randrange(len(running))
                running[place].kill()
                running[place].communicate()
                running[place] = start(found, "call", "2", str(max(5.0, end - time.monotonic() + 60)))
                saw(kills=1)
            if found.record().state is State.REAUTH_REQUIRED:
                saw(reported=1, **_judged(found))
                found.sandbox.state.set_faults()
                found.connect()
                found.sandbox.state.set_faults(*faults)
        for process in running:
            process.kill()
            process.communicate()
        found.sandbox.state.set_faults()
        try:
            found.manager().refresh()
        except PleoError:
            saw(reported=1, **_judged(found))
        else:
            assert stored_token_lives(found)
        assert found.counted("reuse") == 0 and found.counted("revoked_grants") == 0
        assert found.counted("refreshes") >= SOAK / 5 * 0.5


def _judged(found: Pleo) -> dict[str, int]:
    """What the sandbox knows of a grant that was given up: rotated, and the new tokens are not in the store."""
    opened = open_store(found.environ["PLEO_TOKEN_STORE"])
    keys = keys_of(found.settings, opened)
    assert keys is not None
    tokens = keys.open(found.record().blob or b"", binding_of(found.settings))
    with found.sandbox.state.lock:
        grant = found.sandbox.state.oauth._issued[tokens.refresh.reveal()]
        rotated = not grant.revoked and grant.refresh_token != tokens.refresh.reveal()
    assert rotated, "a false alarm"
    return {"lost": int(rotated), "false_alarms": int(not rotated)}
