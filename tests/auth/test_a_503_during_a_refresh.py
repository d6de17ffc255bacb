"""Pleo answers 503 to a refresh: the refresh token is sent again only when no server can still be at work on the first request.

Decision 57. The clock is the sandbox's and the waiter's, and it moves when somebody sleeps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from pleo_connector.auth import CredentialManager
from pleo_connector.auth.rotation import SETTLE
from pleo_connector.auth.stores import State
from pleo_connector.errors import ReauthRequired, RefreshUnavailable
from pleo_connector.sandbox import Fault
from tests.auth.harness import Pleo, pleo
from tests.auth.test_backing_off import SharedTime, posts

UNAVAILABLE = Fault("status", path="/oauth/token$", status=503)
BROKEN = Fault("status", path="/oauth/token$", status=502, times=1)
NO_INTROSPECTION = Fault("status", path="/oauth/token/introspect", status=404)


def times(fault: Fault, count: int, **more: object) -> Fault:
    return Fault(fault.kind, path=fault.path, status=fault.status, times=count, **more)  # type: ignore[arg-type]


@pytest.fixture
def time_() -> SharedTime:
    return SharedTime()


@pytest.fixture
def found(tmp_path: Path, time_: SharedTime) -> Iterator[Pleo]:
    with pleo(tmp_path, clock=time_, requests_per_minute=0) as found:
        found.connect()
        found.sandbox.state.reset_counters()
        yield found


def manager_of(found: Pleo, time_: SharedTime) -> CredentialManager:
    return found.manager(clock=time_, monotonic=time_, sleep=time_.sleep, settle=SETTLE)


def without_oracle(found: Pleo, time_: SharedTime, *faults: Fault) -> CredentialManager:
    """A manager of a grant that can be asked about in no way: the server does not introspect, and the access token has expired."""
    found.sandbox.state.set_faults(NO_INTROSPECTION)
    found.connect()
    found.sandbox.state.reset_counters()
    found.sandbox.state.set_faults(*faults, NO_INTROSPECTION)
    time_.now += 1000
    return manager_of(found, time_)


def test_an_ordinary_503_costs_one_wait(found: Pleo, time_: SharedTime) -> None:
    found.sandbox.state.set_faults(times(UNAVAILABLE, 1))
    manager_of(found, time_).refresh()
    assert len(time_.waits) == 1 and SETTLE - 1 <= time_.waits[0] <= SETTLE
    assert posts(found) == 2 and found.counted("refreshes") == 1 and found.counted("reuse") == 0


def test_nobody_waits_while_the_present_token_lives(stored: Pleo) -> None:
    stored.sandbox.state.set_faults(UNAVAILABLE)
    with pytest.raises(RefreshUnavailable, match="503"):
        stored.manager(settle=SETTLE, sleep=lambda _: None).refresh()
    waits: list[float] = []
    elsewhere = stored.manager(settle=SETTLE, sleep=waits.append)
    assert elsewhere.access_token() == elsewhere.tokens().access
    assert waits == [] and posts(stored) == 1 and stored.record().state is State.REFRESHING
    with stored.client() as client:
        assert client.get("/v1/introspect").status_code == 200


def test_retry_after_is_kept_and_nothing_is_asked_meanwhile(found: Pleo, time_: SharedTime) -> None:
    found.sandbox.state.set_faults(times(UNAVAILABLE, 1, retry_after=90))
    manager_of(found, time_).refresh()
    assert len(time_.waits) == 1 and 89 <= time_.waits[0] <= 90
    assert posts(found) == 2 and found.sandbox.counters()["by_path"]["/oauth/token/introspect"] == 1


@pytest.mark.parametrize("retry_after", [None, 7])
def test_a_503_after_the_rotation_is_reported_and_the_token_is_not_sent_again(
    found: Pleo, time_: SharedTime, retry_after: int | None
) -> None:
    found.sandbox.state.set_faults(times(UNAVAILABLE, 1, after_effect=True, retry_after=retry_after))
    with pytest.raises(ReauthRequired, match=r"rotation uncertain.*pleo-connector connect"):
        manager_of(found, time_).refresh()
    assert found.record().state is State.REAUTH_REQUIRED
    assert found.counted("token_requests") == 1 and found.counted("reuse") == 0


@dataclass
class Gateway(httpx.BaseTransport):
    """Answers 503 to the first refresh, and hands it to the server all the same, three seconds later."""

    time_: SharedTime
    behind: httpx.HTTPTransport = field(default_factory=httpx.HTTPTransport)
    held: httpx.Request | None = None

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/oauth/token" and self.held is None:
            self.held = request
            return httpx.Response(503, text="upstream connect error")
        return self.behind.handle_request(request)

    def sleep(self, seconds: float) -> None:
        self.time_.sleep(3.0)
        if self.held is not None and self.time_.waits == [3.0]:
            self.behind.handle_request(self.held).read()
        self.time_.sleep(max(0.0, seconds - 3.0))


def test_a_server_that_goes_on_behind_the_503_gets_the_token_once(found: Pleo, time_: SharedTime) -> None:
    gateway = Gateway(time_)
    manager = found.manager(clock=time_, monotonic=time_, sleep=gateway.sleep, settle=SETTLE, transport=gateway)
    with pytest.raises(ReauthRequired, match="rotation uncertain"):
        manager.refresh()
    assert found.counted("token_requests") == found.counted("refreshes") == 1 and found.counted("reuse") == 0


# --- when nobody can tell --------------------------------------------------------------------


def test_any_number_of_503_is_no_lost_grant(found: Pleo, time_: SharedTime) -> None:
    manager = without_oracle(found, time_, UNAVAILABLE)
    for _ in range(2):
        with pytest.raises(RefreshUnavailable, match="503"):
            manager.access_token()
    assert posts(found) > 6 and found.record().state is not State.REAUTH_REQUIRED
    found.sandbox.state.set_faults()
    manager.access_token()
    assert found.counted("refreshes") == 1 and found.counted("reuse") == 0


@pytest.mark.parametrize("count", [1, 3])
def test_a_503_does_not_use_up_the_one_retry(found: Pleo, time_: SharedTime, count: int) -> None:
    """A 502 leaves one retry. It meets 503, and is still there afterwards."""
    without_oracle(found, time_, BROKEN, times(UNAVAILABLE, count)).access_token()
    assert posts(found) == count + 2 and found.counted("refreshes") == 1 and found.counted("reuse") == 0


def test_a_503_before_a_502_leaves_the_one_retry(found: Pleo, time_: SharedTime) -> None:
    without_oracle(found, time_, times(UNAVAILABLE, 1), BROKEN).access_token()
    assert posts(found) == 3 and found.counted("refreshes") == 1 and found.counted("reuse") == 0


def test_a_503_does_not_renew_the_one_retry_either(found: Pleo, time_: SharedTime) -> None:
    manager = without_oracle(found, time_, BROKEN, times(UNAVAILABLE, 1), BROKEN)
    with pytest.raises(ReauthRequired, match="rotation uncertain"):
        manager.access_token()
    assert posts(found) == 3


def test_a_refusal_after_a_503_is_not_called_a_revocation(found: Pleo, time_: SharedTime) -> None:
    manager = without_oracle(found, time_, times(UNAVAILABLE, 1, after_effect=True))
    with pytest.raises(ReauthRequired, match=r"rotation uncertain.*503, and the next one was refused"):
        manager.access_token()


@pytest.mark.parametrize("path", ["/", "/oauth"])
def test_an_outage_of_the_oracles_too_is_survived(found: Pleo, time_: SharedTime, path: str) -> None:
    """Introspection is down with the token endpoint, and with the API: when Pleo is back, the tokens are refreshed."""
    found.sandbox.state.set_faults(Fault("status", path=path, status=503))
    manager = manager_of(found, time_)
    with pytest.raises(RefreshUnavailable, match="503"):
        manager.refresh()
    assert found.record().state is not State.REAUTH_REQUIRED
    found.sandbox.state.set_faults()
    time_.now += 1000
    manager.access_token()
    assert found.counted("refreshes") == 1 and found.counted("reuse") == 0


@pytest.mark.parametrize("status", [503, 403])
def test_introspection_that_stays_away_does_not_keep_a_refresh_from_being_sent(found: Pleo, time_: SharedTime, status: int) -> None:
    found.sandbox.state.set_faults(times(UNAVAILABLE, 1), Fault("status", path="/oauth/token/introspect", status=status))
    time_.now += 1000
    manager_of(found, time_).access_token()
    assert posts(found) == 2 and found.counted("refreshes") == 1


@pytest.mark.parametrize("fault", [times(UNAVAILABLE, 1), BROKEN])
def test_a_login_meanwhile_wins(found: Pleo, time_: SharedTime, fault: Fault) -> None:
    found.sandbox.state.set_faults(fault)

    def login(seconds: float) -> None:
        found.connect()
        time_.sleep(seconds)

    manager = found.manager(clock=time_, monotonic=time_, sleep=login, settle=SETTLE)
    assert manager.refresh().access == manager.tokens().access
    assert found.record().state is State.ACTIVE and found.counted("refreshes") == 0
