"""Walking two sorted sequences as one, forward or backward from any place, and cutting a page out."""

from __future__ import annotations

import bisect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from pleo_connector.sandbox.ordering import Key, Order, Value
from pleo_connector.sandbox.query import PageAsked
from pleo_connector.sandbox.samples import Stored


class Positions(Protocol):
    """Entries that are computed when asked for, by position in the walk's order."""

    count: int

    def number(self, position: int) -> int:
        """What `Walk.accepts` knows the entry by."""
        ...

    def body(self, position: int) -> bytes:
        """The entry's JSON."""
        ...

    def values(self, position: int) -> tuple[Value, ...]:
        """The entry's sort values."""
        ...

    def key(self, position: int) -> Key:
        """The entry's comparable key."""
        ...


@dataclass(frozen=True, slots=True)
class Page:
    """JSON of the rows in order, sort values of the first and last one, and what lies around them."""

    bodies: list[bytes]
    first: tuple[Value, ...] | None
    last: tuple[Value, ...] | None
    has_next: bool
    has_previous: bool
    total: int | None
    """None where counting would mean reading everything."""


class Walk:
    """Kept records and positions merged by key. A place below 0 is `~index` of a kept record."""

    def __init__(self, order: Order, keys: list[Key], kept: list[Stored], base: Positions | None) -> None:
        self._order, self._keys, self._kept, self._base = order, keys, kept, base
        self.low, self.high = 0, 0 if base is None else base.count
        self.accepts: Callable[[int], bool] | None = None
        """Whether a generated entry, by number, is in the list; None takes all between `low` and `high`."""
        self.countable = True
        self.uncounted = 0
        """How many entries between `low` and `high` are hidden."""

    def page(self, asked: PageAsked, position: tuple[Value, ...] | None) -> Page:
        """The asked page; `position` is where its cursor stands."""
        if asked.before is not None and position is not None:
            return self._page_before(self._order.key(position), asked.limit)
        skip = asked.offset or 0
        place = (self.low, 0) if position is None else self._after(self._order.key(position))
        taken = list(islice(self._forward(*place), skip, None if asked.limit is None else skip + asked.limit + 1))
        rows = taken[: asked.limit]
        has_previous = any(True for _ in islice(self._forward(*place), min(skip, 1))) or any(
            True for _ in islice(self._backward(*place), 1)
        )
        return self._cut(rows, has_next=len(taken) > len(rows), has_previous=has_previous)

    def _page_before(self, key: Key, limit: int | None) -> Page:
        base = self._base
        at_base = self.low if base is None else bisect.bisect_left(range(base.count), key, self.low, self.high, key=base.key)
        place = (at_base, bisect.bisect_left(self._keys, key))
        taken = list(islice(self._backward(*place), None if limit is None else limit + 1))
        rows = taken[:limit][::-1]
        return self._cut(rows, has_next=any(True for _ in islice(self._forward(*place), 1)), has_previous=len(taken) > len(rows))

    def _after(self, key: Key) -> tuple[int, int]:
        base = self._base
        at_base = self.low if base is None else bisect.bisect_right(range(base.count), key, self.low, self.high, key=base.key)
        return at_base, bisect.bisect_right(self._keys, key)

    def _cut(self, rows: list[int], *, has_next: bool, has_previous: bool) -> Page:
        total = self.high - self.low - self.uncounted + len(self._keys) if self.countable else None
        first, last = (self._values(rows[0]), self._values(rows[-1])) if rows else (None, None)
        return Page([self._body(place) for place in rows], first, last, has_next, has_previous, total)

    def _forward(self, at_base: int, at_kept: int) -> Iterator[int]:
        base, keys, accepts = self._base, self._keys, self.accepts
        while base is not None and at_base < self.high:
            if accepts is not None and not accepts(base.number(at_base)):
                at_base += 1
            elif at_kept < len(keys) and keys[at_kept] < base.key(at_base):
                yield ~at_kept
                at_kept += 1
            else:
                yield at_base
                at_base += 1
        for index in range(at_kept, len(keys)):
            yield ~index

    def _backward(self, at_base: int, at_kept: int) -> Iterator[int]:
        base, keys, accepts = self._base, self._keys, self.accepts
        while base is not None and at_base > self.low:
            if accepts is not None and not accepts(base.number(at_base - 1)):
                at_base -= 1
            elif at_kept > 0 and keys[at_kept - 1] > base.key(at_base - 1):
                at_kept -= 1
                yield ~at_kept
            else:
                at_base -= 1
                yield at_base
        for index in range(at_kept - 1, -1, -1):
            yield ~index

    def _body(self, place: int) -> bytes:
        return self._kept[~place].body if place < 0 or self._base is None else self._base.body(place)

    def _values(self, place: int) -> tuple[Value, ...]:
        if place < 0 or self._base is None:
            return self._order.values(self._kept[~place].record)
        return self._base.values(place)
