"""One open transaction on a DuckDB file: the statements of `MergeSql`, run on one connection."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import cached_property

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from pleo_connector.catalogue import Table, View, history_of
from pleo_connector.errors import WarehouseError
from pleo_connector.warehouses.dialect import DUCKDB, Dialect
from pleo_connector.warehouses.duckdb_errors import refusal
from pleo_connector.warehouses.duckdb_memory import LARGE, MemoryLimit
from pleo_connector.warehouses.history import History
from pleo_connector.warehouses.merge import ABSENT, ROW, MergeSql
from pleo_connector.warehouses.protocol import MergeCounts, Scope
from pleo_connector.warehouses.schema_changes import changes, snapshot
from pleo_connector.warehouses.staging import key_faults, refuse_faults, staged, typed
from pleo_connector.warehouses.views import log, outdated, redefinition


class DuckDBTransaction:
    """One open transaction on one connection; `own` where no other connection has its DuckDB open, so that settings may be changed."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, schema: str, location: str, dialect: Dialect = DUCKDB, *, own: bool = False
    ) -> None:
        self._connection = connection
        self._location = location
        self._stages: dict[str, pa.Table] = {}
        ((catalog, threads, limit),) = self.run("SELECT current_database(), current_setting('threads'), current_setting('memory_limit')")
        self._memory_limit = MemoryLimit(self.run, int(str(threads)), str(limit)) if own else None
        self._sql = MergeSql(dialect, schema, str(catalog))
        self._history = History(self._sql, self.run, bare=True)
        self._schema = schema

    def ensure(self, tables: Sequence[Table]) -> None:
        """Create what is missing and refresh comments; WarehouseError where a stored column has another type."""
        merge_sql = self._sql
        stored = snapshot(DUCKDB, self.run(DUCKDB.snapshot, [self._schema]))
        if not stored:
            self.run(merge_sql.create_schema())
        if statements := list(changes(merge_sql, tables, stored, self._location)):
            self.run(";\n".join(statements))

    def define(self, views: Sequence[View], warn: Callable[[str], object] = log.warning) -> tuple[str, ...]:  # noqa: ARG002 - DuckDB drops a view that others stand on
        """Make the views that are missing or differ; returns their names. WarehouseError for a name that a user's view has."""
        stored = {str(name): comment for name, comment in self.run(DUCKDB.views, [self._schema])}
        changed = outdated(views, stored, self._location)
        if changed:
            for statement in redefinition(self._sql, changed, stored):
                self.run(statement)
        return tuple(view.name for view in changed)

    def keep_history(self, tables: Sequence[Table]) -> None:
        """Create the history tables of a parent and its children, with a version of what they hold."""
        self.ensure([history_of(table) for table in tables])
        self._history.keep(tables)

    def merge(self, tables: Sequence[Table], frames: Mapping[str, pd.DataFrame], *, history: bool = False) -> MergeCounts:
        """Write new and changed parents (`tables[0]`) and replace their children; WarehouseError for rows with missing or duplicate keys."""
        missing = [table.name for table in tables if table.name not in frames]
        if missing:
            raise WarehouseError(
                f"Rows for table {tables[0].name} came without those of {', '.join(missing)}; an empty frame says there are none."
            )
        merge_sql, (parent, *children) = self._sql, tables
        with self._staged(tables, frames) as names:
            aside = self._set_aside(tables, names)
            with self._limited_memory(parent):
                self.run(merge_sql.served(parent, names[0]))
            rows, nulls, distinct, new, changed, deleted = self._row(merge_sql.count_served(parent))
            refuse_faults(parent, nulls, rows - distinct)
            some = 0 < new + changed < rows
            to_write = {parent.name: self._arrow(merge_sql.parents_to_write())} if some else {}
            filled = [(child, name) for child, name in zip(children, names[1:], strict=True) if self._stages[name].num_rows]
            for child, name in filled if new + changed else ():
                self._compare_children(child, name, parent)
                if some:
                    to_write[child.name] = self._arrow(merge_sql.children_to_write())
            if changed:
                for table in tables:
                    self._delete_changed(table, parent)
            if new + changed:
                for table, name in [(parent, names[0]), *filled]:
                    if some:
                        self._narrow(name, to_write[table.name].column(0).combine_chunks())
                    self._insert(table, name)
                if history:
                    self._history.write_served(tables)
        return MergeCounts(inserted=new, updated=changed, unchanged=aside + rows - new - changed, deleted=deleted)

    def _compare_children(self, child: Table, name: str, parent: Table) -> None:
        """Fill SERVED_CHILDREN for a child table; WarehouseError for rows without a parent, or with missing or duplicate keys."""
        self.run(self._sql.served_children(child, name, parent))
        rows, nulls, distinct, orphans = self._row(self._sql.count_children(child))
        refuse_faults(child, nulls, rows - distinct)
        if orphans:
            raise WarehouseError(f"{orphans} rows of {child.name} belong to no row of {parent.name} in the same load.")

    def upsert(self, table: Table, frame: pd.DataFrame) -> None:
        """Replace rows by key."""
        if frame.empty:
            return
        with self._staged([table], {table.name: frame}) as (name,):
            refuse_faults(table, *key_faults(self._stages[name], table.key))
            with self._limited_memory(table):  # of keys that are there already, few go
                self._delete_staged(table, name)
            self._insert(table, name)

    def delete(self, table: Table, **equals: object) -> int:
        """Delete rows whose columns equal these values; returns how many. ValueError without any column."""
        return int(self._row(*self._sql.delete(table, equals))[0])

    def absent(self, table: Table, scope: Scope, sweeps: Sequence[str]) -> tuple[int, int]:
        """(live rows in scope, those of them that these sweeps did not see)."""
        with self._limited_memory(table):
            live, missing = self._row(*self._sql.count_absent(table, scope, sweeps))
        return int(live), int(missing)

    def tombstone(self, tables: Sequence[Table], scope: Scope, sweeps: Sequence[str], at: datetime, *, history: bool = False) -> int:
        """Mark absent parents and their children deleted at `at`; returns how many parents."""
        if at.tzinfo is None:
            raise ValueError("a tombstone needs a time with its zone")
        merge_sql = self._sql
        self.run(merge_sql.drop_temporary(ABSENT))
        with self._limited_memory(tables[0]):
            self.run(*merge_sql.select_absent(tables[0], scope, sweeps))
        absent_rows = int(self._row(merge_sql.count_selected())[0])
        if absent_rows:
            for table in tables:
                self._tombstone(table, at)
            if history:
                self._history.write_absent(tables)
        self.run(merge_sql.drop_temporary(ABSENT))
        return absent_rows

    def read(self, table: Table, columns: Sequence[str] | None = None, **equals: object) -> pa.Table:
        """Rows whose columns equal these values, with the Arrow types of `staging.ARROW`; order is not promised."""
        return typed(table, self._arrow(*self._sql.select(table, columns or table.column_names, equals)))

    def scalar(self, sql: str) -> object:
        """The first value of a SELECT, or None; `{schema}` in it stands for the quoted schema."""
        sql = sql.replace("{schema}", self._sql.schema_name)
        try:
            kinds = [statement.type for statement in self._connection.extract_statements(sql)]
        except duckdb.Error as error:
            raise refusal(self._location, error) from error
        if kinds != [duckdb.StatementType.SELECT]:
            raise ValueError("scalar() runs one SELECT and nothing else")
        rows = self._arrow(sql)
        return rows.column(0)[0].as_py() if rows.num_rows else None

    def count(self, table: Table) -> int:
        """Rows that are not tombstones."""
        return self.counts([table])[table.name]

    def counts(self, tables: Sequence[Table]) -> dict[str, int]:
        """Rows of each table that are not tombstones."""
        if not tables:
            return {}
        with self._limited_memory(max(tables, key=lambda table: self._sizes.get(table.name, 0))):
            found = self._row(self._sql.counts(tables))
        return {table.name: int(rows) for table, rows in zip(tables, found, strict=True)}

    def run(self, sql: str, values: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """Run one statement to its end and return its rows; DuckDB's refusals become WarehouseError."""
        try:
            return self._connection.execute(sql, list(values)).fetchall()
        except duckdb.Error as error:
            raise refusal(self._location, error) from error

    def commit(self) -> None:
        """Commit."""
        if self._memory_limit is not None:
            self._memory_limit.close()
        self.run("COMMIT")

    # what another warehouse does its own way, when only its questions are put to DuckDB

    def _set_aside(self, tables: Sequence[Table], names: Sequence[str]) -> int:  # noqa: ARG002 - for those who can
        """Remove staged parents that are stored unchanged, and their children, from their stages; returns how many parents."""
        return 0

    def _delete_changed(self, table: Table, parent: Table) -> None:
        self.run(self._sql.delete_changed(table, parent))

    def _delete_staged(self, table: Table, name: str) -> None:
        self.run(self._sql.delete_staged(table, name))

    def _insert(self, table: Table, name: str) -> None:
        self.run(self._sql.insert(table, name))

    def _tombstone(self, table: Table, at: datetime) -> None:
        self.run(*self._sql.tombstone(table, at))

    @contextmanager
    def _limited_memory(self, table: Table) -> Iterator[None]:
        """Limit the memory of a query that reads all rows of the table, where no other connection has the DuckDB."""
        rows = 0 if self._memory_limit is None else self._sizes.get(table.name, 0) + self._memory_limit.staged
        if self._memory_limit is None or rows < LARGE:
            yield
            return
        self._memory_limit.set(rows)
        yield
        self._memory_limit.reset()

    @cached_property
    def _sizes(self) -> dict[str, int]:
        """Rows of the tables, as DuckDB estimated them when the transaction began."""
        sql = "SELECT table_name, estimated_size FROM duckdb_tables() WHERE database_name = current_database() AND schema_name = $1"
        return {str(name): int(str(rows)) for name, rows in self.run(sql, [self._schema])}

    def _row(self, sql: str, values: Sequence[object] = ()) -> tuple[int, ...]:
        (row,) = self.run(sql, values)
        return row  # type: ignore[return-value]

    def _arrow(self, sql: str, values: Sequence[object] = ()) -> pa.Table:
        try:
            # a relation, not execute(): Arrow from a DB-API result costs a copy
            rows: pa.Table = self._connection.sql(sql, params=list(values)).to_arrow_table()
        except duckdb.Error as error:
            raise refusal(self._location, error) from error
        return rows

    @contextmanager
    def _staged(self, tables: Sequence[Table], frames: Mapping[str, pd.DataFrame]) -> Iterator[list[str]]:
        """Register the frames without copying them; yields their names in the order of `tables`."""
        before = set(self._stages)
        names = []
        try:
            for table in tables:
                name = f"_pleo_staged_{len(self._stages)}"
                self._register(name, self._stage(table, frames[table.name]))
                names.append(name)
            yield names
        finally:
            for name in set(self._stages) - before:
                del self._stages[name]
                with suppress(duckdb.Error):  # after an error the connection is about to be closed anyway
                    self._connection.unregister(name)

    def _stage(self, table: Table, frame: pd.DataFrame) -> pa.Table:
        rows = staged(table, frame, ROW)
        if self._memory_limit is not None:
            self._memory_limit.written += rows.nbytes
            self._memory_limit.staged += rows.num_rows
        return rows

    def _register(self, name: str, rows: pa.Table) -> None:
        try:
            self._connection.register(name, rows)
        except duckdb.Error as error:
            raise refusal(self._location, error) from error
        self._stages[name] = rows

    def _narrow(self, name: str, numbers: pa.Array) -> None:
        """Keep only some rows of a stage, numbered anew: Arrow picks 1 % of the rows in a tenth of the time a join over all columns takes."""
        rows = self._stages[name].take(numbers)
        self._connection.unregister(name)
        self._register(name, rows.set_column(rows.schema.get_field_index(ROW), ROW, pa.array(np.arange(rows.num_rows))))
