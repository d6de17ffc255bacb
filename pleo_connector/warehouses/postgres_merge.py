"""The statements that are PostgreSQL's own: narrow staging tables, and what is stored beside their rows.

Whole rows are not staged. Only keys go to a temporary table; new and changed rows go straight to their
table by COPY. So unchanged rows cost their keys and the stored fingerprints, and new ones are written once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pleo_connector.catalogue import Table
from pleo_connector.warehouses.merge import ROW, MergeSql

STAGED = "_pleo_staged"
"""Temporary table of staged keys."""

_AS_TEXT = ("UUID", "JSONB", "NUMERIC")


class PostgresMergeSql(MergeSql):
    """The SQL of every dialect, and what PostgreSQL adds to it."""

    def create_stage(self, name: str, table: Table, columns: Sequence[str], extra: str) -> str:
        """A temporary table with some of the table's columns and one more; gone at the end of the transaction."""
        q = self.dialect.quote
        kinds = {field.name: self.dialect.types[field.storage] for field in table.fields}
        listed = ", ".join(f"{q(column)} {kinds[column]}" for column in columns)
        return f"CREATE TEMPORARY TABLE {q(name)} ({listed}{extra and ', '}{extra}) ON COMMIT DROP"

    def drop_temporary(self, name: str) -> str:
        """Drop one of the temporary tables, if it is there; never another table of that name."""
        return f"DROP TABLE IF EXISTS pg_temp.{self.dialect.quote(name)}"

    def stored_beside(self, table: Table) -> str:
        """(ROW, fingerprint, is a tombstone, why) of each staged parent that is stored, as it is stored."""
        q = self.dialect.quote
        return (
            f"SELECT s.{q(ROW)}, t.{q('_row_hash')}, t.{q('_deleted_at')} IS NOT NULL AS is_deleted, t.{q('_deleted_source')}\n"
            f"FROM pg_temp.{q(STAGED)} AS s JOIN {self.relation(table)} AS t\n"
            f"  ON {self._same(table.key, self._stored('t'), table.key, self._stored('s'))}"
        )

    def readable(self, table: Table, columns: Iterable[str], select: str) -> str:
        """The same rows with the types that `staging.ARROW` promises: what Arrow has no type for becomes text."""
        q = self.dialect.quote
        kinds = {field.name: self.dialect.types[field.storage] for field in table.fields}
        listed = ", ".join(f"r.{q(name)}::text AS {q(name)}" if kinds[name].startswith(_AS_TEXT) else f"r.{q(name)}" for name in columns)
        return f"SELECT {listed} FROM ({select}) AS r"
