"""Never more than N requests in any 60 seconds, whoever asks and however often."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pleo_connector.api import Budget
from pleo_connector.errors import RateLimited


class Time:
    def __init__(self) -> None:
        self.now = 0.0

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += seconds
        await asyncio.sleep(0)


@given(per_minute=st.integers(1, 20), gaps=st.lists(st.floats(0, 30), min_size=1, max_size=80))
def test_no_minute_ever_holds_more_than_the_budget(per_minute: int, gaps: list[float]) -> None:
    time = Time()
    sent: list[float] = []

    async def go() -> None:
        budget = Budget(per_minute, clock=time.clock, sleep=time.sleep)
        for gap in gaps:
            time.now += gap
            await budget.take()
            sent.append(time.now)

    asyncio.run(go())
    for index, moment in enumerate(sent):
        assert sum(1 for other in sent[: index + 1] if other > moment - 60 + 1e-6) <= per_minute  # floats round


def test_a_fresh_budget_is_spent_without_waiting() -> None:
    time = Time()

    async def go() -> float:
        budget = Budget(500, clock=time.clock, sleep=time.sleep)
        return sum([await budget.take() for _ in range(500)])

    assert asyncio.run(go()) == 0


def test_the_request_after_the_last_waits_for_the_first_to_grow_a_minute_old() -> None:
    time = Time()

    async def go() -> float:
        budget = Budget(3, clock=time.clock, sleep=time.sleep)
        for _ in range(3):
            await budget.take()
            time.now += 10
        return await budget.take()

    assert asyncio.run(go()) == 30


def test_callers_are_served_in_the_order_they_asked() -> None:
    time = Time()
    order: list[int] = []

    async def go() -> None:
        budget = Budget(2, clock=time.clock, sleep=time.sleep)

        async def caller(number: int) -> None:
            await budget.take()
            order.append(number)

        await asyncio.gather(*(caller(number) for number in range(9)))

    asyncio.run(go())
    assert order == list(range(9))


def test_a_pause_holds_and_never_shortens() -> None:
    time = Time()

    async def go() -> float:
        budget = Budget(10, clock=time.clock, sleep=time.sleep)
        budget.pause(30)
        budget.pause(5)
        return await budget.take()

    assert asyncio.run(go()) == 30


def test_a_pause_too_long_to_wait_for_is_told_at_once_to_everybody() -> None:
    time = Time()

    async def go() -> list[float | None]:
        budget = Budget(10, clock=time.clock, sleep=time.sleep)
        budget.pause(900)
        told = []
        for _ in range(2):
            with pytest.raises(RateLimited) as caught:
                await budget.take()
            told.append(caught.value.retry_after)
            time.now += 100
        return told

    assert asyncio.run(go()) == [900, 800]
    assert time.now == 200, "nobody waited"
