"""Pleo is busy (429) or down (503) when tokens are refreshed: the sandbox, whose clock is the waiter's, says what came when."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pleo_connector.auth.stores import State
from pleo_connector.auth.token import TokenSet
from pleo_connector.errors import RefreshUnavailable
from pleo_connector.sandbox import Fault
from tests.auth.harness import Pleo, pleo

MOST_POSTS = 6


@dataclass
class SharedTime:
    """A clock that moves when somebody sleeps."""

    now: float = field(default_factory=time.time)
    waits: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


@pytest.fixture
def time_() -> SharedTime:
    return SharedTime()


@pytest.fixture
def found(tmp_path: Path, time_: SharedTime) -> Iterator[Pleo]:
    with pleo(tmp_path, clock=time_, requests_per_minute=0) as found:
        found.connect()
        found.sandbox.state.reset_counters()
        yield found


def refreshed(found: Pleo, time_: SharedTime) -> TokenSet:
    return found.manager(clock=time_, monotonic=time_, sleep=time_.sleep).refresh()


def posts(found: Pleo) -> int:
    return int(found.sandbox.counters()["by_path"]["/oauth/token"])


@pytest.mark.parametrize("status", [429, 503])
def test_five_refusals_with_retry_after_and_then_tokens(found: Pleo, time_: SharedTime, status: int) -> None:
    found.sandbox.state.set_faults(Fault("status", path="/oauth/token$", status=status, retry_after=7, times=MOST_POSTS - 1))
    refreshed(found, time_)
    assert posts(found) == MOST_POSTS and len(time_.waits) == MOST_POSTS - 1
    assert all(7 <= wait <= 30 for wait in time_.waits)
    assert found.counted("sent_before_retry_after") == 0
    assert found.counted("refreshes") == 1 and found.counted("reuse") == 0


@pytest.mark.parametrize("status", [429, 503])
def test_without_retry_after_the_waits_grow(found: Pleo, time_: SharedTime, status: int) -> None:
    found.sandbox.state.set_faults(Fault("status", path="/oauth/token$", status=status, times=MOST_POSTS - 1))
    refreshed(found, time_)
    assert posts(found) == MOST_POSTS
    assert all(0 <= wait <= 0.5 * 2**number for number, wait in enumerate(time_.waits, 1))
    assert found.counted("refreshes") == 1 and found.counted("reuse") == 0


@pytest.mark.parametrize("status", [429, 503])
def test_it_ends_after_six_posts_and_keeps_the_tokens(found: Pleo, time_: SharedTime, status: int) -> None:
    before = found.record()
    found.sandbox.state.set_faults(Fault("status", path="/oauth/token$", status=status, retry_after=7))
    with pytest.raises(RefreshUnavailable, match=f"{status}.*the stored tokens were kept"):
        refreshed(found, time_)
    assert posts(found) == MOST_POSTS
    # After the last 503 the time has not passed in which the server may still be at work.
    assert (found.record().blob, found.record().state) == (before.blob, State.REFRESHING if status == 503 else State.ACTIVE)
    found.sandbox.state.set_faults()
    refreshed(found, time_)
    assert found.counted("refreshes") == 1 and found.counted("reuse") == 0


def test_a_wait_of_an_hour_is_left_to_the_next_run(found: Pleo, time_: SharedTime) -> None:
    found.sandbox.state.set_faults(Fault("status", path="/oauth/token$", status=503, retry_after=3600))
    with pytest.raises(RefreshUnavailable):
        refreshed(found, time_)
    assert posts(found) == 1 and time_.waits == []
