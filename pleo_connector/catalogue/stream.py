"""What a Pleo resource is: one frozen `Stream` that everything else derives from.

Requests, JSON shape, normalisation, tables, Dagster assets, sandbox routes and docs all read
these declarations. A declaration checks itself: a typo fails at import, with the stream's name.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import StrEnum

from pleo_connector.catalogue.hash_key import HashKey
from pleo_connector.catalogue.table import COMPANY_FIELD, SYSTEM_FIELDS, Table
from pleo_connector.catalogue.types import Field, LogicalType, Storage, fields_of, snake_case
from pleo_connector.column_rules import ColumnRule


class CompanyIn(StrEnum):
    """Where a request says which company it reads. Pleo spells it four ways."""

    QUERY = "company_id"
    QUERY_CAMEL = "companyId"
    BODY = "body"
    """`companyId` in the JSON body."""
    NOWHERE = "nowhere"
    """The list of companies itself."""
    CREDENTIAL = "credential"
    """Not at all: the records belong to the credential and are read once, not for each company."""
    PARENT = "parent"
    """The record it is read for belongs to a company, and the request names that record."""


class Paging(StrEnum):
    """How a list ends: by `pagination.hasNextPage`, or in one piece."""

    CURSOR = "cursor"
    WHOLE = "whole"
    ONE = "one"
    """No list: the answer is one record, without an envelope."""


class SyncMode(StrEnum):
    """Which rows a run must read again (see docs/how-it-syncs.md)."""

    SNAPSHOT = "snapshot"
    WINDOWED = "windowed"
    NEWEST_FIRST = "newest_first"
    OPEN_JOBS = "open_jobs"


@dataclass(frozen=True, slots=True)
class Column:
    """One declared field. `source` is its dotted path in the record; "" is the element itself."""

    source: str
    type: LogicalType
    description: str
    name: str = ""
    required: bool = False
    """Required by Pleo's contract; still nullable in the warehouse."""
    personal: bool = False
    """Says something about a person."""
    values: tuple[str, ...] = ()
    """Known values of an open set: an unseen one loads, and is reported."""
    meanings: tuple[tuple[str, str], ...] = ()
    """The known values with what each means; they are the `values` where those are not given."""
    rule: ColumnRule = ColumnRule.KEEP
    """The rule for its values before they are stored; set by `rules.under_rules`."""
    same_as: str = ""
    """`stream.column` that holds the same values: its rule goes for this column too, unless this one has a rule of its own."""

    def __post_init__(self) -> None:
        if not self.name:
            object.__setattr__(self, "name", snake_case(self.source))
        if self.meanings and not self.values:
            object.__setattr__(self, "values", tuple(value for value, _ in self.meanings))
        if not self.description.endswith("."):
            raise ValueError(f"column {self.name}: the description must be a sentence ending in a full stop")

    def fields(self) -> tuple[Field, ...]:
        """The warehouse columns this becomes."""
        return fields_of(self.name, self.type, f"{self.description}{self._known_values()}", personal=self.personal)

    def _known_values(self) -> str:
        """A sentence on the values, for the column's description."""
        if not self.values:
            return ""
        meaning = dict(self.meanings)
        listed = "; ".join(f"{value} ({meaning[value]})" if value in meaning else value for value in self.values)
        return f" Values: {listed}. Pleo may add others."


@dataclass(frozen=True, slots=True)
class Child:
    """A list inside a record that becomes a table of its own, replaced with its parent."""

    name: str
    record: str
    """The singular word its own children use to point at it: `split` gives `split_position`."""
    source: str
    description: str
    columns: tuple[Column, ...]
    children: tuple[Child, ...] = ()
    identity: str | None = None
    """A column that its own children repeat as `<record>_<identity>`, for joins."""
    sparse: bool = False
    """Elements may be null by contract; such a one leaves no row."""

    def __post_init__(self) -> None:
        if self.identity is not None and self.identity not in {column.name for column in self.columns}:
            raise ValueError(f"child {self.name}: identity {self.identity!r} is not one of its columns")


@dataclass(frozen=True, slots=True)
class Window:
    """The date filter of a windowed stream."""

    start: str
    """Body field for the lower bound, for example `performedAtStart`."""
    end: str
    column: str
    """The warehouse column that the filter acts on."""
    final: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """Columns, with the values after which no change is expected; a record with any other value is open. NULL counts as final."""
    void: tuple[str, tuple[str, ...]] | None = None
    """A column, and values that end a record whatever the others say."""

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that it goes by."""
        return (self.column, *(name for name, _ in self.final), *((self.void[0],) if self.void is not None else ()))


@dataclass(frozen=True, slots=True)
class Parent:
    """The stream whose records this one is read for: one walk for each of them."""

    stream: str
    parameter: str
    """Where the request names the parent: `{parameter}` in the path, or else a query parameter."""
    column: str
    """The column that holds the parent's key; added where the record does not say it."""
    within: str | None = None
    """The field that identifies a record within its parent, where Pleo serves no key: `id` is then made from both."""
    final: tuple[str, ...] = ()
    """Values of the parent's `status` after which its records no longer change."""
    only_open: bool = False
    """Pleo serves the records only until the parent is final."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One Pleo resource. `operation` is its operationId in the contract."""

    name: str
    record: str
    title: str
    description: str
    operation: str
    method: str
    path: str
    scope: str
    """Empty where Pleo documents none."""
    company_in: CompanyIn
    mode: SyncMode
    paging: Paging
    columns: tuple[Column, ...]
    key: str = "id"
    children: tuple[Child, ...] = ()
    query: tuple[tuple[str, str], ...] = ()
    body: tuple[tuple[str, object], ...] = ()
    limit: int | None = None
    sort: tuple[tuple[str, str], ...] = ()
    window: Window | None = None
    deleted_flag: str | None = None
    """The timestamp column in which Pleo itself says "deleted"."""
    scope_alternatives: tuple[str, ...] = ()
    """Other spellings of the scope that sources show."""
    newest: str | None = None
    """The creation time that a newest-first stream is sorted by, newest first."""
    parent: Parent | None = None
    ignored: tuple[tuple[str, str], ...] = ()
    """Contract fields dropped on purpose, with all below them, before records are stored: (dotted path, reason)."""
    hash_key: HashKey | None = None
    """The key of its hashed columns; set by `rules.under_rules`."""
    path_rules: tuple[tuple[str, ColumnRule], ...] = ()
    """What becomes of undeclared fields, by dotted path; set by `rules.under_rules`."""
    name_rules: tuple[tuple[str, ColumnRule], ...] = ()
    """What becomes of undeclared fields at any depth, by `plain_name`; set by `rules.under_rules`."""
    keeps_unknown: bool = True
    """False where an undeclared field may be a secret: its name is reported, and its value is dropped."""

    declared_at: tuple[str, int] | None = field(default=None, compare=False, repr=False)
    """(file, line) of the declaration, for people who want to read it; found by itself, and kept by `replace`."""

    def __post_init__(self) -> None:
        if self.declared_at is None:
            caller = sys._getframe(2)  # noqa: SLF001 - whoever calls the class; above it is the __init__ that dataclass makes
            object.__setattr__(self, "declared_at", (caller.f_code.co_filename, caller.f_lineno))
        for fault in (*self._request_faults(), *self._column_faults()):
            raise ValueError(f"stream {self.name}: {fault}")
        for fault in self._table_faults():
            raise ValueError(f"stream {self.name}: {fault}")

    def _request_faults(self) -> Iterator[str]:
        if self.method not in ("GET", "POST"):
            yield f"method {self.method!r} is neither GET nor POST"
        if self.method == "GET" and (self.body or self.company_in is CompanyIn.BODY):
            yield "a GET carries no body"
        if not self.path.startswith("/v"):
            yield f"path {self.path!r} does not start with a version"
        if self.scope and self.scope.count(":") != 1:
            yield f"scope {self.scope!r} does not look like `resource:read`"
        if (self.paging is Paging.CURSOR) != (self.limit is not None):
            yield "a cursor-paged stream needs a limit, and only that does"
        if self.limit is not None and self.limit < 1:
            yield f"limit {self.limit} is less than one record"
        if self.sort and self.paging is not Paging.CURSOR:
            yield "only a cursor-paged stream is sorted by the server"
        if (self.company_in is CompanyIn.PARENT) != (self.parent is not None):
            yield "a stream that is read for each record of another needs a parent, and only that does"
        if "{" in self.path and (self.parent is None or f"{{{self.parent.parameter}}}" not in self.path):
            yield f"path {self.path!r} has a place that no parent fills"

    def _column_faults(self) -> Iterator[str]:
        names = [column.name for column in self.columns]
        if self.key not in names and not self.makes_key:
            yield f"key {self.key!r} is not one of its columns"
        if (self.mode is SyncMode.WINDOWED) != (self.window is not None):
            yield "a windowed stream needs a window, and only that does"
        yield from (f"window column {name!r} is not one of its columns" for name in self.windowed_by if name not in names)
        if (self.mode is SyncMode.NEWEST_FIRST) != (self.newest is not None):
            yield "a newest-first stream needs its creation time, and only that does"
        if self.newest is not None:
            source = next((column.source for column in self.columns if column.name == self.newest), None)
            if not self.sort or self.sort[0] != (source, "DESC"):
                yield f"newest {self.newest!r} is not the column that it is sorted by, newest first"
        if self.parent is not None and self.parent.within is not None and self.parent.within not in {c.source for c in self.columns}:
            yield f"its parent's within {self.parent.within!r} is not one of its fields"
        if self.deleted_flag is not None and self.deleted_flag not in names:
            yield f"deleted_flag {self.deleted_flag!r} is not one of its columns"
        if not self.title or not self.record or snake_case(self.name) != self.name:
            yield "needs a snake_case name, a singular record word and a title"

    def _table_faults(self) -> Iterator[str]:
        try:
            tables = self.tables()
        except ValueError as error:  # a table checks itself, and does not know its stream
            yield str(error)
            return
        for table in tables:
            if not table.description.endswith("."):
                yield f"table {table.name}: the description must be a sentence ending in a full stop"
        repeated = [name for name, count in Counter(table.name for table in tables).items() if count > 1]
        if repeated:
            yield f"tables declared twice: {repeated}"

    @property
    def makes_key(self) -> bool:
        """Whether `id` is made from the parent's key and a field, because Pleo serves none."""
        return self.parent is not None and self.parent.within is not None

    @property
    def windowed_by(self) -> tuple[str, ...]:
        """The columns that its windows go by."""
        return self.window.columns if self.window is not None else ()

    @property
    def of_company(self) -> bool:
        """Whether its records belong to one company each."""
        return self.company_in not in (CompanyIn.NOWHERE, CompanyIn.CREDENTIAL)

    def tables(self) -> tuple[Table, ...]:
        """The stream's tables, parent first, children before grandchildren."""
        fields = [*self._parent_fields(), *(field for column in self.columns for field in column.fields())]
        if self.of_company and "company_id" not in {field.name for field in fields}:
            fields.append(COMPANY_FIELD)
        window = self.window.column if self.window is not None else None
        parent = Table(self.name, self.description, (*fields, *SYSTEM_FIELDS), (self.key,), self.name, window_column=window)
        key = Field(f"{self.record}_{self.key}", Storage.UUID, f"The {self.record.replace('_', ' ')} this belongs to.")
        return (parent, *self._child_tables(self.children, self.name, (key,), ()))

    def _parent_fields(self) -> Iterator[Field]:
        """The key that is made, and the parent's key where the record does not hold it."""
        if self.parent is None:
            return
        within = next((column.name for column in self.columns if column.source == self.parent.within), None)
        if within is not None:
            yield Field(self.key, Storage.UUID, f"Made from {self.parent.column} and {within}: Pleo serves no key.")
        if self.parent.column not in {column.name for column in self.columns}:
            yield Field(self.parent.column, Storage.UUID, f"The record of {self.parent.stream} that this was read for.")

    def _child_tables(
        self, children: tuple[Child, ...], parent: str, keys: tuple[Field, ...], carried: tuple[Field, ...]
    ) -> Iterator[Table]:
        for child in children:
            position = Field("position", Storage.BIGINT, "Place in the list as served, from 1.")
            columns = tuple(field for column in child.columns for field in column.fields())
            table_keys = (*keys, position)
            yield Table(
                child.name,
                child.description,
                (*table_keys, *carried, *columns, COMPANY_FIELD, *SYSTEM_FIELDS),
                tuple(field.name for field in table_keys),
                self.name,
                parent=parent,
                parent_key=(keys[0].name,),
            )
            if child.children:
                down = Field(f"{child.record}_position", Storage.BIGINT, f"Position of the {child.record} it belongs to.")
                also: tuple[Field, ...] = ()
                if child.identity is not None:
                    storage = next(field.storage for field in columns if field.name == child.identity)
                    also = (Field(f"{child.record}_{child.identity}", storage, f"The {child.record} it belongs to."),)
                yield from self._child_tables(child.children, child.name, (*keys, down), (*carried, *also))


__all__ = ["Child", "Column", "CompanyIn", "LogicalType", "Paging", "Parent", "Stream", "SyncMode", "Window"]
