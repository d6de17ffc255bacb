"""The columns of a table as Dagster's asset page shows them."""

from collections.abc import Set as AbstractSet

import dagster as dg

from pleo_connector.catalogue import Field, Storage, Table, View

PERSONAL = "pleo/personal-data"
"""Tag on tables and columns that say something about a person."""

_TYPES = {
    Storage.TEXT: "text",
    Storage.UUID: "uuid",
    Storage.BOOLEAN: "boolean",
    Storage.BIGINT: "bigint",
    Storage.MONEY: "decimal(38, 4)",
    Storage.AMOUNT: "decimal(38, 8)",
    Storage.RATE: "decimal(18, 9)",
    Storage.TIMESTAMP: "timestamp with time zone",
    Storage.DATE: "date",
    Storage.JSON: "json",
    Storage.BYTES: "binary",
}


def column_schema(table: Table) -> dg.TableSchema:
    """Every column with its type, description, constraints, and a tag on personal data."""
    together = [f"unique ({', '.join(table.key)})"] if len(table.key) > 1 else []
    return dg.TableSchema(
        columns=[_column(field, table) for field in table.fields],
        constraints=dg.TableConstraints(other=together),
    )


def view_schema(view: View, personal: AbstractSet[str]) -> dg.TableSchema:
    """Every column of a view."""
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=column.name,
                type=_TYPES[column.storage],
                description=column.description,
                tags={PERSONAL: "yes"} if column.name in personal else {},
            )
            for column in view.columns
        ]
    )


def _column(field: Field, table: Table) -> dg.TableColumn:
    in_key = field.name in table.key
    return dg.TableColumn(
        name=field.name,
        type=_TYPES[field.storage],
        description=field.description,
        constraints=dg.TableColumnConstraints(nullable=not in_key, unique=in_key and len(table.key) == 1),
        tags={PERSONAL: "yes"} if field.personal else {},
    )
