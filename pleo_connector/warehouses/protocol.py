"""What a warehouse must do. A new warehouse is one file with these two classes; docs/add-a-warehouse.md is the recipe.

Take the SQL from `merge.MergeSql` with a `Dialect` of your own, the exact types from `staging`, add your URL to
`tests/warehouses/conftest.py`, and make the contract suite there pass.

Frames are pandas DataFrames on Arrow-backed dtypes whose columns are exactly
`table.column_names`. Everything inside one `transaction()` is committed together or not at all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from pleo_connector.catalogue import Table, View

if TYPE_CHECKING:  # a protocol moves no rows: what declares assets needs neither
    import pandas as pd
    import pyarrow as pa


@dataclass(frozen=True, slots=True)
class MergeCounts:
    """What a merge did to the parent table, in rows. `unchanged` rows cost no write."""

    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0
    """Rows that this merge turned into tombstones, because Pleo flags them as deleted (part of inserted or updated)."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Rows that a complete sweep must have read: of one company, with `start <= column < end`."""

    company_id: str | None = None
    column: str | None = None
    start: datetime | None = None
    end: datetime | None = None
    before: datetime | None = None
    """Only rows that were last written before this count as absent; the sweep may have missed later ones."""


class Transaction(Protocol):
    """One open transaction; every method may raise WarehouseError."""

    def ensure(self, tables: Sequence[Table]) -> None:
        """Create schema, tables and comments that are missing, and add missing columns. Never drops.

        Once per run is enough: it asks the database's catalogue one question (10 to 20 ms in DuckDB). A stored column of
        another type raises WarehouseError.
        """

    def define(self, views: Sequence[View], warn: Callable[[str], object] = ...) -> tuple[str, ...]:
        """Make the views that are missing or differ from what is stored, each after those it reads; returns their names.

        Their tables are there. A view of one of these names that the connector did not make raises WarehouseError. A warehouse
        that has no views does nothing and returns (). A view that cannot be replaced because a user's own view reads it
        stays unchanged, with those that read it; `warn` gets a message about it, and the others are made.
        """

    def keep_history(self, tables: Sequence[Table]) -> None:
        """Create the history tables of a stream's tables (parent first) and their views, after `ensure`; once per run.

        Each row whose present state is not in the history yet gets a version: all rows when history is switched on,
        and later those that changed while it was off.
        """

    def merge(self, tables: Sequence[Table], frames: Mapping[str, pd.DataFrame], *, history: bool = False) -> MergeCounts:
        """Write new and changed parents (`tables[0]`) and replace their children (the rest).

        A parent is changed when `_row_hash` or the deleted state (`_deleted_at` NULL or not, `_deleted_source`) differs from
        what is stored; nothing is written for the others. Each table has a frame, be it empty. WarehouseError for keys that
        are NULL or occur twice, for children without a parent among the served rows (where a row of the load is new or changed), and for other
        columns or types.
        With `history`, each parent that is written adds a version of itself and its children (`catalogue.history_of`).
        """

    def upsert(self, table: Table, frame: pd.DataFrame) -> None:
        """Replace rows by key; for state tables. WarehouseError for keys that are NULL or occur twice."""

    def delete(self, table: Table, **equals: object) -> int:
        """Delete rows whose columns equal these values (None means NULL, a list any of its values); returns how many."""

    def absent(self, table: Table, scope: Scope, sweeps: Sequence[str]) -> tuple[int, int]:
        """(live rows in scope, those of them whose key is not in `_seen_keys` for these sweeps and `table.stream`)."""

    def tombstone(self, tables: Sequence[Table], scope: Scope, sweeps: Sequence[str], at: datetime, *, history: bool = False) -> int:
        """Mark the absent rows and their children deleted (`sweep_absent`); returns how many parents.

        With `history`, that is a version of them too.
        """

    def read(self, table: Table, columns: Sequence[str] | None = None, **equals: object) -> pa.Table:
        """Rows whose columns equal these values (None means NULL, a list any of its values), typed as `staging.ARROW` says, in no promised order."""

    def scalar(self, sql: str) -> object:
        """The first value of one SELECT, or None without rows; `{schema}` stands for the quoted schema. ValueError for anything else."""

    def count(self, table: Table) -> int:
        """Rows in the table that are not tombstones; all rows if it has no `_deleted_at`."""

    def counts(self, tables: Sequence[Table]) -> dict[str, int]:
        """`count` of each table by its name; one query where the warehouse can."""


class Warehouse(Protocol):
    """A place for tables. `kind` is its Dagster kind; `location` names it without secrets; `has_views` says whether `define` makes any."""

    kind: str
    location: str
    has_views: bool

    def transaction(self) -> AbstractContextManager[Transaction]:
        """Open, begin, and at the end commit and release everything."""

    def relation(self, table: Table | View) -> str:
        """The full name of a table or view, as an analyst writes it."""


@dataclass(frozen=True, slots=True)
class Batches:
    """How much is gathered for one load: so many records, or what came within `oldest` seconds, or before a pause of `linger`."""

    rows: int
    linger: float
    oldest: float


@runtime_checkable
class Gathers(Protocol):
    """A warehouse in which a load costs much by itself, so that more is gathered for one than is usual."""

    batches: Batches


@runtime_checkable
class Publishes(Protocol):
    """A warehouse whose readers use a copy of it."""

    def publish(self) -> None:
        """Publish what is committed; called once at the end of a run. WarehouseError when that is not possible."""


SEEN_KEYS = "_seen_keys"
"""Name of the state table (sweep_id TEXT, stream TEXT, key UUID) that `absent` and `tombstone` read."""
