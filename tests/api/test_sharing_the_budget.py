"""Many processes on one budget, in virtual time: never more than N in any 60 seconds, nobody starves, the dead take little with them."""

from __future__ import annotations

import asyncio
import random
import selectors
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pleo_connector.api import Budget, RequestBudget, SharedBudget
from pleo_connector.api.leases import LARGEST_LEASE, Ask, Leases
from pleo_connector.auth.stores.notes import MemoryNotes
from pleo_connector.errors import RateLimited, TokenStoreUnavailable
from pleo_connector.sandbox.rate_limit import RateLimit
from tests.examples import examples


class _Jumping(selectors.SelectSelector):
    """Time that passes while nobody has anything to do passes at once."""

    now = 1000.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += timeout or 0.0
        return super().select(0)


class World:
    """One shared record, and processes that use it."""

    def __init__(self, per_minute: int) -> None:
        self.per_minute = per_minute
        self.selector = _Jumping()
        self.step = 0.0
        """What somebody set the record's clock by."""
        self.notes = MemoryNotes(lambda: self.selector.now + self.step)
        self.arrived: list[tuple[float, str]] = []
        self.asked = 0

    def now(self) -> float:
        return self.selector.now

    def run(self, work: Coroutine[Any, Any, None]) -> None:
        loop = asyncio.SelectorEventLoop(self.selector)
        loop.time = self.now  # type: ignore[method-assign]
        try:
            loop.run_until_complete(asyncio.wait_for(work, 100_000))
        finally:
            loop.close()

    def budget(self, per_minute: int | None = None) -> SharedBudget:
        async def at_once(do: Callable[[], Any]) -> Any:
            self.asked += 1
            return do()

        return SharedBudget(self.notes, "one", per_minute or self.per_minute, clock=self.now, in_thread=at_once)

    async def send(self, budget: SharedBudget, who: str, on_the_way: float = 0.0, takes: float = 0.0) -> None:
        await budget.take()
        await asyncio.sleep(on_the_way)
        self.arrived.append((self.now(), who))
        await asyncio.sleep(takes)
        budget.answered()

    def most_in_a_minute(self) -> int:
        moments = sorted(moment for moment, _ in self.arrived)
        most = first = 0
        for last, moment in enumerate(moments):
            while moments[first] <= moment - 60 + 1e-6:
                first += 1
            most = max(most, last - first + 1)
        return most


_PROCESS = st.fixed_dictionaries(
    {
        "starts": st.floats(0, 90),
        "workers": st.integers(1, 4),
        "requests": st.integers(0, 25),
        "gap": st.floats(0, 8),
        "on_the_way": st.floats(0, 4),
        "takes": st.floats(0, 4),
        "ends": st.sampled_from(["well", "killed"]),
    }
)


@settings(max_examples=examples(60))
@given(per_minute=st.integers(1, 60), processes=st.lists(_PROCESS, min_size=1, max_size=5), step=st.sampled_from([0.0, 3600.0, -3600.0]))
def test_no_minute_holds_more_than_the_budget_over_all_processes(per_minute: int, processes: list[dict[str, Any]], step: float) -> None:
    """However many, however slow their requests, killed or not, and although somebody sets the clock of the record meanwhile."""
    world = World(per_minute)

    async def process(number: int, way: dict[str, Any]) -> None:
        await asyncio.sleep(way["starts"])
        budget = world.budget()

        async def worker() -> None:
            for _ in range(way["requests"]):
                await world.send(budget, str(number), way["on_the_way"], way["takes"])
                await asyncio.sleep(way["gap"])

        await asyncio.gather(*(worker() for _ in range(way["workers"])))
        if way["ends"] == "well":
            await budget.close()

    async def somebody_sets_the_clock() -> None:
        budget = world.budget()  # one that is there before and after, or nobody could notice
        await world.send(budget, "watch")
        await asyncio.sleep(45)
        world.step = step
        await world.send(budget, "watch")

    async def go() -> None:
        await asyncio.gather(somebody_sets_the_clock(), *(process(number, way) for number, way in enumerate(processes)))

    world.run(go())
    assert world.most_in_a_minute() <= per_minute
    assert len(world.arrived) == 2 + sum(way["workers"] * way["requests"] for way in processes)


def test_a_fresh_budget_is_spent_without_waiting_and_few_questions() -> None:
    world = World(500)

    async def go() -> None:
        budget = world.budget()
        for _ in range(500):
            await world.send(budget, "one")
        await budget.close()

    world.run(go())
    assert world.now() == 1000.0 and world.asked <= 500 / LARGEST_LEASE + 6


def test_nobody_starves() -> None:
    """A greedy process with 30 workers, and one that sends a request now and then."""
    world = World(60)
    waited: list[float] = []

    async def go() -> None:
        greedy, modest = world.budget(), world.budget()

        async def worker() -> None:
            while True:
                await world.send(greedy, "greedy")

        async def sends_now_and_then() -> None:
            for _ in range(20):
                began = world.now()
                await world.send(modest, "modest")
                waited.append(world.now() - began)
                await asyncio.sleep(7)

        workers = [asyncio.ensure_future(worker()) for _ in range(30)]
        await asyncio.sleep(1)
        await sends_now_and_then()
        for each in workers:
            each.cancel()

    world.run(go())
    assert max(waited) <= 61, "the first minute was spent before it came"
    assert max(waited[2:]) <= 15


def test_equal_processes_get_equal_shares() -> None:
    world = World(120)

    async def go() -> None:
        async def process(name: str) -> None:
            budget = world.budget()
            while world.now() < 1000 + 600:
                await world.send(budget, name)

        await asyncio.gather(*(process(name) for name in "abcdef"))

    world.run(go())
    shares = {name: sum(who == name for moment, who in world.arrived if moment > 1120) for name in "abcdef"}
    assert min(shares.values()) > 0.6 * max(shares.values()), shares
    assert 0.8 * 1200 <= len(world.arrived) <= 1320, "hardly anything of the budget is left unused"


def test_a_killed_process_loses_its_lease_and_the_lease_frees_itself() -> None:
    world = World(40)

    async def go() -> None:
        dead = world.budget()
        await world.send(dead, "dead")  # and is killed, with the rest of its lease
        heir = world.budget()
        for _ in range(40 - 2 - 4):  # its lease was of two; a tenth is kept for whoever comes
            await world.send(heir, "heir")
        assert world.now() == 1000.0
        await asyncio.sleep(71)
        for _ in range(40):
            await world.send(heir, "heir")
        assert world.now() == 1071.0

    world.run(go())


def test_a_dead_process_at_the_head_of_the_queue_holds_nobody_up_for_long() -> None:
    leases = Leases()
    assert leases.draw(Ask("first", 1, 1), 0.0).permits == 1
    assert leases.draw(Ask("dies", 1, 1), 1.0).permits == 0
    assert leases.draw(Ask("heir", 1, 1), 2.0).permits == 0
    assert leases.draw(Ask("first", 1, 0, answered=(3.9,)), 4.0).permits == 0
    assert leases.draw(Ask("heir", 1, 1), 60.4).permits == 0, "counted by half seconds, and never too early"
    assert leases.draw(Ask("heir", 1, 1), 60.5).permits == 1


def test_those_who_wait_are_served_in_their_order() -> None:
    world = World(3)
    order: list[int] = []

    async def go() -> None:
        async def process(number: int) -> None:
            await asyncio.sleep(number / 10)
            await world.send(world.budget(), str(number))
            order.append(number)

        await asyncio.gather(*(process(number) for number in range(12)))

    world.run(go())
    assert order == list(range(12))


def test_a_pause_reaches_every_process_within_a_quarter_of_a_second() -> None:
    world = World(500)

    async def go() -> None:
        limited, other = world.budget(), world.budget()
        for _ in range(5):
            await world.send(limited, "limited")
            await world.send(other, "other")
        told = world.now()
        limited.pause(30)

        async def both(budget: SharedBudget, who: str) -> None:
            while world.now() < told + 40:
                await world.send(budget, who)
                await asyncio.sleep(0.1)

        await asyncio.gather(both(limited, "limited"), both(other, "other"))
        early = [(moment - told, who) for moment, who in world.arrived if told < moment < told + 30]
        assert all(after <= 0.35 and who == "other" for after, who in early), early
        assert any(moment > told + 30 for moment, _ in world.arrived)

    world.run(go())


def test_a_pause_too_long_to_wait_for_is_told_at_once_to_everybody() -> None:
    world = World(500)

    async def go() -> None:
        limited, other = world.budget(), world.budget()
        limited.pause(900)
        for budget in (limited, other):
            with pytest.raises(RateLimited) as caught:
                await budget.take()
            assert caught.value.retry_after == pytest.approx(900)

    world.run(go())
    assert world.now() == 1000.0, "nobody waited"


def test_what_was_not_used_is_given_back_at_the_end() -> None:
    world = World(100)

    async def go() -> None:
        for _ in range(100):
            budget = world.budget()
            await world.send(budget, "short")
            await budget.close()

    world.run(go())
    assert world.now() == 1000.0


def test_a_cancelled_run_gives_back_what_its_thread_still_got() -> None:
    world = World(20)
    gate: list[asyncio.Event] = []

    async def slowly(do: Callable[[], Any]) -> Any:
        await gate[0].wait()
        return do()

    async def go() -> None:
        gate.append(asyncio.Event())
        budget = SharedBudget(world.notes, "one", 20, clock=world.now, in_thread=slowly)
        task = asyncio.ensure_future(budget.take())
        await asyncio.sleep(1)
        task.cancel()
        asyncio.get_running_loop().call_later(1, gate[0].set)
        await budget.close()

    world.run(go())
    text, _ = world.notes.read("one")
    assert Leases.of(text).leases == {}


def test_a_ledger_that_fails_for_a_moment_forgets_nothing() -> None:
    world = World(20)
    failing = [False]

    async def sometimes(do: Callable[[], Any]) -> Any:
        if failing[0]:
            raise TokenStoreUnavailable("full disk")
        return do()

    async def go() -> None:
        budget = SharedBudget(world.notes, "one", 20, clock=world.now, in_thread=sometimes)
        await world.send(budget, "one")
        failing[0] = True
        with pytest.raises(TokenStoreUnavailable):
            await budget.take()
        budget.pause(5)
        with pytest.raises(TokenStoreUnavailable):
            await budget.take()
        failing[0] = False
        await world.send(budget, "one")
        assert world.now() == 1005.0

    world.run(go())
    text, _ = world.notes.read("one")
    assert [sum(spent.values()) for spent in Leases.of(text).spent.values()] == [1], "the second is told next time"


@pytest.mark.parametrize("text", ["", "null", "[]", '{"shift": "x"}'])
def test_a_ledger_that_cannot_be_read_begins_anew(text: str) -> None:
    assert Leases.of(text) == Leases.of(None)


def test_a_ledger_is_kept_whole() -> None:
    leases = Leases(1.5, 99.0, {"a b": {60.5: 3}}, {"a b": (4, 70.0)}, [("c", 5.0)])
    assert Leases.of(leases.text()) == leases
    assert Leases.of(Leases().text()) == Leases()


@pytest.mark.parametrize("retry_after", [0.0, 1.0])
@pytest.mark.parametrize("processes", [0, 1, 3])
def test_after_a_429_requests_are_spread_over_the_minute(processes: int, retry_after: float) -> None:
    """50 at once and 500 a minute: hardly a 429 after the first minute, and nearly all of the budget is used; 0 processes: one that shares nothing."""
    world = World(500)
    server = RateLimit(500, world.now, at_once=50)
    answers: list[tuple[float, bool]] = []
    start = world.now()
    chance = random.Random(7)

    async def worker(budget: RequestBudget) -> None:
        while world.now() < start + 300:
            await budget.take()
            await asyncio.sleep(chance.uniform(0.02, 0.06))
            answers.append((world.now(), server.take("key") is None))
            if not answers[-1][1]:
                budget.pause(retry_after)
            await asyncio.sleep(chance.uniform(0.02, 0.2))
            budget.answered()

    async def process() -> None:
        budget = world.budget() if processes else Budget(500, clock=world.now)
        await asyncio.gather(*(worker(budget) for _ in range(16)))
        await budget.close()

    async def go() -> None:
        await asyncio.gather(*(process() for _ in range(max(1, processes))))

    world.run(go())
    later = [taken for moment, taken in answers if start + 60 <= moment < start + 300]
    assert not all(taken for _, taken in answers), "the limit was met"
    assert later.count(False) <= 0.01 * len(later)
    assert later.count(True) >= 0.95 * 500 * 4
    assert world.most_in_a_minute() <= 500
