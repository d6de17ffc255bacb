"""Which rows a query sees, in its order: kept records sorted in memory, generated ones addressed by position."""

from __future__ import annotations

import bisect
from array import array
from collections import OrderedDict
from collections.abc import Callable

from pleo_connector.catalogue import CompanyIn
from pleo_connector.sandbox.generated import GeneratedEntries
from pleo_connector.sandbox.ordering import Key, Order, Value
from pleo_connector.sandbox.query import Query
from pleo_connector.sandbox.samples import Record, Stored
from pleo_connector.sandbox.store import Store
from pleo_connector.sandbox.times import nanoseconds
from pleo_connector.sandbox.walk import Page, Walk

_LISTS_KEPT = 64
_ORDERS_KEPT = 4
_TIME = "performedAt"

Accepts = Callable[[int], bool]


class TimeOrdered:
    """Generated entries in time order, up or down, as a sequence of positions."""

    def __init__(self, entries: GeneratedEntries, company_id: str | None, order: Order) -> None:
        self.entries, self._company_id, self._order = entries, company_id, order
        self.count = entries.rows if company_id is None else entries.count(company_id)
        self.backwards = order.keys[0].field == _TIME and order.keys[0].descending
        self._simple = [key.field for key in order.keys] == [_TIME, "id"]

    def number(self, position: int) -> int:
        """The entry at a position."""
        if self.backwards:
            position = self.count - 1 - position
        return position if self._company_id is None else self.entries.number(self._company_id, position)

    def body(self, position: int) -> bytes:
        """Its JSON."""
        return self.entries.body(self.number(position))

    def values(self, position: int) -> tuple[Value, ...]:
        """Its sort values."""
        number = self.number(position)
        if self._simple:
            return (self.entries.performed(number), self.entries.id(number))
        return self._order.values(self.entries.record(number))

    def key(self, position: int) -> Key:
        """Its comparable key."""
        return self._order.key(self.values(position))

    def between(self, start: int | None, end: int | None) -> tuple[int, int]:
        """The positions of a time window."""

        def earlier_than(moment: int) -> int:
            upwards = range(self.count - 1, -1, -1) if self.backwards else range(self.count)
            return bisect.bisect_left(upwards, moment, key=lambda position: self.entries.performed(self.number(position)))

        low = 0 if start is None else earlier_than(start)
        high = self.count if end is None else max(low, earlier_than(end))
        return (self.count - high, self.count - low) if self.backwards else (low, high)


class Rearranged(TimeOrdered):
    """Generated entries in any other order, through an array of positions made once."""

    def __init__(self, entries: GeneratedEntries, company_id: str | None, order: Order, positions: array[int]) -> None:
        super().__init__(entries, company_id, order)
        self._positions = positions

    def number(self, position: int) -> int:
        """The entry at a position."""
        return super().number(self._positions[position])


class Lister:
    """Answers queries from a store; remembers the lists it sorted until something changes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._version = store.version
        self._lists: OrderedDict[tuple[bytes, frozenset[str]], tuple[list[Key], list[Stored]]] = OrderedDict()
        self._arrays: OrderedDict[tuple[str | None, Order], array[int]] = OrderedDict()

    def page(self, query: Query, companies: frozenset[str], hide: str | None, position: tuple[Value, ...] | None) -> Page:
        """The page that `query` asks of the records of `companies`.

        `hide` names a field: records that have it set are left out. `position` holds the sort
        values of the request's cursor, if it has one.
        """
        keys, kept = self._kept(query, companies, hide)
        base = self._base(query, companies)
        walk = Walk(query.order, keys, kept, base)
        if base is not None:
            self._narrow(walk, base, query, companies, hide)
        return walk.page(query.page, position)

    def _kept(self, query: Query, companies: frozenset[str], hide: str | None) -> tuple[list[Key], list[Stored]]:
        if self._version != self._store.version:
            self._lists.clear()
            self._version = self._store.version
        name = (query.digest, companies)
        if name not in self._lists:
            stream = query.stream.name
            found = [
                stored
                for stored in self._store.kept(stream)
                if (query.stream.company_in is CompanyIn.CREDENTIAL or self._store.owner(stream, stored.record) in companies)
                and _passes(stored.record, query, hide)
            ]
            pairs = sorted(((query.order.key(query.order.values(stored.record)), stored) for stored in found), key=lambda pair: pair[0])
            self._lists[name] = ([key for key, _ in pairs], [stored for _, stored in pairs])
            if len(self._lists) > _LISTS_KEPT:
                self._lists.popitem(last=False)
        return self._lists[name]

    def _base(self, query: Query, companies: frozenset[str]) -> TimeOrdered | None:
        entries = self._store.base(query.stream.name)
        mine = companies.intersection(entries.company_ids) if entries is not None else frozenset[str]()
        if entries is None or not mine:
            return None
        company = next(iter(mine)) if len(mine) == 1 else None
        if query.order.keys[0].field == _TIME:  # no two generated entries share their time
            return TimeOrdered(entries, company, query.order)
        name = (company, query.order)
        if name not in self._arrays:
            plain = TimeOrdered(entries, company, query.order)
            keyed = sorted((plain.key(position), position) for position in range(plain.count))
            self._arrays[name] = array("L", (position for _, position in keyed))
            if len(self._arrays) > _ORDERS_KEPT:
                self._arrays.popitem(last=False)
        return Rearranged(entries, company, query.order, self._arrays[name])

    def _narrow(self, walk: Walk, base: TimeOrdered, query: Query, companies: frozenset[str], hide: str | None) -> None:
        """Tell the walk which generated entries count: bounds where time order gives them, else a check for each."""
        entries, window, hidden = base.entries, query.window, self._store.hidden
        checks: list[Accepts] = []
        if not companies.issuperset(entries.company_ids) and len(companies.intersection(entries.company_ids)) > 1:
            checks.append(lambda number: entries.company_of(number) in companies)
        bounded = window is not None and window.field == _TIME and not isinstance(base, Rearranged)
        if window is not None and bounded:
            walk.low, walk.high = base.between(window.start, window.end)
        if query.keeps or (window is not None and not bounded):
            checks.append(lambda number: _passes(entries.record(number), query, hide))
        elif hide is not None:
            checks.append(lambda number: not entries.is_deleted(number))
        walk.countable = not checks
        if hidden:
            checks.append(lambda number: number not in hidden)
            walk.uncounted = sum(_counts(entries, number, companies, query) for number in hidden)
        if checks:
            walk.accepts = lambda number: all(check(number) for check in checks)


def _counts(entries: GeneratedEntries, number: int, companies: frozenset[str], query: Query) -> bool:
    return entries.company_of(number) in companies and _passes(entries.record(number), query, None)


def _passes(record: Record, query: Query, hide: str | None) -> bool:
    if hide is not None and record.get(hide) is not None:
        return False
    window = query.window
    if window is not None:
        value = record.get(window.field)
        if value is None:
            return False
        moment = nanoseconds(value)
        if (window.start is not None and moment < window.start) or (window.end is not None and moment >= window.end):
            return False
    return all(keep(record) for keep in query.keeps)
