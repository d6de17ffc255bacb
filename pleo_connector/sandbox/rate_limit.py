"""The request budget: a sliding window of 60 seconds per grant, and how many requests fit at once."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

WINDOW = 60.0


class RateLimit:
    """Counts requests per key; a key that is told to wait and does not is noted."""

    def __init__(self, per_minute: int, clock: Callable[[], float], at_once: int = 0) -> None:
        """`at_once` requests may come together, and further ones evenly over the minute (a token bucket); 0: as many as in a minute."""
        self._per_minute = per_minute
        self._clock = clock
        self._at_once = at_once
        self._buckets: dict[str, tuple[float, float]] = {}
        self._sent: dict[str, deque[float]] = {}
        self._wait_until: dict[str, float] = {}

    @property
    def somebody_waits(self) -> bool:
        """True when anybody was ever told to wait: asking about one key is worth the trouble."""
        return bool(self._wait_until)

    def came_too_early(self, key: str) -> bool:
        """True when `key` was told to wait and the time has not passed."""
        return self._clock() < self._wait_until.get(key, -math.inf)

    def take(self, key: str) -> int | None:
        """None when the request fits the budget, else the seconds to wait; refused requests cost no budget."""
        if not self._per_minute:
            return None
        now = self._clock()
        if (wait := self._bucket_wait(key, now)) > 0:
            self.told_to_wait(key, wait)
            return wait
        sent = self._sent.setdefault(key, deque())
        while sent and sent[0] <= now - WINDOW:
            sent.popleft()
        if len(sent) < self._per_minute:
            sent.append(now)
            return None
        wait = max(1, math.ceil(sent[0] + WINDOW - now))
        self.told_to_wait(key, wait)
        return wait

    def _bucket_wait(self, key: str, now: float) -> int:
        """Takes a token; 0 when there was one, else the seconds until there is."""
        if not self._at_once:
            return 0
        rate = self._per_minute / WINDOW
        left, filled = self._buckets.get(key, (float(self._at_once), now))
        left = min(self._at_once, left + (now - filled) * rate)
        if left < 1:
            self._buckets[key] = left, now
            return max(1, math.ceil((1 - left) / rate))
        self._buckets[key] = left - 1, now
        return 0

    def told_to_wait(self, key: str, seconds: float) -> None:
        """Remember a `Retry-After` that `key` was sent, whatever for."""
        self._wait_until[key] = max(self._wait_until.get(key, -math.inf), self._clock() + seconds)

    def reset(self) -> None:
        """Full budget for everybody."""
        self._sent.clear()
        self._buckets.clear()
        self._wait_until.clear()
