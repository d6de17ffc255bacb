"""The places of rows of an Iceberg table: DuckDB queries over a view of the table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet

from pleo_connector.catalogue import Storage, Table
from pleo_connector.warehouses.iceberg_rows import PART, POSITION
from pleo_connector.warehouses.merge import ABSENT, SERVED, MergeSql, Statement

_PLACE = f"t.{PART}, t.{POSITION}"


class PlacesSql(MergeSql):
    """Statements that answer with PART and POSITION of rows."""

    def changed_places(self, table: Table, parent: Table) -> str:
        """Of the rows of changed parents: the parent itself, or rows of a child table."""
        same = self._same(table.parent_key or table.key, self._stored("t"), parent.key, self._stored("p"))
        return f"SELECT {_PLACE} FROM {self.relation(table)} AS t JOIN {self.dialect.quote(SERVED)} AS p ON p.is_changed AND {same}"

    def staged_places(self, table: Table, staged: str) -> str:
        """Of the rows whose key is staged."""
        same = self._same(table.key, self._stored("t"), table.key, self._staged(table, "s"))
        return f"SELECT {_PLACE} FROM {self.relation(table)} AS t JOIN {staged} AS s ON {same}"

    def absent_places(self, table: Table) -> str:
        """Of the live rows of parents in ABSENT: the parent itself, or rows of a child table."""
        q = self.dialect.quote
        (column,) = table.parent_key or table.key
        return (
            f"SELECT {_PLACE} FROM {self.relation(table)} AS t "
            f"WHERE t.{q('_deleted_at')} IS NULL AND t.{q(column)} IN (SELECT {q('key')} FROM {q(ABSENT)})"
        )

    def equal_places(self, table: Table, equals: Mapping[str, object]) -> Statement:
        """Of the rows whose columns equal these values."""
        _, values = self.delete(table, equals)  # refuses what it cannot compare
        where, _ = self._equals(table, equals)
        return f"SELECT {_PLACE} FROM {self.relation(table)} AS t{where}", values

    def plain(self, table: Table, columns: AbstractSet[str], staged: str) -> str | None:
        """Those of the columns that have one right spelling, in it; None without any. DuckDB's refusal says what has none."""
        spelled = {Storage.UUID: "CAST(CAST(s.{0} AS UUID) AS VARCHAR) AS {0}", Storage.JSON: "CAST(CAST(s.{0} AS JSON) AS VARCHAR) AS {0}"}
        casts = [
            spelled[field.storage].format(self.dialect.quote(field.name))
            for field in table.fields
            if field.storage in spelled and field.name in columns
        ]
        return f"SELECT {', '.join(casts)} FROM {staged} AS s" if casts else None

    def hashes(self, columns: Sequence[str], rows: str) -> str:
        """A hash of these columns for each row, in their order."""
        return f"SELECT hash({', '.join(self.dialect.quote(name) for name in columns)}) FROM {rows}"

    def view(self, table: str, columns: Sequence[str], rows: str) -> str:
        """Let the table's name stand for these rows."""
        names = ", ".join(self.dialect.quote(name) for name in columns)
        return f"CREATE OR REPLACE VIEW {self.relation(table)} AS SELECT {names} FROM {rows}"
