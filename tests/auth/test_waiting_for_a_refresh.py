"""One process refreshes and Pleo is slow: the others wait, nobody sends the refresh token twice, and nobody waits for ever."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from pleo_connector.auth.stores import State
from pleo_connector.errors import RefreshUnavailable
from pleo_connector.sandbox import Fault
from tests.auth.harness import Pleo, saw
from tests.auth.storms import scaled, start, told_by, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

PROCESSES, THREADS = 8, 25

# The design wants waiters served 2 s after the commit, which the table shows, measured. Held to here is ten times that, which a slow
# and busy machine keeps too: a waiter that missed the commit would sleep until the lock's timeout, 60 s, or a backoff's end.
LATEST = 20.0


def test_200_waiters_wait_for_one_slow_post(stored: Pleo, tmp_path: Path) -> None:
    delay = scaled(15, 3)
    more = tmp_path / "more"
    more.touch()
    running = [start(stored, "call-while", str(more), str(THREADS)) for _ in range(PROCESSES)]
    wait_for(lambda: stored.counted("requests") >= 2 * PROCESSES * THREADS, 300)
    stored.sandbox.state.set_faults(Fault("delay_before", path="/oauth/token$", times=1, seconds=delay))
    stored.sandbox.state.expire_access_tokens()
    wait_for(lambda: stored.record().generation == 2, delay + 60)
    more.unlink()
    told = told_by(running, 120)
    assert sum(one["failed"] for one in told) == 0, told
    assert stored.counted("token_requests") == stored.counted("refreshes") == 1 and stored.counted("reuse") == 0
    committed = stored.record().refreshed_at
    assert committed is not None
    late = [ended - committed for one in told for began, ended in one["long"] if began < committed < ended]
    saw(waiters=len(late), last_waiter_served_after_ms=round(1000 * max(late)))
    assert len(late) > PROCESSES * THREADS / 2, "they did wait; on a busy machine some may have been between two calls"
    assert max(late) <= LATEST


def test_who_waits_for_too_long_gets_a_passing_error_and_sends_nothing(stored: Pleo) -> None:
    stored.sandbox.state.set_faults(Fault("delay_before", path="/oauth/token$", times=1, seconds=3.0))
    token = stored.manager().access_token()
    owner = threading.Thread(target=stored.manager(deadline=20.0).refresh)
    owner.start()
    wait_for(lambda: stored.sandbox.counters()["faults"] == {"delay_before": 1})
    waiting = stored.manager(lock_timeout=0.5)
    began = time.monotonic()
    with pytest.raises(RefreshUnavailable, match=r"did not finish within 0\.5 s; try again"):
        waiting.access_token(rejected=token)
    saw(waits_given_up=1)
    assert stored.record().state is State.REFRESHING and time.monotonic() - began < 60
    owner.join(60)
    assert waiting.access_token(rejected=token) != token
    assert stored.counted("token_requests") == stored.counted("refreshes") == 1 and stored.counted("reuse") == 0
