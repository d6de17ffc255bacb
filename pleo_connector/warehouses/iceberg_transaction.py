"""One open transaction on Iceberg tables.

DuckDB in memory runs the queries of a load: each table is a view there, with only the columns that a query reads.
`IcebergRows` holds the changes; they become files at the end, for all tables at once.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from datetime import datetime

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError
from pyiceberg.io import FileIO

from pleo_connector.catalogue import Table, View
from pleo_connector.errors import WarehouseError
from pleo_connector.warehouses.duckdb_transaction import DuckDBTransaction
from pleo_connector.warehouses.iceberg_cache import ColumnCache
from pleo_connector.warehouses.iceberg_canonical_text import canonical
from pleo_connector.warehouses.iceberg_catalog import TogetherCatalog, one_by_one
from pleo_connector.warehouses.iceberg_columns import columns_of_query, mentions
from pleo_connector.warehouses.iceberg_comparison import unchanged_rows
from pleo_connector.warehouses.iceberg_errors import refusing
from pleo_connector.warehouses.iceberg_history import KNOWN, IcebergHistory
from pleo_connector.warehouses.iceberg_places import PlacesSql
from pleo_connector.warehouses.iceberg_rows import PART, POSITION, IcebergRows
from pleo_connector.warehouses.iceberg_schema import ICEBERG
from pleo_connector.warehouses.iceberg_snapshots import forgotten
from pleo_connector.warehouses.iceberg_tables import Work, created, widened
from pleo_connector.warehouses.merge import DECISIVE, ROW
from pleo_connector.warehouses.protocol import SEEN_KEYS, Batches, MergeCounts, Scope
from pleo_connector.warehouses.staging import staged, typed
from pleo_connector.warehouses.views import log

BATCHES = Batches(rows=500_000, linger=60.0, oldest=60.0)
"""A load costs half a second for its files and snapshots, however few its rows; so many take 1.7 GB of memory, and more would take more. A stopped run loses a minute of pages."""

STATE_SNAPSHOTS = 3
"""How many snapshots the connector's own tables keep: their past is not needed, and each load changes most of them."""


class IcebergTransaction(DuckDBTransaction):
    """One open transaction; readers see nothing of it before `commit`."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, catalog: Catalog, schema: str, location: str, folder: str | None, cache: ColumnCache
    ) -> None:
        super().__init__(connection, schema, location, ICEBERG)
        self._sql: PlacesSql = PlacesSql(ICEBERG, schema, self._sql.catalog)
        self._catalog = catalog
        self._folder = folder
        self._cache = cache
        cache.begin()
        self._load = uuid.uuid4().hex
        self._children: set[str] = set()
        self._open: dict[str, IcebergRows] = {}
        self._shown: dict[str, str] = {}
        self._history = IcebergHistory(self._sql, self.run, self._arrow, self._show, self._rows)
        self.run(self._sql.create_schema())

    def ensure(self, tables: Sequence[Table]) -> None:
        """Create what is missing, add missing columns and refresh descriptions; WarehouseError where a stored column has another type."""
        with refusing(self._location):
            self._catalog.create_namespace_if_not_exists((self._schema,))
            for table in tables:
                rows = self._find(table.name)
                if table.parent is not None:
                    self._children.add(table.name)
                if rows is None:
                    self._open[table.name] = IcebergRows(created(self._catalog, self._schema, table, self._folder), ())
                else:
                    widened(rows.work, table, self._location)

    def define(self, views: Sequence[View], warn: Callable[[str], object] = log.warning) -> tuple[str, ...]:  # noqa: ARG002 - the protocol's
        """Nothing: Iceberg's catalogues keep no views that every engine reads."""
        return ()

    def merge(self, tables: Sequence[Table], frames: Mapping[str, pd.DataFrame], *, history: bool = False) -> MergeCounts:
        """Write new and changed parents (`tables[0]`) and replace their children."""
        self._children |= {table.name for table in tables[1:]}
        return super().merge(tables, frames, history=history)

    def delete(self, table: Table, **equals: object) -> int:
        """Delete rows whose columns equal these values; returns how many. ValueError without any column."""
        sql, values = self._sql.equal_places(table, equals)
        self._show(table.name, list(equals))
        return self._rows(table.name).remove(self._arrow(sql, values))

    def absent(self, table: Table, scope: Scope, sweeps: Sequence[str]) -> tuple[int, int]:
        """(live rows in scope, those of them that these sweeps did not see)."""
        self._show_absence(table, scope)
        return super().absent(table, scope, sweeps)

    def tombstone(self, tables: Sequence[Table], scope: Scope, sweeps: Sequence[str], at: datetime, *, history: bool = False) -> int:
        """Mark absent parents and their children deleted at `at`; returns how many parents."""
        self._children |= {table.name for table in tables[1:]}
        self._show_absence(tables[0], scope)
        return super().tombstone(tables, scope, sweeps, at, history=history)

    def read(self, table: Table, columns: Sequence[str] | None = None, **equals: object) -> pa.Table:
        """Rows whose columns equal these values, with the Arrow types of `staging.ARROW`; order is not promised."""
        names = list(columns or table.column_names)
        sql, values = self._sql.select(table, names, equals)
        self._show(table.name, list(dict.fromkeys([*names, *equals])))
        return typed(table, self._arrow(sql, values))

    def scalar(self, sql: str) -> object:
        """The first value of a SELECT, or None; only the tables and columns that it names are read."""
        views = []
        for name in self._named_in(sql):
            rows = self._rows(name)
            if (view := rows.metadata.properties.get(KNOWN)) is not None:
                views.append(view)
                self._show(name, rows.names)
                continue
            self._show(name, columns_of_query(sql, rows.names) or rows.names[:1])
        for view in sorted(views, key=lambda view: view.count("_as_known")):  # those of children read their parent's
            self.run(view)
        return super().scalar(sql)

    def count(self, table: Table) -> int:
        """Rows that are not tombstones."""
        rows = self._rows(table.name)
        with refusing(self._location):
            return rows.count("_deleted_at" if "_deleted_at" in table.column_names else None)

    def counts(self, tables: Sequence[Table]) -> dict[str, int]:
        """Rows of each table that are not tombstones."""
        return {table.name: self.count(table) for table in tables}

    def commit(self) -> None:
        """Write and publish all changes: together, where the catalogue can, or table by table in the order of `one_by_one`."""
        unneeded: list[tuple[FileIO, str]] = []
        with refusing(self._location):
            for name, rows in self._open.items():
                if rows.write({"pleo.load": self._load}) and name.startswith("_"):
                    outdated = rows.metadata.snapshots[:-STATE_SNAPSHOTS]
                    unneeded += [(rows.io, file) for file in forgotten(rows.work, outdated)]
            for name in one_by_one(self._open, self._children):
                self._open[name].work.commit_transaction()
            if isinstance(self._catalog, TogetherCatalog):
                self._catalog.publish()
        for io, file in unneeded:
            with suppress(OSError):
                io.delete(file)

    def _set_aside(self, tables: Sequence[Table], names: Sequence[str]) -> int:
        parent = tables[0]
        stored = self._show(parent.name, [*parent.key, *DECISIVE], again=True)
        stages = dict(zip(tables, (self._stages[name] for name in names), strict=True))
        children = {table: rows for table, rows in stages.items() if table is not parent}
        masks = unchanged_rows(self._hashes, parent, stages[parent], stored, children)
        if masks is None:
            return 0
        same, belonging = masks
        for table, rows in {parent: same, **belonging}.items():
            self._narrow(names[tables.index(table)], pa.array(np.flatnonzero(~rows)))
        return int(np.count_nonzero(same))

    def _hashes(self, rows: pa.Table, columns: Sequence[str]) -> np.ndarray:
        self._connection.register("_pleo_hashed", rows)
        hashes: np.ndarray = self._arrow(self._sql.hashes(columns, "_pleo_hashed")).column(0).to_numpy()
        self._connection.unregister("_pleo_hashed")
        return hashes

    def _delete_changed(self, table: Table, parent: Table) -> None:
        if table is not parent:
            self._show(table.name, table.parent_key, again=True)
        self._rows(table.name).remove(self._arrow(self._sql.changed_places(table, parent)))

    def _delete_staged(self, table: Table, name: str) -> None:
        self._show(table.name, table.key)
        self._rows(table.name).remove(self._arrow(self._sql.staged_places(table, name)))

    def _insert(self, table: Table, name: str) -> None:
        self._rows(table.name).add(self._canonical(table, self._stages[name], set(table.column_names) - {*table.key, *table.parent_key}))

    def _tombstone(self, table: Table, at: datetime) -> None:
        self._show(table.name, [*(table.parent_key or table.key), "_deleted_at"])
        rows = self._rows(table.name)
        places = self._arrow(self._sql.absent_places(table))
        with refusing(self._location):
            marked = rows.take(places)
        rows.remove(places)
        for column, value in (("_deleted_at", at), ("_synced_at", at), ("_deleted_source", "sweep_absent")):
            place = marked.schema.get_field_index(column)
            kind = marked.schema.field(place).type
            marked = marked.set_column(place, column, pa.repeat(pa.scalar(value, kind), marked.num_rows))
        rows.add(marked)

    def _stage(self, table: Table, frame: pd.DataFrame) -> pa.Table:
        return self._canonical(table, staged(table, frame, ROW), {*table.key, *table.parent_key})

    def _canonical(self, table: Table, rows: pa.Table, columns: AbstractSet[str]) -> pa.Table:
        """The rows, with one spelling for what has several: keys before they are compared, the rest only where it is written."""
        return canonical(self._sql, self._connection, self._arrow, table, rows, columns)

    def _show_absence(self, table: Table, scope: Scope) -> None:
        columns = [*table.key, "_deleted_at", "_synced_at", table.company_column, scope.column]
        self._show(table.name, list(dict.fromkeys(name for name in columns if name is not None)))
        self._show(SEEN_KEYS, ["sweep_id", "stream", "key"])

    def _show(self, table: str, columns: Sequence[str], *, fresh: bool = False, again: bool = False) -> pa.Table:
        """Let the table's name stand, in DuckDB, for these columns of its present rows and their places; returns those.

        `fresh`: of those just added. `again`: the next load will ask for the same.
        """
        held = self._rows(table)
        with refusing(self._location):
            rows = held.rows(columns, (lambda _: False) if fresh else (lambda _: True), again=again)
        name = f"_pleo_shown_{len(self._shown)}" if table not in self._shown else self._shown[table]
        if table in self._shown:
            self._connection.unregister(name)
        self._connection.register(name, rows)
        self._shown[table] = name
        self.run(self._sql.view(table, [*columns, PART, POSITION], name))
        return rows

    def _named_in(self, sql: str) -> list[str]:
        stored: list[str] = []
        with refusing(self._location), suppress(NoSuchNamespaceError):
            stored = [name for *_, name in self._catalog.list_tables((self._schema,))]
        names = list(dict.fromkeys([*stored, *self._open]))
        if "_as_known" in sql.lower():  # a view over the history tables of a parent and its child
            return [name for name in names if name.endswith("_history") or mentions(sql, name)]
        return [name for name in names if mentions(sql, name)]

    def _rows(self, table: str) -> IcebergRows:
        rows = self._find(table)
        if rows is None:
            raise WarehouseError(f"The warehouse {self._location} has no table {self._schema}.{table}; a sync makes it.")
        return rows

    def _find(self, table: str) -> IcebergRows | None:
        if table not in self._open:
            with refusing(self._location):
                try:
                    stored = self._catalog.load_table((self._schema, table))
                except NoSuchTableError:
                    return None
                self._open[table] = IcebergRows(Work(stored), stored.scan().plan_files(), self._cache)
        return self._open[table]
