"""Sorting as `sorting_keys` and `sorting_order` ask: total, with a place for nulls, ending in the key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import total_ordering
from typing import Any

from pleo_connector.sandbox.times import nanoseconds

Value = int | float | str | bool | None
"""A sort value: times are nanoseconds, the rest is as in the record."""
Key = tuple[tuple[int, Any], ...]

ORDERS = ("ASC", "ASC_NULLS_FIRST", "ASC_NULLS_LAST", "DESC", "DESC_NULLS_FIRST", "DESC_NULLS_LAST")


@total_ordering
@dataclass(frozen=True, slots=True)
class _Backwards:
    """Text that sorts the other way round."""

    text: str

    def __lt__(self, other: _Backwards) -> bool:
        return self.text > other.text


@dataclass(frozen=True, slots=True)
class SortKey:
    """One sort key; without a word on nulls they come last upwards and first downwards."""

    field: str
    order: str = "ASC"

    @property
    def descending(self) -> bool:
        """True for the DESC family."""
        return self.order.startswith("DESC")

    def part(self, value: Value) -> tuple[int, Any]:
        """`value` as a part of a comparable key."""
        if value is None:
            first = self.order.endswith("FIRST") or self.order == "DESC"
            return (0 if first else 2, 0)
        if not self.descending:
            return (1, value)
        return (1, _Backwards(value) if isinstance(value, str) else -value)


@dataclass(frozen=True, slots=True)
class Order:
    """A total order of records: the sort keys, then what tells records apart where it is not among them."""

    keys: tuple[SortKey, ...]
    times: frozenset[str]
    """Fields that hold times."""

    @classmethod
    def of(cls, keys: tuple[SortKey, ...], times: frozenset[str], identity: tuple[str, ...] = ("id",)) -> Order:
        """The order with its tiebreaker."""
        named = {key.field for key in keys}
        return cls((*keys, *(SortKey(name) for name in identity if name not in named)), times)

    def values(self, record: Mapping[str, Any]) -> tuple[Value, ...]:
        """The record's sort values, one per key; lists and objects sort as null."""
        return tuple(self._value(record.get(key.field), key.field) for key in self.keys)

    def _value(self, value: Any, field: str) -> Value:
        if field in self.times and isinstance(value, str):
            return nanoseconds(value)
        return value if isinstance(value, str | int | float) else None

    def key(self, values: tuple[Value, ...]) -> Key:
        """Values as something that compares in this order."""
        return tuple(key.part(value) for key, value in zip(self.keys, values, strict=True))
