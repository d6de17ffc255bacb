"""How one kind of database spells things. A new SQL warehouse starts with one `Dialect`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pleo_connector.catalogue import Storage

_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")


@dataclass(frozen=True, slots=True)
class Dialect:
    """Type names, and what a database knows about its own tables."""

    name: str
    types: Mapping[Storage, str]
    """The column type of each storage kind, as DDL writes it."""
    catalogue_types: Mapping[Storage, str]
    """The same, as the database's own catalogue spells it back."""
    cast_from_stage: frozenset[Storage]
    """Kinds that arrive in staging as text and are cast on the way to the table."""
    reserved: frozenset[str]
    """Words that an analyst must quote."""
    snapshot: str
    """Query with `$1` = schema giving (table, column or NULL, type or NULL, comment or NULL) of every table and column."""
    views: str
    """Query with `$1` = schema giving (name, comment or NULL) of every view."""
    enter: str
    """Statement that makes bare names those of `{schema}`, for the rest of the transaction."""
    primary_key: bool = False
    """Whether tables get a PRIMARY KEY constraint."""
    folds_case: bool = True
    """Whether quoted names that differ only in case are the same name."""

    def folded(self, name: str) -> str:
        """The name as the database compares it."""
        return name.lower() if self.folds_case else name

    def quote(self, name: str) -> str:
        """An identifier that means exactly this name, whatever characters it has."""
        if not name or "\0" in name:
            raise ValueError("an identifier is neither empty nor holds NUL characters")
        return '"' + name.replace('"', '""') + '"'

    def shown(self, name: str) -> str:
        """The identifier as a person would type it: quoted only where it must be."""
        return name if _PLAIN.fullmatch(name) and name not in self.reserved else self.quote(name)

    def literal(self, text: str) -> str:
        """A text literal, for the places where databases take no parameters (COMMENT ON)."""
        return "'" + text.replace("'", "''") + "'"


DUCKDB = Dialect(
    name="duckdb",
    types={
        Storage.TEXT: "VARCHAR",
        Storage.UUID: "UUID",
        Storage.BOOLEAN: "BOOLEAN",
        Storage.BIGINT: "BIGINT",
        Storage.MONEY: "DECIMAL(38, 4)",
        Storage.AMOUNT: "DECIMAL(38, 8)",
        Storage.RATE: "DECIMAL(18, 9)",
        Storage.TIMESTAMP: "TIMESTAMPTZ",
        Storage.DATE: "DATE",
        Storage.JSON: "JSON",
        Storage.BYTES: "BLOB",
    },
    catalogue_types={
        Storage.TEXT: "VARCHAR",
        Storage.UUID: "UUID",
        Storage.BOOLEAN: "BOOLEAN",
        Storage.BIGINT: "BIGINT",
        Storage.MONEY: "DECIMAL(38,4)",
        Storage.AMOUNT: "DECIMAL(38,8)",
        Storage.RATE: "DECIMAL(18,9)",
        Storage.TIMESTAMP: "TIMESTAMP WITH TIME ZONE",
        Storage.DATE: "DATE",
        Storage.JSON: "JSON",
        Storage.BYTES: "BLOB",
    },
    cast_from_stage=frozenset({Storage.UUID, Storage.JSON}),
    reserved=frozenset(
        "all analyse analyze and anti any array as asc asof asymmetric both case cast check collate column constraint create cross "  # noqa: SIM905
        "default deferrable desc describe distinct do else end except false fetch for foreign from full glob grant group having ilike in "
        "initially inner intersect into is isnull join lambda lateral leading left like limit map natural not notnull null offset on only "
        "or order outer overlaps pivot pivot_longer pivot_wider placing positional primary qualify references returning right select semi "
        "show similar some struct summarize symmetric table tablesample then to trailing true try_cast union unique unpivot using variadic "
        "verbose when where window with".split()
    ),
    snapshot=(
        "SELECT table_name, NULL, NULL, comment FROM duckdb_tables() WHERE database_name = current_database() AND schema_name = $1 "
        "UNION ALL SELECT table_name, column_name, data_type, comment FROM duckdb_columns() "
        "WHERE database_name = current_database() AND schema_name = $1"
    ),
    views="SELECT view_name, comment FROM duckdb_views() WHERE database_name = current_database() AND schema_name = $1",
    enter="USE {schema}",
)
