"""What is missing in the tables of a schema, as statements; shared by the SQL warehouses."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from pleo_connector.catalogue import Field, Table
from pleo_connector.errors import WarehouseError
from pleo_connector.warehouses.dialect import Dialect
from pleo_connector.warehouses.tables import Tables

Stored = Mapping[str, Mapping[str | None, tuple[object, object]]]
"""Table -> column -> (type, comment), names folded; the column None stands for the table itself."""


def snapshot(dialect: Dialect, rows: Iterable[Sequence[object]]) -> Stored:
    """The rows of `Dialect.snapshot`, by table and column."""
    stored: dict[str, dict[str | None, tuple[object, object]]] = {}
    for table, column, kind, comment in rows:
        stored.setdefault(dialect.folded(str(table)), {})[None if column is None else dialect.folded(str(column))] = (kind, comment)
    return stored


def changes(names: Tables, tables: Iterable[Table], stored: Stored, location: str) -> Iterator[str]:
    """Statements that create what is missing and refresh comments; WarehouseError where a stored column has another type."""
    dialect = names.dialect
    for table in tables:
        columns = stored.get(dialect.folded(table.name))
        if columns is None:
            yield names.create_table(table)
            columns = {None: (None, None)} | {
                dialect.folded(field.name): (dialect.catalogue_types[field.storage], None) for field in table.fields
            }
        for field in table.fields:
            kind, comment = columns.get(dialect.folded(field.name), (None, None))
            if kind is None:
                yield names.add_column(table, field)
            elif kind != dialect.catalogue_types[field.storage]:
                raise other_type(location, table, field, kind, dialect.catalogue_types[field.storage])
            if (comment or "") != field.description:
                yield names.comment_column(table, field)
        if (columns[None][1] or "") != table.description:
            yield names.comment_table(table)


def other_type(location: str, table: Table, field: Field, stored: object, needed: object) -> WarehouseError:
    """The refusal of a stored column that has another type than the declared one."""
    return WarehouseError(
        f"Column {field.name} of table {table.name} in {location} is {stored}, and the connector needs "
        f"{needed}; rename or drop that table (the next full sync loads it again), or set PLEO_SCHEMA to another schema."
    )
