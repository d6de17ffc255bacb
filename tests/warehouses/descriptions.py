"""What a warehouse says of a table and its columns, read as its own users read it."""

from __future__ import annotations

import json
from collections.abc import Callable

from pleo_connector.catalogue import Table
from pleo_connector.warehouses import Warehouse
from pleo_connector.warehouses.iceberg import IcebergWarehouse
from pleo_connector.warehouses.iceberg_named_catalog import NamedIcebergWarehouse

Descriptions = tuple[str, dict[str, str]]
"""The table's, and each column's."""


def described(warehouse: Warehouse, schema: str, table: Table) -> Descriptions:
    """In any of the warehouses."""
    reader = _READERS.get(warehouse.kind)
    assert reader is not None, (
        f"tests/warehouses/descriptions.py does not say how comments of {warehouse.kind} are read: add it to _READERS"
    )
    return reader(warehouse, schema, table)


def _duckdb(warehouse: Warehouse, schema: str, table: Table) -> Descriptions:
    place = f"schema_name = '{schema}' AND table_name = '{table.name}'"
    return _asked(
        warehouse,
        f"SELECT comment FROM duckdb_tables() WHERE {place}",
        f"SELECT CAST(json_group_object(column_name, comment) AS VARCHAR) FROM duckdb_columns() WHERE {place}",
    )


def _postgres(warehouse: Warehouse, schema: str, table: Table) -> Descriptions:
    place = f"'{schema}.{table.name}'::regclass"
    return _asked(
        warehouse,
        f"SELECT obj_description({place}, 'pg_class')",
        f"SELECT json_object_agg(attname, col_description(attrelid, attnum))::text FROM pg_attribute WHERE attrelid = {place} AND attnum > 0",
    )


def _asked(warehouse: Warehouse, of_table: str, of_columns: str) -> Descriptions:
    with warehouse.transaction() as work:
        return str(work.scalar(of_table)), json.loads(str(work.scalar(of_columns)))


def _iceberg(warehouse: Warehouse, schema: str, table: Table) -> Descriptions:
    assert isinstance(warehouse, IcebergWarehouse | NamedIcebergWarehouse)
    with warehouse.writing() if isinstance(warehouse, IcebergWarehouse) else warehouse.opened() as catalog:
        stored = catalog.load_table((schema, table.name))
        return stored.properties["comment"], {field.name: field.doc or "" for field in stored.schema().fields}


_READERS: dict[str, Callable[[Warehouse, str, Table], Descriptions]] = {
    "duckdb": _duckdb,
    "postgres": _postgres,
    "iceberg": _iceberg,
}
