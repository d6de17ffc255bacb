"""Versions of rows in Iceberg tables: the same SQL as in other warehouses, over views in DuckDB, and its result is added.

Iceberg's catalogues keep no views here, so each history table keeps the definition of its view of versions as a property.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa

from pleo_connector.catalogue import Table, history_of
from pleo_connector.warehouses.history import UNVERSIONED, History
from pleo_connector.warehouses.iceberg_rows import IcebergRows
from pleo_connector.warehouses.merge import MergeSql

KNOWN = "pleo.as-known"
"""Property of a history table: the statement that makes its view `<table>_as_known`."""


class IcebergHistory(History):
    """The history tables beside the tables of one namespace; `show` makes a table's columns available to queries, `find` gives its rows."""

    def __init__(
        self,
        names: MergeSql,
        run: Callable[..., list[tuple[object, ...]]],
        query: Callable[[str], pa.Table],
        show: Callable[..., None],
        find: Callable[[str], IcebergRows],
    ) -> None:
        super().__init__(names, run)
        self._query = query
        self._show = show
        self._find = find

    def _make_views(self, tables: Sequence[Table]) -> None:
        for table in tables:
            rows = self._find(history_of(table).name)
            statement = self._as_known_view(table, tables[0])
            if rows.metadata.properties.get(KNOWN) != statement:
                rows.work.set_properties({KNOWN: statement})

    def _catch_up(self, tables: Sequence[Table]) -> None:
        parent = tables[0]
        for name in (parent.name, history_of(parent).name):
            self._show(name, [*parent.key, "_synced_at"])
        super()._catch_up(tables)

    def _write(self, tables: Sequence[Table], changed: str) -> None:
        # What was written just now is in memory; only rows of before the history was switched on must be read from files.
        fresh = UNVERSIONED not in changed
        parent, *children = tables
        for table in tables:
            self._show(table.name, table.column_names, fresh=fresh)
        self._show_versions(parent)
        self._add(parent, self._add_parents(parent, changed))
        self._show_versions(parent)
        for child in children:
            self._add(child, self._add_children(child, parent, changed))

    def _show_versions(self, table: Table) -> None:
        self._show(history_of(table).name, [*table.key, "valid_from", "observed_at", "_synced_at"])

    def _add(self, table: Table, select: str) -> None:
        versions = history_of(table)
        self._find(versions.name).add(self._query(select).rename_columns(list(versions.column_names)))

    def _insert(self, table: Table) -> str:  # noqa: ARG002 - History's
        return ""  # the SELECT alone: its rows are added above
