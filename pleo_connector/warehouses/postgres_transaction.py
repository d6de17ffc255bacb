"""One open transaction on a PostgreSQL connection: the statements of `MergeSql`, and rows by binary COPY."""

from __future__ import annotations

import logging
import re
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa

from pleo_connector.catalogue import Table, View, history_of
from pleo_connector.errors import WarehouseError
from pleo_connector.warehouses.history import History
from pleo_connector.warehouses.merge import ABSENT, DECISIVE, ROW, SERVED
from pleo_connector.warehouses.postgres_dialect import LONGEST_NAME, POSTGRES
from pleo_connector.warehouses.postgres_errors import DriverError, refusal
from pleo_connector.warehouses.postgres_keys import by_key, compared, key_faults, orphans, same_keys
from pleo_connector.warehouses.postgres_merge import STAGED, PostgresMergeSql
from pleo_connector.warehouses.postgres_rows import wired
from pleo_connector.warehouses.postgres_views import renewed
from pleo_connector.warehouses.protocol import MergeCounts, Scope
from pleo_connector.warehouses.schema_changes import changes, snapshot
from pleo_connector.warehouses.staging import refuse_faults, staged, typed
from pleo_connector.warehouses.views import outdated

_log = logging.getLogger(__name__)

_SCHEMA_COMMENT = "Pleo's data, loaded by pleo-connector; each table and column says what it holds."

_SCHEMA = "SELECT pg_has_role(nspowner, 'USAGE'), obj_description(oid, 'pg_namespace') = $2 FROM pg_namespace WHERE nspname = $1"

_JOINS = "SELECT set_config('enable_hashjoin', $1, true), set_config('enable_mergejoin', $2, true)"

_QUOTED = re.compile(r"""'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|/\*.*?\*/|\$(\w*)\$.*?\$\1\$""", re.DOTALL)
"""Text, quoted names and comments, in which any character may stand."""

_QUERY = re.compile(r"\s*(SELECT|WITH|VALUES|TABLE)\b", re.IGNORECASE)


class PostgresTransaction:
    """One open transaction on one connection."""

    def __init__(self, connection: Any, schema: str, location: str) -> None:
        self._connection = connection
        self._location = location
        self._schema = schema
        self._sql = PostgresMergeSql(POSTGRES, schema)
        self._history = History(self._sql, self.run)
        self._broken = False

    def ensure(self, tables: Sequence[Table]) -> None:
        """Create what is missing and refresh comments; WarehouseError where a stored column has another type."""
        merge_sql = self._sql
        for name in (self._schema, *(name for table in tables for name in (table.name, *table.column_names))):
            if len(name.encode()) > LONGEST_NAME:
                raise WarehouseError(f"PostgreSQL cannot hold the name {name!r}: it has more than {LONGEST_NAME} bytes.")
        owned = self.run(_SCHEMA, [self._schema, _SCHEMA_COMMENT])
        if not owned:  # not IF NOT EXISTS: that needs the right to create schemas even when there is nothing to create
            self.run(f"CREATE SCHEMA {merge_sql.schema_name}")
        if not owned or (owned[0][0] and not owned[0][1]):
            self.run(f"COMMENT ON SCHEMA {merge_sql.schema_name} IS {POSTGRES.literal(_SCHEMA_COMMENT)}")
        stored = snapshot(POSTGRES, self.run(POSTGRES.snapshot, [self._schema]))
        for statement in changes(merge_sql, tables, stored, self._location):
            self.run(statement)

    def define(self, views: Sequence[View], warn: Callable[[str], object] = _log.warning) -> tuple[str, ...]:
        """Make the views that are missing or differ; returns their names. WarehouseError for a name that a user's view has.

        `warn` gets a message for each view that cannot be replaced because a user's own view reads it.
        """
        stored = {str(name): comment for name, comment in self.run(POSTGRES.views, [self._schema])}
        changed = outdated(views, stored, self._location)
        if not changed:
            return ()
        self.run(POSTGRES.enter.format(schema=self._sql.schema_name))
        return tuple(renewed(self._sql, changed, stored, self.run, self._location, warn))

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
        parent, *children = tables
        rows = {table.name: staged(table, frames[table.name], ROW) for table in tables}
        # only what decides is brought into PostgreSQL's form; the rest follows for the rows that are written
        keys = {table.name: self._wired(table, rows[table.name], (*table.key, *table.parent_key, ROW)) for table in children}
        served = keys[parent.name] = self._wired(parent, rows[parent.name], (*parent.key, *DECISIVE, ROW))
        refuse_faults(parent, *key_faults(served, parent.key))
        filled = [child for child in children if rows[child.name].num_rows]
        for child in filled:
            refuse_faults(child, *key_faults(keys[child.name], child.key))
            if lost := orphans(keys[child.name], child.parent_key, served, parent.key):
                raise WarehouseError(f"{lost} rows of {child.name} belong to no row of {parent.name} in the same load.")
        if not served.num_rows:
            return MergeCounts()
        self._stage(parent, by_key(served, parent.key), parent.key, extra=f"{POSTGRES.quote(ROW)} BIGINT")
        with self._by_index():
            comparison = compared(served, self._arrow(self._sql.stored_beside(parent)))
        self.run(self._sql.drop_temporary(STAGED))
        changed, written = len(comparison.changed), len(comparison.written)
        if changed:
            self._delete_changed(tables, served.take(pa.array(comparison.changed)))
        if written:
            whole = written == served.num_rows
            parents = served if whole else served.take(pa.array(comparison.written))
            self._copy(parent, parents, rows[parent.name])
            for child in filled:
                to_write = keys[child.name] if whole else same_keys(keys[child.name], child.parent_key, parents, parent.key)
                self._copy(child, to_write, rows[child.name])
            if history:
                self._stage_written(parent, parents, "is_new BOOLEAN NOT NULL DEFAULT true, is_changed BOOLEAN NOT NULL DEFAULT true")
                self._history.write_served(tables)
                self.run(self._sql.drop_temporary(SERVED))
        return MergeCounts(inserted=written - changed, updated=changed, unchanged=served.num_rows - written, deleted=comparison.deleted)

    def upsert(self, table: Table, frame: pd.DataFrame) -> None:
        """Replace rows by key."""
        if frame.empty:
            return
        rows = staged(table, frame, ROW)
        keys = self._wired(table, rows, (*table.key, ROW))
        refuse_faults(table, *key_faults(keys, table.key))
        self._stage(table, keys, table.key)
        self.run(self._sql.delete_staged(table, f"pg_temp.{POSTGRES.quote(STAGED)}"))
        self.run(self._sql.drop_temporary(STAGED))
        self._copy(table, keys, rows)

    def delete(self, table: Table, **equals: object) -> int:
        """Delete rows whose columns equal these values; returns how many. ValueError without any column."""
        sql, values = self._sql.delete(table, equals)
        return int(self._row(f"WITH gone AS ({sql} RETURNING 1) SELECT count(*) FROM gone", values)[0])

    def absent(self, table: Table, scope: Scope, sweeps: Sequence[str]) -> tuple[int, int]:
        """(live rows in scope, those of them that these sweeps did not see)."""
        live, missing = self._row(*self._sql.count_absent(table, scope, sweeps))
        return int(live), int(missing)

    def tombstone(self, tables: Sequence[Table], scope: Scope, sweeps: Sequence[str], at: datetime, *, history: bool = False) -> int:
        """Mark absent parents and their children deleted at `at`; returns how many parents."""
        if at.tzinfo is None:
            raise ValueError("a tombstone needs a time with its zone")
        merge_sql = self._sql
        self.run(merge_sql.drop_temporary(ABSENT))
        self.run(*merge_sql.select_absent(tables[0], scope, sweeps))
        absent_rows = int(self._row(merge_sql.count_selected())[0])
        if absent_rows:
            for table in tables:
                self.run(*merge_sql.tombstone(table, at))
            if history:
                self._history.write_absent(tables)
        self.run(merge_sql.drop_temporary(ABSENT))
        return absent_rows

    def read(self, table: Table, columns: Sequence[str] | None = None, **equals: object) -> pa.Table:
        """Rows whose columns equal these values, with the Arrow types of `staging.ARROW`; order is not promised."""
        names = columns or table.column_names
        sql, values = self._sql.select(table, names, equals)
        return typed(table, self._arrow(self._sql.readable(table, names, sql), values))

    def scalar(self, sql: str) -> object:
        """The first value of a SELECT, or None; `{schema}` in it stands for the quoted schema."""
        sql = sql.replace("{schema}", self._sql.schema_name).strip().removesuffix(";")
        bare = _QUOTED.sub("", sql)
        if ";" in bare or not _QUERY.match(bare):
            raise ValueError("scalar() runs one SELECT and nothing else")
        # in brackets only a query can stand, and one that does not write
        rows = self._arrow(f"SELECT * FROM ({sql}\n) AS result LIMIT 1")
        if not rows.num_rows:
            return None
        value = rows.column(0)[0].as_py()
        kind = rows.schema.field(0)
        return (
            Decimal(value) if isinstance(value, str) and "numeric" in str((kind.metadata or {}).get(b"ADBC:postgresql:typname")) else value
        )

    def count(self, table: Table) -> int:
        """Rows that are not tombstones."""
        return self.counts([table])[table.name]

    def counts(self, tables: Sequence[Table]) -> dict[str, int]:
        """Rows of each table that are not tombstones."""
        if not tables:
            return {}
        found = self._row(self._sql.counts(tables))
        return {table.name: int(rows) for table, rows in zip(tables, found, strict=True)}

    def run(self, sql: str, values: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run one statement to its end and return its rows; the server's refusals become WarehouseError."""
        rows = self._arrow(sql, values)
        return list(zip(*(column.to_pylist() for column in rows.columns), strict=True))

    def commit(self) -> None:
        """Commit. WarehouseError when a statement was refused before: the server would then roll back without an error."""
        if self._broken:
            raise WarehouseError(f"The warehouse {self._location} refused a statement of this load, so nothing of it was kept.")
        try:
            self._connection.commit()
        except DriverError as error:
            raise refusal(self._location, error) from error

    def _wired(self, table: Table, rows: pa.Table, columns: Iterable[str]) -> pa.Table:
        """Some columns as COPY takes them."""
        made, replaced = wired(table, rows.select(list(dict.fromkeys(columns))))
        if replaced:
            _log.warning(
                "%d values for table %s hold characters that PostgreSQL cannot store (NUL, or half of a surrogate pair); U+FFFD was stored in their place.",
                replaced,
                table.name,
            )
        return made

    def _stage(self, table: Table, rows: pa.Table, columns: Sequence[str], *, extra: str = "", name: str = STAGED) -> None:
        """A temporary table of some columns of the rows."""
        self.run(self._sql.drop_temporary(name))
        self.run(self._sql.create_stage(name, table, columns, extra))
        self._ingest(rows.select([*columns, *([ROW] if extra else [])]), name, temporary=True)

    def _delete_changed(self, tables: Sequence[Table], stored: pa.Table) -> None:
        """Delete parents that changed, and their children."""
        parent = tables[0]
        self._stage_written(parent, stored, "is_changed BOOLEAN NOT NULL DEFAULT true")
        with self._by_index():
            for table in tables:
                self.run(self._sql.delete_changed(table, parent))
        self.run(self._sql.drop_temporary(SERVED))

    @contextmanager
    def _by_index(self) -> Iterator[None]:
        """Find rows one by one by their key: a load is a small part of its table, and PostgreSQL would else read all of that."""
        self.run(_JOINS, ["off", "off"])
        yield
        self.run(_JOINS, ["on", "on"])

    def _stage_written(self, parent: Table, rows: pa.Table, flags: str) -> None:
        """Fill SERVED with the keys of these parents."""
        self.run(self._sql.drop_temporary(SERVED))
        self.run(self._sql.create_stage(SERVED, parent, parent.key, flags))
        self._ingest(rows.select(parent.key), SERVED, temporary=True)

    def _copy(self, table: Table, keys: pa.Table, rows: pa.Table) -> None:
        """Write those of the rows whose numbers are in `keys`, which hold some of their columns in PostgreSQL's form already."""
        if not keys.num_rows:
            return
        chosen = rows if keys.num_rows == rows.num_rows else rows.take(keys[ROW])
        rest = self._wired(table, chosen, [name for name in table.column_names if name not in keys.column_names])
        columns = [(keys if name in keys.column_names else rest)[name] for name in table.column_names]
        self._ingest(pa.table(columns, names=table.column_names), table.name, db_schema_name=self._schema)

    def _ingest(self, rows: pa.Table, name: str, **where: Any) -> None:
        try:
            with self._connection.cursor() as cursor:
                cursor.adbc_ingest(name, rows, mode="append", **where)
        except DriverError as error:
            self._broken = True
            raise refusal(self._location, error) from error

    def _row(self, sql: str, values: Sequence[object] = ()) -> tuple[int, ...]:
        (row,) = self.run(sql, values)
        return row

    def _arrow(self, sql: str, values: Sequence[object] = ()) -> pa.Table:
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(sql, [_bound(value) for value in values] or None)
                rows: pa.Table = cursor.fetch_arrow_table()
        except DriverError as error:
            self._broken = True
            raise refusal(self._location, error) from error
        return rows


def _bound(value: object) -> object:
    """A parameter as the driver takes it; text as it would have been stored."""
    if isinstance(value, (uuid.UUID, Decimal)):
        return str(value)
    return value.replace("\0", "\N{REPLACEMENT CHARACTER}") if isinstance(value, str) else value
