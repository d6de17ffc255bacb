"""The arithmetic of a request budget that several processes share; no clock, no file, no server in here.

Each holder (one run of one process) draws a lease: a few permits to use within `LEASE` seconds. When it comes back it
says when its requests were answered, and returns what it did not use. A permit counts until a minute after the answer
of its request, so the server's own count of a minute cannot be higher. A holder that dies leaves its lease, which ends
by itself. Whoever finds nothing gets a ticket, and tickets are served in their order; the last tenth of the budget is
kept for those who had less than an equal share, so that one that could send all the time does not hold up the others.

For ten minutes after a 429, requests are spread: each lease gets a slot of at most a second of its own, one after the other.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import msgspec

from pleo_connector.api.budget import CATCH_UP, WINDOW, interval

LEASE = 5.0
"""Seconds within which a permit is used, or not any more."""

LARGEST_LEASE = 25
TICKET_LIFE = 5.0
"""Seconds after which a ticket that nobody asked about is taken for a dead process's."""

_LOST = LEASE + WINDOW + 5.0  # for so long a lease counts that nothing is heard of: its last request may be slow to arrive
_LONGEST_PAUSE = 3600.0
_KEPT = 10  # a tenth
_GRAIN = 0.5  # answers are counted in steps of this many seconds: a minute is then 120 numbers at most
_SPREAD_FOR = 600.0  # seconds after a 429 for which all holders spread their requests
_SLOT = 1.0  # seconds; also how far ahead a slot may begin
_STEP = 5.0  # a clock that went on by so much more than the holder's own was set


@dataclass(frozen=True, slots=True)
class Ask:
    """What a holder says when it comes back."""

    holder: str
    per_minute: int
    want: int
    """Permits; 0 returns what is left and asks for nothing."""
    answered: tuple[float, ...] = ()
    """For each request that was answered since the last time, how many seconds ago."""
    under_way: int = 0
    """Requests that were not answered yet."""
    limited: bool = False
    """Whether Pleo answered one with 429 since the last time."""
    pause: float = 0.0
    """Seconds for which nobody may send, by `Retry-After`."""
    last: float | None = None
    """The time of the shared record when this holder was here before..."""
    shortest: float = 0.0
    longest: float = 0.0
    """... and how long ago that was by its own clock, at least and at most."""


@dataclass(frozen=True, slots=True)
class Drawn:
    """What it gets: permits, or seconds to wait."""

    permits: int
    wait: float
    paused: float
    """Seconds of a pause that are left."""
    now: float
    """The time of the shared record."""
    start: float | None = None
    """Seconds until the first permit may be used, where requests are spread (negative: it is late); None where they are not."""


@dataclass(slots=True)
class Leases:
    """All that is known of one credential's requests. Times are seconds of one clock that all holders read."""

    shift: float = 0.0
    """What that clock was set by, as far as a holder noticed; taken off."""
    paused_until: float = 0.0
    spent: dict[str, dict[float, int]] = field(default_factory=dict)
    """By holder: until when so many permits count."""
    leases: dict[str, tuple[int, float]] = field(default_factory=dict)
    """By holder: permits, and until when they count if nothing is heard of it."""
    queue: list[tuple[str, float]] = field(default_factory=list)
    """Holder and when it last asked, in the order in which they came."""
    spread_until: float = 0.0
    next_slot: float = 0.0
    """When the request after all that were permitted may be sent, while requests are spread."""

    @classmethod
    def of(cls, text: str | None) -> Leases:
        """The leases that were kept; a new one where there is none, or none that can be read."""
        try:
            return cls() if text is None else msgspec.json.decode(text, type=cls)
        except msgspec.MsgspecError:
            return cls()

    def text(self) -> str:
        """To keep."""
        return msgspec.json.encode(self).decode()

    def paused(self, now: float) -> float:
        """Seconds for which nobody may send, by the clock that holders read."""
        return min(_LONGEST_PAUSE, max(0.0, self.paused_until - (now - self.shift)))

    def draw(self, ask: Ask, now: float) -> Drawn:
        """Settle what the holder did and give it what there is."""
        now = self._steady(ask, now)
        self._forget(now)
        self._settle(ask, now)
        paused = max(0.0, self.paused_until - now)
        permits = 0 if paused or not ask.want else self._permits(ask)
        ahead = max(-CATCH_UP, self.next_slot - now) if now < self.spread_until else None
        if ahead is not None:
            permits = self._in_slot(permits, ask.per_minute, now, ahead)
        if permits + ask.under_way:
            self.leases[ask.holder] = (permits + ask.under_way, now + _LOST)
        self._queue(ask, now, waits=ask.want > 0 and not permits)
        if permits or not ask.want:
            return Drawn(permits, 0.0, paused, now, ahead)
        if ahead is not None and ahead > _SLOT:
            return Drawn(0, max(paused, ahead - _SLOT), paused, now)
        return Drawn(0, max(paused, self._frees(ask.holder) - now, _GRAIN), paused, now)

    def _in_slot(self, permits: int, per_minute: int, now: float, ahead: float) -> int:
        """How many of the permits fit into the next slot, which begins in `ahead` seconds and which they take; 0 when that is too far."""
        if not permits or ahead > _SLOT:
            return 0
        apart = interval(per_minute)
        permits = min(permits, max(1, int(_SLOT / apart)))
        self.next_slot = now + ahead + permits * apart
        return permits

    def _permits(self, ask: Ask) -> int:
        """How many it gets: in turn, and the last tenth only for who had less than an equal share of this minute."""
        holders = {*self.spent, *self.leases, *(holder for holder, _ in self.queue), ask.holder}
        share = ask.per_minute / len(holders)
        mine = self._used(ask.holder) + ask.under_way
        for holder, _ in self.queue:
            if holder == ask.holder:
                break
            if mine >= share or self._used(holder) < share:
                return 0
        free = ask.per_minute - ask.under_way - sum(self._used(holder) for holder in holders)
        for_all = free - (ask.per_minute // _KEPT if len(holders) > 1 else 0)
        for_me = max(for_all, min(free, math.ceil(share - mine)))
        others = sum(holder != ask.holder for holder, _ in self.queue)
        return max(0, min(ask.want, for_me, max(1, free // (others + 1))))

    def _used(self, holder: str) -> int:
        return sum(self.spent.get(holder, {}).values()) + self.leases.get(holder, (0, 0.0))[0]

    def _steady(self, ask: Ask, now: float) -> float:
        """The time without the steps that the clock was set by: too slow for a moment rather than too fast."""
        if ask.last is not None:
            passed = now - self.shift - ask.last
            if passed > ask.longest + _STEP:
                self.shift += passed - ask.longest
            elif passed < ask.shortest - _GRAIN:
                self.shift += passed - ask.shortest
        return now - self.shift

    def _forget(self, now: float) -> None:
        # What lies further ahead than anything can was written before the clock was set back.
        latest = now + _LOST
        for holder, spent in list(self.spent.items()):
            kept: dict[float, int] = {}
            for until, permits in spent.items():
                if until > now:
                    kept[min(until, latest)] = kept.get(min(until, latest), 0) + permits
            self.spent[holder] = kept
            if not kept:
                del self.spent[holder]
        self.leases = {holder: (permits, min(until, latest)) for holder, (permits, until) in self.leases.items() if until > now}
        self.queue = [(holder, min(seen, now)) for holder, seen in self.queue if seen > now - TICKET_LIFE]
        self.paused_until = min(self.paused_until, now + _LONGEST_PAUSE)
        self.spread_until = min(self.spread_until, now + _SPREAD_FOR)
        self.next_slot = min(self.next_slot, latest)

    def _settle(self, ask: Ask, now: float) -> None:
        self.leases.pop(ask.holder, None)
        for ago in ask.answered:
            until = math.ceil((now - ago + WINDOW) / _GRAIN) * _GRAIN
            if until > now:
                mine = self.spent.setdefault(ask.holder, {})
                mine[until] = mine.get(until, 0) + 1
        if ask.limited:
            self.spread_until = now + _SPREAD_FOR
            self.next_slot = max(self.next_slot, now)
            self.paused_until = max(self.paused_until, now + min(ask.pause, _LONGEST_PAUSE))

    def _queue(self, ask: Ask, now: float, *, waits: bool) -> None:
        place = next((place for place, (holder, _) in enumerate(self.queue) if holder == ask.holder), None)
        if not waits:
            if place is not None:
                del self.queue[place]
        elif place is None:
            self.queue.append((ask.holder, now))
        else:
            self.queue[place] = (ask.holder, now)

    def _frees(self, holder: str) -> float:
        """When the next permit is free, unless its holder gives it back before."""
        ends = [until for spent in self.spent.values() for until in spent]
        return min([*ends, *(until for other, (_, until) in self.leases.items() if other != holder)], default=-math.inf)
