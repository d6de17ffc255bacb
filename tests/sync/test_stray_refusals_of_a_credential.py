"""A 401 now and then among good answers, and the permits of the requests that are sent once more."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from pleo_connector import sync
from pleo_connector.api import Budget, PageRequest, PleoClient, SharedBudget, Traffic
from pleo_connector.auth import ApiKeyAuth, Secret, build_auth
from pleo_connector.auth.stores.notes import MemoryNotes
from pleo_connector.errors import ClientRejected, RateLimited, RefreshUnavailable
from pleo_connector.sandbox import Fault
from pleo_connector.warehouses import open_warehouse
from tests.auth.harness import pleo
from tests.place import NOW, sandbox

API = "http://127.0.0.1:1"
PAGE = PageRequest("POST", "/v1/vendors:search", "vendors of company c1", params=(("limit", "100"),), body={})
STREAMS = ("companies", "employees", "vendors")
KEY = Secret("sandbox-api-key")


class Counting(Budget):
    """A budget that writes down what happens to its permits."""

    def __init__(self, per_minute: int) -> None:
        super().__init__(per_minute)
        self.seen: list[str] = []

    async def take(self) -> float:
        waited = await super().take()
        self.seen.append("permit")
        return waited

    def answered(self) -> None:
        self.seen.append("answered")


def synced(url: str, auth: httpx.Auth, folder: Path) -> tuple[sync.SyncReport, int]:
    """A sync, and how many permits it used."""
    made: list[Counting] = []

    def budget(per_minute: int) -> Counting:
        made.append(Counting(per_minute))
        return made[-1]

    connection = sync.Connection(url, auth, requests_per_minute=1_000_000, patience=2.0, budget=budget)
    report = sync.run(sync.SyncPlan(STREAMS), connection, open_warehouse(f"duckdb:///{folder / 'w.duckdb'}", "pleo"), now=NOW)
    seen = [event for one in made for event in one.seen]
    assert seen.count("permit") == seen.count("answered")
    return report, seen.count("permit")


# --- whole syncs -----------------------------------------------------------------------------


def test_an_api_key_survives_stray_401s_and_every_request_has_a_permit(tmp_path: Path) -> None:
    with sandbox() as pleo:
        key = ApiKeyAuth(KEY, [pleo.url])
        whole, permits = synced(pleo.url, key, tmp_path)
        asked_for = pleo.counters()["by_path"]
        assert permits == pleo.counters()["requests"]
        pleo.state.reset_counters()
        # One for the first request of each path.
        pleo.state.set_faults(*(Fault("status", path=f"{path}$", status=401, times=1) for path in asked_for))
        (tmp_path / "again").mkdir()
        report, more = synced(pleo.url, key, tmp_path / "again")
        strays = pleo.counters()["faults"]["status"]
        assert strays == len(asked_for) >= 3 and more == permits + strays == pleo.counters()["requests"]
        assert {name: one.tables for name, one in report.streams.items()} == {name: one.tables for name, one in whole.streams.items()}


def test_tokens_that_die_between_requests_cost_a_permit_each(tmp_path: Path) -> None:
    with pleo(tmp_path, requests_per_minute=0) as found:
        found.connect()
        found.sandbox.state.reset_counters()
        found.sandbox.state.set_faults(Fault("status", path="/v1/vendors:search$", status=401, times=1))
        found.sandbox.state.expire_access_tokens()
        _, permits = synced(found.url, build_auth(found.settings), tmp_path)
        to_the_api = sum(count for path, count in found.sandbox.counters()["by_path"].items() if not path.startswith("/oauth/"))
        assert permits == to_the_api and found.counted("refreshes") == 2 and found.counted("reuse") == 0


def test_a_key_that_is_wrong_is_told_after_its_second_401(tmp_path: Path) -> None:
    with sandbox() as pleo:
        with pytest.raises(ClientRejected, match="PLEO_API_KEY"):
            synced(pleo.url, ApiKeyAuth(Secret("of long ago"), [pleo.url]), tmp_path)
        assert pleo.counters()["by_status"] == {"401": pleo.counters()["requests"]}


# --- one request -----------------------------------------------------------------------------


def requested(budget: Budget | SharedBudget, answers: list[int], **more: Callable[..., object]) -> tuple[list[str], Traffic]:
    """What was sent, in order with what the budget saw, when Pleo answers so one after the other."""
    events: list[str] = getattr(budget, "seen", [])
    traffic = Traffic()

    def answer(_: httpx.Request) -> httpx.Response:
        events.append("sent")
        return httpx.Response(answers.pop(0))

    async def go() -> None:
        auth = ApiKeyAuth(KEY, [API])
        async with PleoClient(API, auth, budget, transport=httpx.MockTransport(answer)) as client:
            await client.fetch(PAGE, bytes, traffic)

    asyncio.run(go())
    return events, traffic


def test_the_permit_comes_before_the_second_request() -> None:
    once = ["permit", "sent", "answered"]
    events, traffic = requested(Counting(10), [401, 200])
    assert events == once * 2 and traffic.requests == 2
    events, traffic = requested(Counting(10), [200])
    assert events == once and traffic.requests == 1


def test_a_second_401_is_a_refusal_and_gives_back_what_it_had() -> None:
    budget = Counting(10)
    with pytest.raises(ClientRejected, match="PLEO_API_KEY"):
        requested(budget, [401, 401, 200])
    assert budget.seen == ["permit", "sent", "answered"] * 2


def test_a_budget_that_is_used_up_holds_the_second_request_back() -> None:
    """Of one request a minute, the second try is sent when the minute is over."""

    class Clock:
        now = 0.0

        def clock(self) -> float:
            return self.now

        async def sleep(self, seconds: float) -> None:
            self.now += seconds

    async def at_once(do: Callable[[], object]) -> object:
        return do()

    for shared in (False, True):
        clock = Clock()
        budget: Budget | SharedBudget = (
            SharedBudget(MemoryNotes(clock.clock), "key", 1, clock=clock.clock, sleep=clock.sleep, in_thread=at_once)
            if shared
            else Budget(1, clock=clock.clock, sleep=clock.sleep)
        )
        _, traffic = requested(budget, [401, 200])
        assert traffic.requests == 2 and clock.now >= 60 and traffic.waited_for_budget == pytest.approx(clock.now)


def test_a_pause_that_is_too_long_ends_the_request_before_it_is_sent_again() -> None:
    class Paused(Counting):
        async def take(self) -> float:
            waited = await super().take()
            self.pause(900)
            return waited

    budget = Paused(10)
    with pytest.raises(RateLimited):
        requested(budget, [401, 200])
    assert budget.seen == ["permit", "sent", "answered"]


# --- bearer tokens ---------------------------------------------------------------------------


def test_tokens_that_expire_on_their_way_are_no_refusal(tmp_path: Path) -> None:
    """Two of them in one request, by the clock of this machine; the third arrives in time."""
    with pleo(tmp_path, requests_per_minute=0) as found:
        found.connect()
        found.sandbox.state.set_faults(Fault("status", path="/v1/introspect", status=401, times=2))
        assert through_slow_network(found.client, expire_for=2) == 200


def test_tokens_that_always_expire_on_their_way_are_no_lost_grant(tmp_path: Path) -> None:
    with pleo(tmp_path, requests_per_minute=0) as found:
        found.connect()
        found.sandbox.state.reset_counters()
        found.sandbox.state.set_faults(Fault("status", path="/v1/introspect", status=401))
        with pytest.raises(RefreshUnavailable, match="had expired or been replaced") as caught:
            through_slow_network(found.client, expire_for=99)
        assert caught.value.exit_code == 1
        assert found.sandbox.counters()["by_path"]["/v1/introspect"] == 4


def through_slow_network(client_of: Callable[..., httpx.Client], *, expire_for: int) -> int:
    """A request that takes longer than its token lives, the first so many times; the status of the answer."""
    ahead, sent = 0.0, 0

    def late(_: httpx.Response) -> None:
        nonlocal ahead, sent
        sent += 1
        if sent <= expire_for:
            ahead += 1000

    with client_of(clock=lambda: time.time() + ahead) as client:
        client.event_hooks = {"response": [late]}
        return client.get("/v1/introspect").status_code
