"""Names of tables, and the SQL that creates and describes them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pleo_connector.catalogue import Field, Table
from pleo_connector.warehouses.dialect import Dialect


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of one schema; `catalog` goes before the schema where a name needs it."""

    dialect: Dialect
    schema: str
    catalog: str | None = None

    @property
    def schema_name(self) -> str:
        """The schema, quoted and qualified."""
        return ".".join(self.dialect.quote(part) for part in (self.catalog, self.schema) if part is not None)

    def relation(self, table: Table | str) -> str:
        """A table, quoted and qualified."""
        return f"{self.schema_name}.{self.dialect.quote(table if isinstance(table, str) else table.name)}"

    def create_schema(self) -> str:
        """Create the schema if it is missing."""
        return f"CREATE SCHEMA IF NOT EXISTS {self.schema_name}"

    def create_table(self, table: Table) -> str:
        """Create a table; key columns are NOT NULL, and a PRIMARY KEY where the dialect wants one."""
        lines = [
            f"  {self.dialect.quote(field.name)} {self.dialect.types[field.storage]}{' NOT NULL' if field.name in table.key else ''}"
            for field in table.fields
        ]
        if self.dialect.primary_key:
            lines.append(f"  PRIMARY KEY ({', '.join(self.dialect.quote(name) for name in table.key)})")
        joined = ",\n".join(lines)
        return f"CREATE TABLE {self.relation(table)} (\n{joined}\n)"

    def add_column(self, table: Table, field: Field) -> str:
        """Add a column; stored rows get NULL and are not rewritten."""
        return f"ALTER TABLE {self.relation(table)} ADD COLUMN {self.dialect.quote(field.name)} {self.dialect.types[field.storage]}"

    def comment_table(self, table: Table) -> str:
        """Store the table's description."""
        return f"COMMENT ON TABLE {self.relation(table)} IS {self.dialect.literal(table.description)}"

    def comment_column(self, table: Table, field: Field) -> str:
        """Store a column's description."""
        return f"COMMENT ON COLUMN {self.relation(table)}.{self.dialect.quote(field.name)} IS {self.dialect.literal(field.description)}"

    def counts(self, tables: Sequence[Table]) -> str:
        """One row: for each table, its rows that are not tombstones."""
        return "SELECT " + ", ".join(f"({self.count(table)})" for table in tables)

    def count(self, table: Table) -> str:
        """Rows that are not tombstones."""
        live = f" WHERE {self.dialect.quote('_deleted_at')} IS NULL" if "_deleted_at" in table.column_names else ""
        return f"SELECT count(*) FROM {self.relation(table)}{live}"

    def drop_temporary(self, name: str) -> str:
        """Drop one of the temporary tables, if it is there."""
        return f"DROP TABLE IF EXISTS {self.dialect.quote(name)}"
