"""A server that has read a refresh and comes to it only when its sender has given up: the token must not be sent a second time meanwhile."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pleo_connector.auth import CredentialManager, Secret
from pleo_connector.auth.stores import State
from pleo_connector.errors import ReauthRequired, RefreshUnavailable
from pleo_connector.sandbox import Fault
from tests.auth.harness import Pleo, pleo
from tests.auth.storms import child_of, forker, in_store, stored_token_lives, wait_for

LATE = 4.0

pytestmark = pytest.mark.slow


@pytest.fixture(params=["sqlite", "postgresql"])
def stored(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pleo]:
    environ = in_store(request.param) | {"REFRESHER_DEADLINE": "1"}
    with pleo(tmp_path, environ, requests_per_minute=0) as found:
        found.connect()
        found.sandbox.state.reset_counters()
        found.sandbox.state.set_faults(Fault("late", path="/oauth/token$", times=1, seconds=LATE))
        yield found


def reported_and_not_sent_again(found: Pleo, manager: CredentialManager, before: Secret) -> None:
    assert found.counted("refreshes") == 1, "the server came to it in the end"
    with pytest.raises(ReauthRequired, match="rotation uncertain"):
        manager.access_token(rejected=before)
    assert found.counted("token_requests") == 1 and found.counted("reuse") == 0
    assert not stored_token_lives(found)


@pytest.mark.parametrize("oracle", ["introspection", "the API"])
def test_an_owner_that_was_killed(stored: Pleo, oracle: str) -> None:
    if oracle == "the API":
        stored.sandbox.state.set_faults(
            Fault("late", path="/oauth/token$", times=1, seconds=LATE), Fault("status", path="/oauth/token/introspect", status=404)
        )
    with forker(stored) as process:
        pid = child_of(process)
        wait_for(lambda: stored.sandbox.counters()["faults"].get("late") == 1 and stored.record().state is State.REFRESHING)
        os.kill(pid, signal.SIGKILL)
        manager = stored.manager(settle=3 * LATE, deadline=1.0)
        before = manager.tokens().access
        if not stored.settings.token_store.startswith("postgresql"):  # there the owner may live, and is waited for
            assert manager.access_token() == before, "it works still, and is used"
            assert stored.counted("refreshes") == 0, "nobody waits for what a dead process began"
        wait_for(lambda: stored.counted("refreshes") == 1)
    reported_and_not_sent_again(stored, manager, before)


def test_a_caller_whose_own_request_took_too_long(stored: Pleo) -> None:
    """It gives up after a second, and the server comes to it some seconds later."""
    manager = stored.manager(settle=3 * LATE, deadline=1.0)
    before = manager.tokens().access
    done: list[BaseException] = []

    def refresh() -> None:
        try:
            manager.refresh()
        except (ReauthRequired, RefreshUnavailable) as error:
            done.append(error)

    caller = threading.Thread(target=refresh)
    caller.start()
    caller.join(30)
    assert [type(error) for error in done] == [ReauthRequired]
    reported_and_not_sent_again(stored, manager, before)


def test_what_does_not_come_through_is_sent_again_after_a_while(stored: Pleo) -> None:
    """The connection breaks before the server reads: once it could no longer be at work, a second request is safe."""
    stored.sandbox.state.set_faults(Fault("reset", path="/oauth/token$", times=1))
    manager = stored.manager(settle=1.5, deadline=1.0)
    before = manager.tokens().access
    started = time.monotonic()
    manager.refresh()
    assert time.monotonic() - started >= 1.5
    assert manager.tokens().access != before
    assert stored.counted("refreshes") == stored.counted("token_requests") == 1 and stored.counted("reuse") == 0


def test_a_server_that_was_later_than_anybody_waits_is_not_called_a_revocation(stored: Pleo) -> None:
    manager = stored.manager(settle=0.05, deadline=1.0, jitter=lambda *_: LATE)
    with pytest.raises(ReauthRequired, match=r"rotation uncertain.*was not answered, and the next one was refused"):
        manager.refresh()
