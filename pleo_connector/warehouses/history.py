"""Versions of rows: the SQL that adds them to history tables, the same for every SQL warehouse.

A version is written after its row, in the row's own transaction, from what the table then holds. So a load that is rolled back
leaves none, and a page that is loaded again changes no row and adds none. `_synced_at` links rows and versions, and it changes with each change of a row.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pleo_connector.catalogue import Table, history_of, known_view
from pleo_connector.warehouses.merge import ABSENT, SERVED, MergeSql

UNVERSIONED = "_pleo_unversioned"
"""Temporary table of the keys of rows whose present version is not in the history yet."""

_ENDS = {"valid_from": "valid_to", "observed_at": "observed_until"}
"""A version ends where the next one begins."""

_COLUMN_COUNTS = (
    "SELECT table_name::text, count(*) FROM information_schema.columns "
    "WHERE table_catalog = current_database() AND table_schema = $1 GROUP BY table_name"
)

_Run = Callable[..., Sequence[Sequence[object]]]
"""Runs one statement, with its parameters, and returns its rows."""


class History:
    """The history tables beside the tables of one schema."""

    def __init__(self, names: MergeSql, run: _Run, *, bare: bool = False) -> None:
        """`bare` where a view must name tables without schema: DuckDB takes the file out of a view's names, and a schema of the file's name is ambiguous then."""
        self._names = names
        self._run = run
        self._bare = bare

    def keep(self, tables: Sequence[Table]) -> None:
        """Make views and versions of what the tables hold; the history tables are there already."""
        self._make_views(tables)
        self._catch_up(tables)

    def _make_views(self, tables: Sequence[Table]) -> None:
        """Create the views of versions, or widen those that lack a new column."""
        columns = {str(name): count for name, count in self._run(_COLUMN_COUNTS, [self._names.schema])}
        for table in tables:
            wanted = len(history_of(table).fields) + len(_ENDS)
            if columns.get(known_view(table)) != wanted:
                if self._bare:
                    self._run(self._names.dialect.enter.format(schema=self._names.schema_name))
                self._run(self._as_known_view(table, tables[0]))
                comment = (
                    f"{history_of(table).description} valid_to and observed_until say where a version ended; NULL for the present one."
                )
                self._run(f"COMMENT ON VIEW {self._names.relation(known_view(table))} IS {self._names.dialect.literal(comment)}")

    def _catch_up(self, tables: Sequence[Table]) -> None:
        """Write a version of each row whose present state has none: all rows at first, and what changed while history was off."""
        q, parent = self._names.dialect.quote, tables[0]
        keys = ", ".join(f"t.{q(name)}" for name in parent.key)
        self._run(self._names.drop_temporary(UNVERSIONED))
        self._run(
            f"CREATE TEMPORARY TABLE {q(UNVERSIONED)} AS\nSELECT {keys} FROM {self._names.relation(parent)} AS t\n"
            f"WHERE NOT EXISTS (SELECT 1 FROM {self._names.relation(history_of(parent))} AS h WHERE {self._same_version(parent)})"
        )
        if self._run(f"SELECT count(*) FROM {q(UNVERSIONED)}")[0][0]:
            self._write(tables, f"SELECT {', '.join(map(q, parent.key))} FROM {q(UNVERSIONED)}")
        self._run(self._names.drop_temporary(UNVERSIONED))

    def write_served(self, tables: Sequence[Table]) -> None:
        """Add a version of the parents that are new or changed in SERVED."""
        keys = ", ".join(map(self._names.dialect.quote, tables[0].key))
        self._write(tables, f"SELECT {keys} FROM {self._names.dialect.quote(SERVED)} WHERE is_new OR is_changed")

    def write_absent(self, tables: Sequence[Table]) -> None:
        """Add a version of the parents in ABSENT, now tombstones."""
        q = self._names.dialect.quote
        (key,) = tables[0].key
        self._write(tables, f"SELECT {q('key')} AS {q(key)} FROM {q(ABSENT)}")

    def _write(self, tables: Sequence[Table], changed: str) -> None:
        """Add a version of the parents whose keys the query `changed` gives, and of their children as they now are."""
        parent, *children = tables
        self._run(self._add_parents(parent, changed))
        for child in children:
            self._run(self._add_children(child, parent, changed))

    def _add_parents(self, table: Table, changed: str) -> str:
        q = self._names.dialect.quote
        before = ", ".join(f"h.{q(name)}" for name in table.key)
        observed = f"GREATEST(t.{q('_synced_at')}, b.{q('observed_at')} + INTERVAL '1 microsecond')"
        candidates = ", ".join(f"t.{q(name)}" for name in (table.changed_column, "_deleted_at") if name is not None)
        valid_from = f"LEAST(GREATEST({candidates}), {observed})"
        return (
            f"{self._insert(table)}\n"
            f"SELECT CASE WHEN b.{q('valid_from')} >= {valid_from} THEN {observed} ELSE {valid_from} END, {observed},\n  {self._columns(table)}\n"
            f"FROM {self._names.relation(table)} AS t JOIN ({changed}) AS c ON {self._equal(table.key, 't', table.key, 'c')}\n"
            f"LEFT JOIN (SELECT {before}, max(h.{q('valid_from')}) AS {q('valid_from')}, max(h.{q('observed_at')}) AS {q('observed_at')}\n"
            f"  FROM {self._names.relation(history_of(table))} AS h JOIN ({changed}) AS c ON {self._equal(table.key, 'h', table.key, 'c')}\n"
            f"  GROUP BY {before}) AS b ON {self._equal(table.key, 'b', table.key, 't')}"
        )

    def _add_children(self, table: Table, parent: Table, changed: str) -> str:
        q = self._names.dialect.quote
        return (
            f"{self._insert(table)}\n"
            f"SELECT h.{q('valid_from')}, h.{q('observed_at')},\n  {self._columns(table)}\n"
            f"FROM {self._names.relation(table)} AS t JOIN ({changed}) AS c ON {self._equal(table.parent_key, 't', parent.key, 'c')}\n"
            f"JOIN {self._names.relation(parent)} AS p ON {self._equal(parent.key, 'p', parent.key, 'c')}\n"
            f"JOIN {self._names.relation(history_of(parent))} AS h ON {self._same_version(parent, 'p')}"
        )

    def _as_known_view(self, table: Table, parent: Table) -> str:
        """The added columns come first, so that a column which is added to the table later is the view's last."""
        q = self._names.dialect.quote
        view, versions = self._names.relation(known_view(table)), self._in_view(history_of(table))
        if table is parent:
            following = f"OVER (PARTITION BY {', '.join(f'h.{q(name)}' for name in table.key)} ORDER BY h.{q('observed_at')})"
            ends = ", ".join(f"lead(h.{q(begin)}) {following} AS {q(end)}" for begin, end in _ENDS.items())
            return f"CREATE OR REPLACE VIEW {view} AS\nSELECT {ends}, h.*\nFROM {versions} AS h"
        ends = ", ".join(f"p.{q(end)}" for end in _ENDS.values())
        return (
            f"CREATE OR REPLACE VIEW {view} AS\nSELECT {ends}, h.*\nFROM {versions} AS h "
            f"JOIN {self._in_view(known_view(parent))} AS p\n"
            f"  ON {self._equal(parent.key, 'p', table.parent_key, 'h')} AND p.{q('observed_at')} = h.{q('observed_at')}"
        )

    def _in_view(self, table: Table | str) -> str:
        name = table if isinstance(table, str) else table.name
        return self._names.dialect.quote(name) if self._bare else self._names.relation(name)

    def _insert(self, table: Table) -> str:
        versions = history_of(table)
        columns = ", ".join(map(self._names.dialect.quote, versions.column_names))
        return f"INSERT INTO {self._names.relation(versions)} ({columns})"

    def _columns(self, table: Table) -> str:
        return ", ".join(f"t.{self._names.dialect.quote(name)}" for name in table.column_names)

    def _same_version(self, table: Table, row: str = "t") -> str:
        synced = self._names.dialect.quote("_synced_at")
        return f"{self._equal(table.key, 'h', table.key, row)} AND h.{synced} = {row}.{synced}"

    def _equal(self, left: Sequence[str], one: str, right: Sequence[str], other: str) -> str:
        q = self._names.dialect.quote
        return " AND ".join(f"{one}.{q(a)} = {other}.{q(b)}" for a, b in zip(left, right, strict=True))
