"""The owner of a refresh is stopped (SIGSTOP) when Pleo has rotated the tokens and the answer is on its way, and goes on much later.

A full minute with PLEO_PROOF_SCALE=1. Others want new tokens meanwhile: none of them may send the old refresh token, and what the
owner wakes up to is not lost. The answer waits in the owner's socket all the while.
"""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from pleo_connector.auth.stores import State
from pleo_connector.sandbox import Fault
from tests.auth.harness import Pleo, pleo, saw
from tests.auth.storms import SCALE, begin, in_store, start, stored_token_lives, wait_for
from tests.postgres_server import end_locks

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

STOP = 60 * SCALE


def with_deadline(found: Pleo, seconds: float) -> Pleo:
    """The same, where an owner that was cut off is given up after a quarter more than that."""
    return replace(found, environ=found.environ | {"REFRESHER_DEADLINE": str(seconds)})


@contextmanager
def stopped_owner(found: Pleo) -> Iterator[subprocess.Popen[str]]:
    """A process that is stopped between the rotation at Pleo and the answer."""
    found.sandbox.state.set_faults(Fault("delay_after", path="/oauth/token$", times=1, seconds=1.0))
    owner = start(found, "once")
    try:
        wait_for(lambda: found.counted("refreshes") == 1, 300)
        owner.send_signal(signal.SIGSTOP)
        found.sandbox.state.set_faults()
        saw(stops=1)
        yield owner
    finally:
        owner.kill()
        owner.communicate()


def goes_on(owner: subprocess.Popen[str]) -> str:
    """Let it; what it warned of."""
    owner.send_signal(signal.SIGCONT)
    out, err = owner.communicate(timeout=120)
    assert out == "ready\ndone\n", err
    return err


@pytest.fixture
def hosts(tmp_path: Path) -> list[dict[str, str]]:
    """What two other hosts have of their own: what they have seen of stores."""
    return [{"PLEO_HOST_MARKS": str(tmp_path / name)} for name in ("host-one", "host-two")]


@contextmanager
def insisting(found: Pleo, hosts: list[dict[str, str]]) -> Iterator[list[subprocess.Popen[str]]]:
    """A process on each host that wants new tokens until it has them."""
    others = [start(replace(found, environ=found.environ | host), "insist") for host in hosts]
    try:
        begin(others)
        yield others
    finally:
        for other in others:
            other.kill()
            other.communicate()


def met_by(others: list[subprocess.Popen[str]]) -> Counter[str]:
    """The errors that they met until they had new tokens."""
    met: Counter[str] = Counter()
    for other in others:
        out, err = other.communicate(timeout=120)
        assert err == ""
        met.update(json.loads(out))
    return met


def test_an_owner_that_is_stopped_keeps_its_lock_and_its_tokens(stored: Pleo, hosts: list[dict[str, str]]) -> None:
    """A stopped process still holds a file lock and a session: others wait, and go on with what it brings."""
    on_one_host = "://" not in stored.environ["PLEO_TOKEN_STORE"]
    found = with_deadline(stored, 20.0)
    with stopped_owner(found) as owner, insisting(found, [{}, {}] if on_one_host else hosts) as others:
        time.sleep(STOP)
        assert found.counted("token_requests") == 1, "nobody else sends the old refresh token"
        assert goes_on(owner) == ""
        met = met_by(others)
    kept = found.record().generation == 2 and found.record().state is State.ACTIVE and stored_token_lives(found)
    saw(lost=not kept, waits_given_up=met["RefreshUnavailable"])
    assert kept, found.record().reason
    assert set(met) == {"RefreshUnavailable"}, "a passing trouble, and nothing that a person would have to mend"
    assert found.counted("token_requests") == 1 and found.counted("reuse") == found.counted("revoked_grants") == 0


@pytest.fixture
def on_postgres(tmp_path: Path) -> Iterator[Pleo]:
    """The one store that can lose a lock whose owner lives: a file lock ends with its process alone."""
    with pleo(tmp_path, in_store("postgresql"), requests_per_minute=0) as found:
        found.connect()
        found.sandbox.state.reset_counters()
        yield with_deadline(found, 4.0)


@contextmanager
def given_up_by(found: Pleo, hosts: list[dict[str, str]]) -> Iterator[list[subprocess.Popen[str]]]:
    """The stopped owner's session ends too; another host gets the lock, waits for the owner's deadline, and says what Pleo tells."""
    began = time.monotonic()
    assert end_locks(found.environ["PLEO_TOKEN_STORE"]) == 1
    with insisting(found, hosts) as others:
        wait_for(lambda: found.record().state is State.REAUTH_REQUIRED, 300)
        assert "rotation uncertain" in found.record().reason and not stored_token_lives(found), "an honest report"
        time.sleep(max(0.0, began + STOP - time.monotonic()))
        assert found.counted("token_requests") == 1, "nobody else sends the old refresh token"
        saw(given_up=1)
        yield others


def test_an_owner_that_was_given_up_brings_its_tokens_all_the_same(on_postgres: Pleo, hosts: list[dict[str, str]]) -> None:
    with stopped_owner(on_postgres) as owner, given_up_by(on_postgres, hosts) as others:
        assert goes_on(owner) == ""
        met = met_by(others)
    rescued = on_postgres.record().generation == 2 and on_postgres.record().state is State.ACTIVE and stored_token_lives(on_postgres)
    saw(lost=not rescued, rescued=rescued)
    assert rescued, on_postgres.record().reason
    assert met["ReauthRequired"] and set(met) <= {"RefreshUnavailable", "ReauthRequired"}
    assert on_postgres.counted("token_requests") == 1
    assert on_postgres.counted("reuse") == on_postgres.counted("revoked_grants") == 0


def test_an_owner_that_was_given_up_leaves_a_newer_login_alone(on_postgres: Pleo, hosts: list[dict[str, str]]) -> None:
    with stopped_owner(on_postgres) as owner, given_up_by(on_postgres, hosts) as others:
        on_postgres.connect()
        met = met_by(others)
        login = on_postgres.record().blob
        assert "a newer login was stored meanwhile; its tokens are used, these are dropped" in goes_on(owner)
    assert (on_postgres.record().blob, on_postgres.record().generation) == (login, 2), "its late tokens are of the older grant"
    saw(lost=not stored_token_lives(on_postgres))
    assert stored_token_lives(on_postgres) and met["ReauthRequired"]
    assert on_postgres.counted("reuse") == on_postgres.counted("revoked_grants") == 0
