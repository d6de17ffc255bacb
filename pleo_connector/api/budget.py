"""The request budget of one process: never more than N requests in any 60 seconds, for all callers together.

Pleo asks integrations to stay at or under 500 requests a minute. The window slides: a fresh
budget may be spent at once, and then refills as its requests grow a minute old. Once Pleo answers
a request with 429, requests are spread over the minute: a server may take fewer at once than in a minute.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Protocol

from pleo_connector.api.patience import LONGEST_PAUSE
from pleo_connector.errors import RateLimited

WINDOW = 60.0

_SPREAD = 0.98  # of the budget: what is left over absorbs that requests arrive less evenly than they are sent

CATCH_UP = 1.0
"""Seconds: a process that was busy for so long sends what was due meanwhile, for which a server has kept room."""


def interval(per_minute: float) -> float:
    """Seconds from one request to the next where so many a minute are spread."""
    return WINDOW / (per_minute * _SPREAD)


class Pace:
    """Even spacing of requests, in seconds of any one clock; there is none until `spread` was called."""

    def __init__(self) -> None:
        self._interval = 0.0  # 0 when requests are not spaced
        self._next = -math.inf

    def spread(self, per_minute: float, start: float) -> None:
        """Space requests by so many a minute, the next at `start` at the earliest."""
        self._interval = interval(per_minute)
        self._next = max(self._next, start)

    def wait(self, now: float) -> float:
        """Seconds until the next request may be sent."""
        return self._next - now if self._interval else 0.0

    def sent(self, now: float) -> None:
        """A request is sent. One that is late by less than a second does not move those after it."""
        self._next = max(self._next, now - CATCH_UP) + self._interval


class RequestBudget(Protocol):
    """What a client asks before it sends. Belongs to one event loop."""

    async def take(self) -> float:
        """Wait for permission to send one request; returns the seconds waited. RateLimited when a pause is too long to wait for."""
        ...

    def answered(self) -> None:
        """A request that had permission was answered, or failed."""
        ...

    def pause(self, seconds: float) -> None:
        """Pleo answered 429: send nothing for the seconds of its `Retry-After` (0 without one), and spread requests over the minute."""
        ...

    async def close(self) -> None:
        """Give back what is left; the last call."""
        ...


class Budget:
    """Hands out permission to send, in the order asked, to one process. Belongs to one event loop."""

    def __init__(
        self,
        per_minute: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._per_minute = per_minute
        self._clock = clock
        self._sleep = sleep
        # When each sent request grows a minute old: kept as a sum, so that floats round once and not two ways.
        self._free_at: deque[float] = deque()
        self._paused_until = 0.0
        self._pace = Pace()
        self._turn = asyncio.Lock()

    async def take(self) -> float:
        """Wait for permission to send one request; returns the seconds waited.

        RateLimited while Pleo's `Retry-After` is too far away to wait for: nobody sends, and nobody hangs.
        """
        began = self._clock()
        async with self._turn:
            while (wait := self._wait_needed()) > 0:
                if (pause := self._paused_until - self._clock()) > LONGEST_PAUSE:
                    raise long_pause(pause)
                await self._sleep(wait)
            now = self._clock()
            self._free_at.append(now + WINDOW)
            self._pace.sent(now)
        return now - began

    def pause(self, seconds: float) -> None:
        """Pleo answered 429: send nothing for the seconds of its `Retry-After` (0 without one), and spread requests over the minute."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)
        self._pace.spread(self._per_minute, self._paused_until)

    def answered(self) -> None:
        """Nothing to do: requests count from when they had permission."""

    async def close(self) -> None:
        """Nothing to give back."""

    def _wait_needed(self) -> float:
        now = self._clock()
        while self._free_at and self._free_at[0] <= now:
            self._free_at.popleft()
        full = self._free_at[0] - now if len(self._free_at) >= self._per_minute else 0.0
        return max(full, self._paused_until - now, self._pace.wait(now))


def long_pause(seconds: float) -> RateLimited:
    """The error of a pause that is too long to wait for."""
    return RateLimited(
        f"Pleo limits the rate of requests (429) and asked for a pause of {seconds:.0f} s more; "
        "lower PLEO_REQUESTS_PER_MINUTE or run again after it: it goes on where it stopped.",
        seconds,
    )
