"""The SQL of a load, from `Table` declarations. Pure text: it opens nothing and runs nothing.

A merge is: stage the served rows, find which are new or changed, delete the changed ones with
their children, insert. DELETE and INSERT in one transaction into tables without a primary key is, at a million
rows in DuckDB, ten times faster than MERGE or INSERT OR REPLACE; uniqueness is checked on the staged rows instead.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence

from pleo_connector.catalogue import Field, Table
from pleo_connector.warehouses.protocol import SEEN_KEYS, Scope
from pleo_connector.warehouses.tables import Tables

SERVED = "_pleo_served"
"""Temporary table of the staged parents: their key columns, ROW, `is_new`, `is_changed` and `is_deleted`."""

SERVED_CHILDREN = "_pleo_served_children"
"""Temporary table of the staged rows of one child table: their key columns, ROW, `is_orphan` and `is_due` (to be written)."""

ROW = "_pleo_row"
"""Column of staged rows that numbers them."""

DECISIVE = ("_row_hash", "_deleted_at", "_deleted_source")
"""Columns that decide, with the key, whether a stored parent changed."""

ABSENT = "_pleo_absent"
"""Temporary table of parent keys to tombstone."""

Statement = tuple[str, list[object]]
"""SQL with `$1`, `$2`... and the values they stand for."""

_Spelled = Callable[[str], str]
"""Column name to SQL."""


class MergeSql(Tables):
    """Statements that load, sweep and read the tables of one schema."""

    # staged rows

    def served(self, table: Table, staged: str) -> str:
        """Fill SERVED with the key of every staged parent, and whether it is new, changed or deleted."""
        q = self.dialect.quote
        stored, live = f"t.{q(table.key[0])}", q("_deleted_at")
        keys = ", ".join(f"s.{q(name)}" for name in table.key)
        cast = zip(self._staged_columns(table, "r", table.key), table.key, strict=True)
        needed = [*(f"{key} AS {q(name)}" for key, name in cast), *(f"r.{q(name)}" for name in (ROW, *DECISIVE))]
        return (
            f"CREATE OR REPLACE TEMPORARY TABLE {q(SERVED)} AS\n"
            f"SELECT {keys}, s.{q(ROW)}, {stored} IS NULL AS is_new,\n"
            f"  {stored} IS NOT NULL AND (t.{q('_row_hash')} IS DISTINCT FROM s.{q('_row_hash')}\n"
            f"    OR (t.{live} IS NULL) <> (s.{live} IS NULL)\n"
            f"    OR t.{q('_deleted_source')} IS DISTINCT FROM s.{q('_deleted_source')}) AS is_changed,\n"
            f"  s.{live} IS NOT NULL AND t.{live} IS NULL AS is_deleted\n"
            f"FROM (SELECT {', '.join(needed)} FROM {staged} AS r) AS s\n"
            f"LEFT JOIN {self.relation(table)} AS t ON {self._same(table.key, self._stored('t'), table.key, self._stored('s'))}"
        )

    def count_served(self, table: Table) -> str:
        """(rows, rows without a key, distinct keys, new, changed, turned into tombstones)."""
        keys = [self.dialect.quote(name) for name in table.key]
        return (
            f"SELECT count(*), count(*) FILTER (WHERE {' OR '.join(f'{key} IS NULL' for key in keys)}), "
            f"count(DISTINCT {keys[0] if len(keys) == 1 else '(' + ', '.join(keys) + ')'}), "
            "count(*) FILTER (WHERE is_new), count(*) FILTER (WHERE is_changed), count(*) FILTER (WHERE is_deleted) "
            f"FROM {self.dialect.quote(SERVED)}"
        )

    def served_children(self, child: Table, staged: str, parent: Table) -> str:
        """Fill SERVED_CHILDREN with the key of every staged row of a child table, and the state of its parent in SERVED."""
        q = self.dialect.quote
        cast = zip(self._staged_columns(child, "r", child.key), child.key, strict=True)
        needed = ", ".join([*(f"{key} AS {q(name)}" for key, name in cast), f"r.{q(ROW)}"])
        return (
            f"CREATE OR REPLACE TEMPORARY TABLE {q(SERVED_CHILDREN)} AS\n"
            f"SELECT s.*, p.{q(ROW)} IS NULL AS is_orphan, p.is_new OR p.is_changed AS is_due\n"
            f"FROM (SELECT {needed} FROM {staged} AS r) AS s\n"
            f"LEFT JOIN {q(SERVED)} AS p ON {self._same(parent.key, self._stored('p'), child.parent_key, self._stored('s'))}"
        )

    def count_children(self, child: Table) -> str:
        """(rows, rows without a part of their key, distinct keys, rows without their parent) in SERVED_CHILDREN."""
        keys = [self.dialect.quote(name) for name in child.key]
        return (
            f"SELECT count(*), count(*) FILTER (WHERE {' OR '.join(f'{key} IS NULL' for key in keys)}), "
            f"count(DISTINCT ({', '.join(keys)})), count(*) FILTER (WHERE is_orphan) FROM {self.dialect.quote(SERVED_CHILDREN)}"
        )

    def delete_changed(self, table: Table, parent: Table) -> str:
        """Delete the stored rows of changed parents, from the parent itself or from a child table."""
        same = self._same(table.parent_key or table.key, self._stored("t"), parent.key, self._stored("p"))
        return f"DELETE FROM {self.relation(table)} AS t USING {self.dialect.quote(SERVED)} AS p WHERE p.is_changed AND {same}"

    def parents_to_write(self) -> str:
        """The ROW numbers of the staged parents that are new or changed."""
        return f"SELECT {self.dialect.quote(ROW)} FROM {self.dialect.quote(SERVED)} WHERE is_new OR is_changed ORDER BY 1"

    def children_to_write(self) -> str:
        """The ROW numbers of the staged rows of a child table whose parents are."""
        return f"SELECT {self.dialect.quote(ROW)} FROM {self.dialect.quote(SERVED_CHILDREN)} WHERE is_due ORDER BY 1"

    def insert(self, table: Table, staged: str) -> str:
        """Insert all staged rows."""
        columns = ", ".join(self.dialect.quote(name) for name in table.column_names)
        values = ", ".join(self._staged_columns(table, "s", table.column_names))
        return f"INSERT INTO {self.relation(table)} ({columns})\nSELECT {values}\nFROM {staged} AS s"

    def delete_staged(self, table: Table, staged: str) -> str:
        """Delete the stored rows whose key is staged (the first half of an upsert)."""
        return (
            f"DELETE FROM {self.relation(table)} AS t USING {staged} AS s "
            f"WHERE {self._same(table.key, self._stored('t'), table.key, self._staged(table, 's'))}"
        )

    # rows that a sweep did not see

    def count_absent(self, table: Table, scope: Scope, sweeps: Sequence[str]) -> Statement:
        """(live rows in scope, those of them that the sweeps did not see)."""
        source, values = self._live_beside_seen_keys(table, scope, sweeps)
        unseen = self._unseen(table, scope, values)
        return f"SELECT count(*), count(*) FILTER (WHERE {unseen})\n{source}", values

    def select_absent(self, table: Table, scope: Scope, sweeps: Sequence[str]) -> Statement:
        """Fill ABSENT with the keys of live rows in scope that the sweeps did not see."""
        q = self.dialect.quote
        source, values = self._live_beside_seen_keys(table, scope, sweeps)
        key = q(_one_key(table))
        unseen = self._unseen(table, scope, values)
        return f"CREATE TEMPORARY TABLE {q(ABSENT)} AS\nSELECT t.{key} AS {q('key')}\n{source}\n  AND {unseen}", values

    def count_selected(self) -> str:
        """How many keys ABSENT holds."""
        return f"SELECT count(*) FROM {self.dialect.quote(ABSENT)}"

    def tombstone(self, table: Table, at: object) -> Statement:
        """Mark the live rows of the parents in ABSENT as deleted: the parent itself, or a child table."""
        q = self.dialect.quote
        (column,) = table.parent_key or table.key
        stamp = "CAST($1 AS " + self.dialect.types[_field(table, "_deleted_at").storage] + ")"
        sql = (
            f"UPDATE {self.relation(table)} SET {q('_deleted_at')} = {stamp}, {q('_deleted_source')} = 'sweep_absent', "
            f"{q('_synced_at')} = {stamp}\n"
            f"WHERE {q('_deleted_at')} IS NULL AND {q(column)} IN (SELECT {q('key')} FROM {q(ABSENT)})"
        )
        return sql, [at]

    # reading and state

    def select(self, table: Table, columns: Iterable[str], equals: Mapping[str, object]) -> Statement:
        """Rows whose columns equal these values (None means NULL, a list means any of it)."""
        where, values = self._equals(table, equals)
        names = ", ".join(self.dialect.quote(_field(table, name).name) for name in columns)
        return f"SELECT {names} FROM {self.relation(table)}{where}", values

    def delete(self, table: Table, equals: Mapping[str, object]) -> Statement:
        """Delete rows whose columns equal these values (None means NULL, a list means any of it)."""
        if not equals:
            raise ValueError(f"deleting from {table.name} needs at least one column to compare")
        where, values = self._equals(table, equals)
        return f"DELETE FROM {self.relation(table)}{where}", values

    # pieces

    def _stored(self, alias: str) -> _Spelled:
        return lambda name: f"{alias}.{self.dialect.quote(name)}"

    def _staged(self, table: Table, alias: str) -> _Spelled:
        return lambda name: self._staged_columns(table, alias, (name,))[0]

    def _staged_columns(self, table: Table, alias: str, names: Iterable[str]) -> list[str]:
        spelled = []
        for name in names:
            storage = _field(table, name).storage
            column = f"{alias}.{self.dialect.quote(name)}"
            spelled.append(f"CAST({column} AS {self.dialect.types[storage]})" if storage in self.dialect.cast_from_stage else column)
        return spelled

    @staticmethod
    def _same(left: Sequence[str], spell_left: _Spelled, right: Sequence[str], spell_right: _Spelled) -> str:
        return " AND ".join(f"{spell_left(one)} = {spell_right(other)}" for one, other in zip(left, right, strict=True))

    def _equals(self, table: Table, equals: Mapping[str, object]) -> Statement:
        conditions: list[str] = []
        values: list[object] = []
        for name, value in equals.items():
            kind = self.dialect.types[_field(table, name).storage]
            any_of = list(value) if isinstance(value, (list, tuple, set, frozenset)) else [value]
            known = [one for one in any_of if one is not None]
            placeholders = ", ".join(f"CAST(${len(values) + position} AS {kind})" for position in range(1, len(known) + 1))
            values += known
            either = [f"{self.dialect.quote(name)} IN ({placeholders})"] if known else []
            either += [f"{self.dialect.quote(name)} IS NULL"] if len(known) < len(any_of) else []
            conditions.append(f"({' OR '.join(either)})" if either else "FALSE")
        return (f" WHERE {' AND '.join(conditions)}" if conditions else "", values)

    def _unseen(self, table: Table, scope: Scope, values: list[object]) -> str:
        """Whether a row `t` beside `k` counts as absent; adds what it compares with to `values`."""
        unseen = f"k.{self.dialect.quote('key')} IS NULL"
        if scope.before is None:
            return unseen
        values.append(scope.before)
        kind = self.dialect.types[_field(table, "_synced_at").storage]
        return f"{unseen} AND t.{self.dialect.quote('_synced_at')} < CAST(${len(values)} AS {kind})"

    def _live_beside_seen_keys(self, table: Table, scope: Scope, sweeps: Sequence[str]) -> Statement:
        """FROM and WHERE over the live rows `t` in scope, each beside its row `k` in SEEN_KEYS, if it has one."""
        if not sweeps:
            raise ValueError(f"{table.name}: without a sweep every row would count as absent")
        q = self.dialect.quote
        key = _one_key(table)
        values: list[object] = [table.stream, *sweeps]
        among = ", ".join(f"${position}" for position in range(2, len(values) + 1))
        conditions = [f"t.{q('_deleted_at')} IS NULL"]
        bounds: list[tuple[str | None, str, object]] = [(scope.column, ">=", scope.start), (scope.column, "<", scope.end)]
        if scope.company_id is not None:
            bounds.insert(0, (table.company_column, "=", scope.company_id))
        for column, compare, value in bounds:
            if value is None:
                continue
            if column is None:
                raise ValueError(f"{table.name}: the scope compares a column that the table does not have")
            values.append(value)
            conditions.append(f"t.{q(column)} {compare} CAST(${len(values)} AS {self.dialect.types[_field(table, column).storage]})")
        sql = (
            f"FROM {self.relation(table)} AS t\n"
            f"LEFT JOIN (SELECT DISTINCT {q('key')} FROM {self.relation(SEEN_KEYS)}\n"
            f"  WHERE {q('stream')} = $1 AND {q('sweep_id')} IN ({among})) AS k ON k.{q('key')} = t.{q(key)}\n"
            f"WHERE {' AND '.join(conditions)}"
        )
        return sql, values


def _field(table: Table, name: str) -> Field:
    for field in table.fields:
        if field.name == name:
            return field
    raise ValueError(f"table {table.name} has no column {name!r}")


def _one_key(table: Table) -> str:
    if len(table.key) != 1:
        raise ValueError(f"table {table.name}: only rows with a key of one column can be found absent")
    return table.key[0]
