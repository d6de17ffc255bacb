"""One list request, understood: which companies, which records, in which order, which page."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pleo_connector.catalogue import CompanyIn, LogicalType, Paging, Stream
from pleo_connector.errors import ConfigurationError
from pleo_connector.sandbox.contract import Archived, CompanyRule, Operation
from pleo_connector.sandbox.ordering import ORDERS, Order, SortKey
from pleo_connector.sandbox.samples import Record
from pleo_connector.sandbox.times import nanoseconds

Keeps = Callable[[Record], bool]

_PAGING = ("before", "after", "offset", "limit", "sorting_keys", "sorting_order")
_INT32 = 2**31 - 1


class Refused(Exception):  # becomes an answer, not a failure
    """A request that Pleo would refuse: status, code, sentence and extra headers."""

    def __init__(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.headers = status, code, message, headers or {}


def invalid(message: str) -> Refused:
    """The 400 for a parameter or field."""
    return Refused(400, "PARAMETER_VALIDATION_FAILED", message)


@dataclass(frozen=True, slots=True)
class WindowBounds:
    """Whether the limits of a date filter are included: Pleo does not document it."""

    start_included: bool = True
    end_included: bool = False

    @classmethod
    def from_text(cls, text: str) -> WindowBounds:
        """`[` or `(` for the start, `]` or `)` for the end, as in `[)`; ConfigurationError for anything else."""
        if text not in ("[)", "[]", "()", "(]"):
            raise ConfigurationError(f"Window bounds are one of [) [] () (], with a square bracket for an included limit, not {text!r}.")
        return cls(text[0] == "[", text[1] == "]")

    def __str__(self) -> str:
        return f"{'[' if self.start_included else '('}{']' if self.end_included else ')'}"


@dataclass(frozen=True, slots=True)
class Window:
    """A date filter in nanoseconds: `start` is included, `end` is not."""

    field: str
    start: int | None
    end: int | None


@dataclass(frozen=True, slots=True)
class PageAsked:
    """Which page; at most one of `after`, `before` and `offset` is set."""

    limit: int | None
    after: str | None = None
    before: str | None = None
    offset: int | None = None


@dataclass(frozen=True, slots=True)
class Query:
    """A list request after all checks but the company's permission."""

    stream: Stream
    company_id: str | None
    organisation_id: str | None
    order: Order
    page: PageAsked
    window: Window | None
    keeps: tuple[Keeps, ...]
    digest: bytes
    """Of everything but the page: cursors are good for this only."""
    parameters: dict[str, list[str]] = field(default_factory=dict)
    """The other query parameters, as the envelope echoes them."""


def understand(stream: Stream, rules: Operation, query: Mapping[str, list[str]], body: Mapping[str, Any], bounds: WindowBounds) -> Query:
    """The request as a Query; Refused (400) for whatever Pleo's contract does not allow."""
    for name, kind in rules.required_body:
        if not isinstance(body.get(name), kind):
            raise Refused(400, "VALIDATION_FAILED", f"{name} is required in the body.")
    company = body.get("companyId") if stream.company_in is CompanyIn.BODY else _one(query, stream.company_in.value)
    organisation = _one(query, "organization_id") if rules.organisation else None
    if rules.company is CompanyRule.REQUIRED and company is None:
        raise invalid(f"{stream.company_in.value} is required.")
    if rules.company is CompanyRule.ORGANISATION_OR and company is None and organisation is None:
        raise invalid("One of company_id and organization_id is required.")
    for name, value in (("company", company), ("organisation", organisation)):
        if value is not None and not _is_uuid(value):
            raise invalid(f"The {name} id is not a UUID.")
    order = _order(stream, rules, query)
    window = _window(rules, body, bounds)
    parameters = {name: values for name, values in query.items() if name not in _PAGING}
    asked = (stream.name, sorted(parameters.items()), sorted(body.items()), [(key.field, key.order) for key in order.keys])
    digest = hashlib.blake2b(msgspec.json.encode(asked), digest_size=16).digest()
    return Query(stream, company, organisation, order, _page(stream, rules, query), window, _keeps(rules, query, body), digest, parameters)


def times_of(stream: Stream) -> frozenset[str]:
    """The record fields of a stream that hold times."""
    return frozenset(column.source for column in stream.columns if column.type is LogicalType.TIMESTAMP)


def _one(query: Mapping[str, list[str]], name: str) -> str | None:
    values = query.get(name)
    if not values:
        return None
    if len(values) > 1:
        raise invalid(f"{name} came more than once.")
    return values[0]


def _whole(query: Mapping[str, list[str]], name: str, lowest: int, highest: int) -> int | None:
    text = _one(query, name)
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or not lowest <= int(text) <= highest:
        raise invalid(f"{name} must be a whole number from {lowest} to {highest}.")
    return int(text)


def _page(stream: Stream, rules: Operation, query: Mapping[str, list[str]]) -> PageAsked:
    if stream.paging is Paging.WHOLE:
        return PageAsked(None)
    limit = _whole(query, "limit", 1, rules.max_limit)
    after, before = _one(query, "after"), _one(query, "before")
    offset = _whole(query, "offset", 0, _INT32) if rules.offset else None
    if sum(value is not None for value in (after, before, offset)) > 1:
        raise invalid("before, after and offset exclude each other.")
    return PageAsked(rules.default_limit if limit is None else limit, after, before, offset)


def _order(stream: Stream, rules: Operation, query: Mapping[str, list[str]]) -> Order:
    names, orders = query.get("sorting_keys", []), query.get("sorting_order", [])
    allowed = rules.sort_keys
    if allowed is None:
        allowed = tuple(column.source for column in stream.columns if column.source and "." not in column.source)
    for name in names:
        if name not in allowed:
            raise invalid(f"{name!r} is no sorting key; there are: {', '.join(allowed)}.")
    for order in orders:
        if order not in ORDERS:
            raise invalid(f"{order!r} is no sorting order; there are: {', '.join(ORDERS)}.")
    if orders and len(orders) != len(names):
        raise invalid("sorting_keys and sorting_order must come equally often.")
    if len(set(names)) != len(names):
        raise invalid("A sorting key came twice.")
    keys = tuple(SortKey(name, order) for name, order in zip(names, orders or ["ASC"] * len(names), strict=True))
    if not keys and rules.windows:
        keys = (SortKey(rules.windows[0], "DESC"),)  # newest first, unless asked otherwise
    return Order.of(keys, times_of(stream), rules.identity)


def _window(rules: Operation, body: Mapping[str, Any], bounds: WindowBounds) -> Window | None:
    found = []
    for name in rules.windows:
        start, end = (_moment(body, name + side) for side in ("Start", "End"))
        if start is not None or end is not None:
            low = None if start is None else start + (not bounds.start_included)  # times are whole nanoseconds
            high = None if end is None else end + bounds.end_included
            found.append(Window(name, low, high))
    if len(found) > 1:
        raise Refused(400, "VALIDATION_FAILED", f"Only one pair of dates is allowed, not {' and '.join(window.field for window in found)}.")
    return found[0] if found else None


def _moment(body: Mapping[str, Any], name: str) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    try:
        return nanoseconds(value)
    except (TypeError, ValueError):
        raise Refused(400, "VALIDATION_FAILED", f"{name} must be a date-time such as 2026-01-31T00:00:00Z.") from None


def _keeps(rules: Operation, query: Mapping[str, list[str]], body: Mapping[str, Any]) -> tuple[Keeps, ...]:
    """The filters that records must pass, apart from company, window and deletion."""
    found: list[Keeps] = []
    archived = body.get("archived")
    if isinstance(archived, bool):
        found.append(lambda record: record.get("archived") is archived)
    elif rules.archived is not Archived.ALWAYS:
        by_query = rules.archived is Archived.QUERY_FLAG
        if not (query.get("include_archived") == ["true"] if by_query else body.get("includeArchived") is True):
            found.append(lambda record: not record.get("archived"))
    for name, path in rules.any_of:
        wanted = body.get(name, query.get(name))
        if isinstance(wanted, list) and wanted:
            found.append(_any_of(frozenset(map(str, wanted)), path))
    for name, path in rules.equals:
        value = body.get(name, _one(query, name))
        if value is not None:
            found.append(_any_of(frozenset((str(value),)), path))
    return tuple(found)


def _any_of(wanted: frozenset[str], path: str) -> Keeps:
    names = path.split(".")
    return lambda record: any(value in wanted for value in _values_at(record, names))


def _values_at(value: Any, names: list[str]) -> list[Any]:
    if isinstance(value, list):
        return [found for item in value for found in _values_at(item, names)]
    if not names:
        return [value]
    return _values_at(value.get(names[0]), names[1:]) if isinstance(value, dict) else []


def _is_uuid(text: Any) -> bool:
    if not isinstance(text, str):
        return False
    parts = text.split("-")
    return [len(part) for part in parts] == [8, 4, 4, 4, 12] and all(char in "0123456789abcdefABCDEF" for part in parts for char in part)
