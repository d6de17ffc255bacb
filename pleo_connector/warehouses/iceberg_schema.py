"""Iceberg's types, schemas and partitions, from `Table` declarations."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import IdentityTransform, MonthTransform
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DateType,
    DecimalType,
    IcebergType,
    LongType,
    NestedField,
    StringType,
    TimestamptzType,
)

from pleo_connector.catalogue import Field, Storage, Table
from pleo_connector.catalogue.types import AMOUNT_SCALE, MONEY_SCALE, RATE_SCALE
from pleo_connector.warehouses.dialect import DUCKDB

TYPES: dict[Storage, IcebergType] = {
    Storage.TEXT: StringType(),
    Storage.UUID: StringType(),
    Storage.BOOLEAN: BooleanType(),
    Storage.BIGINT: LongType(),
    Storage.MONEY: DecimalType(38, MONEY_SCALE),
    Storage.AMOUNT: DecimalType(38, AMOUNT_SCALE),
    Storage.RATE: DecimalType(18, RATE_SCALE),
    Storage.TIMESTAMP: TimestamptzType(),
    Storage.DATE: DateType(),
    Storage.JSON: StringType(),
    Storage.BYTES: BinaryType(),
}
"""Iceberg has no JSON before format 3. Its UUID type is not used: PyIceberg cannot filter it, and Snowflake and BigQuery show 16 bytes."""

ICEBERG = replace(
    DUCKDB,
    name="iceberg",
    types={**DUCKDB.types, Storage.UUID: "VARCHAR", Storage.JSON: "VARCHAR"},
    catalogue_types={storage: str(kind) for storage, kind in TYPES.items()},
    cast_from_stage=frozenset(),
)
"""The dialect of the DuckDB that queries the tables; `catalogue_types` are Iceberg's own."""

PROPERTIES = {
    "format-version": "2",
    "write.parquet.compression-codec": "zstd",
    "write.metadata.delete-after-commit.enabled": "true",
    "write.metadata.previous-versions-max": "20",
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": "10",
}
"""Of each table that is made: old metadata files and the lists of small files do not pile up."""


def nested_field(number: int, table: Table, field: Field) -> NestedField:
    """A column, its description as its doc; what is in the key is required."""
    return NestedField(number, field.name, TYPES[field.storage], required=field.name in table.key, doc=field.description or None)


def schema_of(table: Table) -> Schema:
    """The columns, numbered from 1."""
    fields = [nested_field(number, table, field) for number, field in enumerate(table.fields, 1)]
    return Schema(*fields, identifier_field_ids=[field.field_id for field in fields if field.required])


def partitions_of(table: Table, schema: Schema) -> PartitionSpec:
    """By company, and by month of the column that the stream's windows act on; the connector's own tables by stream.

    So a sweep of one month of one company rewrites the files of that month alone.
    """
    fields = []
    identity = "stream" if table.name.startswith("_") and "stream" in table.column_names else table.company_column
    if identity is not None:
        fields.append(PartitionField(schema.find_field(identity).field_id, 1000, IdentityTransform(), identity))
    if table.window_column is not None:
        month = f"{table.window_column}_month"
        fields.append(PartitionField(schema.find_field(table.window_column).field_id, 1000 + len(fields), MonthTransform(), month))
    return PartitionSpec(*fields)


def arrow_type(kind: IcebergType) -> pa.DataType:
    """What a column is in memory; ValueError for types that the connector never makes."""
    if isinstance(kind, DecimalType):
        return pa.decimal128(kind.precision, kind.scale)
    for known, arrow in _ARROW:
        if kind == known:
            return arrow
    raise ValueError(f"a column of type {kind}")


def stored_schema(schema: Schema) -> pa.Schema:
    """What the columns are in a data file, where each is known by its field id."""
    return pa.schema(
        [
            pa.field(
                field.name,
                arrow_type(field.field_type),
                nullable=not field.required,
                metadata={"PARQUET:field_id": str(field.field_id)} | ({"doc": field.doc} if field.doc else {}),
            )
            for field in schema.fields
        ]
    )


_ARROW = (
    (StringType(), pa.string()),
    (BooleanType(), pa.bool_()),
    (LongType(), pa.int64()),
    (TimestamptzType(), pa.timestamp("us", tz="UTC")),
    (DateType(), pa.date32()),
    (BinaryType(), pa.binary()),
)
