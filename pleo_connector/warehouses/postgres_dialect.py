"""How PostgreSQL spells things."""

from __future__ import annotations

from pleo_connector.catalogue import Storage
from pleo_connector.warehouses.dialect import Dialect

POSTGRES = Dialect(
    name="postgres",
    types={
        Storage.TEXT: "TEXT",
        Storage.UUID: "UUID",
        Storage.BOOLEAN: "BOOLEAN",
        Storage.BIGINT: "BIGINT",
        Storage.MONEY: "NUMERIC(38, 4)",
        Storage.AMOUNT: "NUMERIC(38, 8)",
        Storage.RATE: "NUMERIC(18, 9)",
        Storage.TIMESTAMP: "TIMESTAMPTZ",
        Storage.DATE: "DATE",
        Storage.JSON: "JSONB",
        Storage.BYTES: "BYTEA",
    },
    catalogue_types={
        Storage.TEXT: "text",
        Storage.UUID: "uuid",
        Storage.BOOLEAN: "boolean",
        Storage.BIGINT: "bigint",
        Storage.MONEY: "numeric(38,4)",
        Storage.AMOUNT: "numeric(38,8)",
        Storage.RATE: "numeric(18,9)",
        Storage.TIMESTAMP: "timestamp with time zone",
        Storage.DATE: "date",
        Storage.JSON: "jsonb",
        Storage.BYTES: "bytea",
    },
    cast_from_stage=frozenset(),
    reserved=frozenset(
        "all analyse analyze and any array as asc asymmetric authorization binary both case cast check collate collation column "  # noqa: SIM905
        "concurrently constraint create cross current_catalog current_date current_role current_schema current_time current_timestamp "
        "current_user default deferrable desc distinct do else end except false fetch for foreign freeze from full grant group having "
        "ilike in initially inner intersect into is isnull join lateral leading left like limit localtime localtimestamp natural not "
        "notnull null offset on only or order outer overlaps placing primary references returning right select session_user similar "
        "some symmetric system_user table tablesample then to trailing true union unique user using variadic verbose when where window "
        "with".split()
    ),
    snapshot=(
        "SELECT c.relname::text, NULL::text, NULL::text, obj_description(c.oid, 'pg_class') "
        "FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') "
        "UNION ALL SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod), col_description(c.oid, a.attnum) "
        "FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace JOIN pg_attribute AS a ON a.attrelid = c.oid "
        "WHERE n.nspname = $1 AND c.relkind IN ('r', 'p') AND a.attnum > 0 AND NOT a.attisdropped"
    ),
    views=(
        "SELECT c.relname::text, obj_description(c.oid, 'pg_class') FROM pg_class AS c "
        "JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind IN ('v', 'm')"
    ),
    enter="SET LOCAL search_path TO {schema}",
    primary_key=True,
    folds_case=False,
)

LONGEST_NAME = 63
"""Bytes of an identifier; PostgreSQL cuts longer ones without an error."""
