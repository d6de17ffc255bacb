"""The request budget of all processes that share one record: never more than N requests in any 60 seconds over all of them.

Permits are drawn in small leases, so the shared record is not asked for each request; what it is asked for, a worker thread
asks, so that the event loop goes on.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import secrets
import socket
import time
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from pleo_connector.api.budget import Pace, long_pause
from pleo_connector.api.leases import LARGEST_LEASE, LEASE, TICKET_LIFE, Ask, Drawn, Leases
from pleo_connector.api.patience import LONGEST_PAUSE
from pleo_connector.errors import PleoError

T = TypeVar("T")

LOOK_EVERY = 0.25
"""Seconds for which a look at the shared record counts: so soon a pause reaches a process that has a lease."""

_FIRST_LEASE = 4

_log = logging.getLogger(__name__)


class Notes(Protocol):
    """Keeps a text by name, which processes read and change in turn, and a clock that all of them read."""

    def change(self, name: str, edit: Callable[[str | None, float], tuple[str, T]]) -> T:
        """Replace the text by what `edit` makes of it and of the time, alone; returns the other thing that `edit` returns."""
        ...

    def read(self, name: str) -> tuple[str | None, float]:
        """The text, and the time."""
        ...

    def close(self) -> None:
        """Let go of what was opened; it may be used again."""
        ...


class SharedBudget:
    """Hands out permission to send, in the order asked, within what all processes may send. Belongs to one event loop."""

    def __init__(
        self,
        notes: Notes,
        name: str,
        per_minute: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        in_thread: Callable[[Callable[[], Any]], Awaitable[Any]] = asyncio.to_thread,
    ) -> None:
        """`name` is the credential whose requests are counted."""
        self._notes = notes
        self._name = name
        self._per_minute = per_minute
        self._clock = clock
        self._sleep = sleep
        self._in_thread = in_thread
        self._holder = f"{socket.gethostname()[:32]} {os.getpid()} {secrets.token_hex(4)}"
        self._turn = asyncio.Lock()
        self._asking: asyncio.Future[Any] | None = None
        self._largest = max(1, min(LARGEST_LEASE, per_minute // 20))
        self._want = min(_FIRST_LEASE, self._largest)
        self._left = 0
        self._use_by = 0.0
        self._looked = 0.0
        self._under_way = 0
        self._answered: list[float] = []
        self._paused_until = -math.inf
        self._untold_pause = False
        self._pace = Pace()
        self._last: tuple[float, float, float] | None = None
        """The record's time when it was last asked, and ours before and after."""

    async def take(self) -> float:
        """Wait for permission to send one request; returns the seconds waited.

        RateLimited while Pleo's `Retry-After` is too far away to wait for; TokenStoreUnavailable when the record cannot be used.
        """
        began = self._clock()
        async with self._turn:
            while (wait := await self._wait_needed()) > 0:
                if (pause := self._paused_until - self._clock()) > LONGEST_PAUSE:
                    raise long_pause(pause)
                await self._sleep(min(wait, TICKET_LIFE / 5))  # asking again keeps the place in the queue
            self._left -= 1
            self._pace.sent(self._clock())
            self._under_way += 1
        return self._clock() - began

    def answered(self) -> None:
        """A request that had permission was answered: a minute from now another may go in its place."""
        self._under_way -= 1
        self._answered.append(self._clock())

    def pause(self, seconds: float) -> None:
        """As in `RequestBudget`; other processes hear of it when the next request is asked for here."""
        self._paused_until = max(self._paused_until, self._clock() + seconds)
        self._untold_pause = True

    async def close(self) -> None:
        """Give back the permits that were not used."""
        if self._asking is None and not self._untold_pause:
            return
        try:
            if self._asking is not None and not self._asking.done():
                await asyncio.wait({self._asking})  # it was cancelled, and its thread goes on
            await self._draw(0)
        except PleoError as error:
            _log.warning("The rest of a request budget was not given back, and frees itself within a minute or so: %s", error)
        finally:
            self._notes.close()

    async def _wait_needed(self) -> float:
        now = self._clock()
        if self._left < 1 or now >= self._use_by or self._untold_pause:
            drawn = await self._draw(self._want)
            self._want = min(2 * self._want, self._largest)
            if not drawn.permits:
                return drawn.wait
        elif now - self._looked >= LOOK_EVERY:
            self._hear(await self._ask(self._look), now)
        return max(self._paused_until - self._clock(), self._pace.wait(self._clock()))

    async def _draw(self, want: int) -> Drawn:
        began = self._clock()
        answered, self._answered = self._answered, []
        asked = Ask(
            self._holder,
            self._per_minute,
            want,
            tuple(began - moment for moment in answered),
            self._under_way,
            self._untold_pause,
            max(0.0, self._paused_until - began) if self._untold_pause else 0.0,
            *((self._last[0], began - self._last[2], began - self._last[1]) if self._last is not None else ()),
        )
        self._left, self._untold_pause = 0, False
        try:
            drawn: Drawn = await self._ask(lambda: self._notes.change(self._name, lambda text, now: _drawn(text, now, asked)))
        except PleoError:
            self._answered, self._untold_pause = answered + self._answered, asked.limited
            raise
        self._last = (drawn.now, began, self._clock())
        self._left, self._use_by = drawn.permits, began + LEASE
        self._hear(drawn.paused, began)
        if drawn.start is None:
            self._pace = Pace()
        else:
            self._pace.spread(self._per_minute, self._clock() + drawn.start)
        return drawn

    def _look(self) -> float:
        text, now = self._notes.read(self._name)
        return Leases.of(text).paused(now)

    def _hear(self, pause: float, asked_at: float) -> None:
        self._looked = asked_at
        if pause:
            self._paused_until = max(self._paused_until, self._clock() + pause)

    async def _ask(self, do: Callable[[], T]) -> T:
        self._asking = asyncio.ensure_future(self._in_thread(do))
        found: T = await asyncio.shield(self._asking)
        return found


def _drawn(text: str | None, now: float, ask: Ask) -> tuple[str, Drawn]:
    leases = Leases.of(text)
    drawn = leases.draw(ask, now)
    return leases.text(), drawn
