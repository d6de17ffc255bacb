"""The Iceberg warehouse: Parquet files and their metadata, which Spark, Trino, Snowflake, BigQuery and DuckDB read too.

A folder holds the tables and a catalogue in SQLite. Writers take turns; readers need no turn and are never blocked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import duckdb

from pleo_connector.catalogue import Table, View
from pleo_connector.warehouses.dialect import DUCKDB
from pleo_connector.warehouses.iceberg_cache import ColumnCache
from pleo_connector.warehouses.iceberg_catalog import TogetherCatalog
from pleo_connector.warehouses.iceberg_errors import refusal, refusing
from pleo_connector.warehouses.iceberg_transaction import BATCHES, IcebergTransaction
from pleo_connector.warehouses.protocol import Transaction
from pleo_connector.warehouses.turn import turn

CATALOGUE_NAME = "pleo"
CATALOGUE_FILE = "catalog.db"


@contextmanager
def query_connection() -> Iterator[duckdb.DuckDBPyConnection]:
    """The DuckDB in memory that runs a transaction's queries."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


class IcebergWarehouse:
    """Tables in one namespace of a folder's catalogue; `wait` is how many seconds a transaction waits for its turn."""

    kind = "iceberg"
    has_views = False
    batches = BATCHES

    def __init__(self, folder: str, schema: str, *, wait: float = 60.0) -> None:
        self.folder = Path(folder).expanduser().absolute()
        self.schema = schema
        self._wait = wait
        self.location = str(self.folder)
        self._cache = ColumnCache()

    def __repr__(self) -> str:
        return f"IcebergWarehouse({self.location!r}, {self.schema!r})"

    def relation(self, table: Table | View) -> str:
        """`namespace.table`."""
        return f"{DUCKDB.shown(self.schema)}.{DUCKDB.shown(table.name)}"

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Wait for the turn; at the end write, and publish all tables at once. On any error nothing is published."""
        with self.writing() as catalog, query_connection() as connection:
            work = IcebergTransaction(connection, catalog, self.schema, self.location, f"file://{self.folder}", self._cache)
            yield work
            work.commit()

    @contextmanager
    def writing(self) -> Iterator[TogetherCatalog]:
        """The folder's catalogue, while it is this process's turn to write."""
        self._make_folder()
        place = self.folder / CATALOGUE_FILE
        with turn(place, self._wait):
            with refusing(self.location):
                catalog = TogetherCatalog(
                    CATALOGUE_NAME, uri=f"sqlite:///{quote(str(place))}", warehouse=f"file://{self.folder}"
                )  # not as_uri(): PyIceberg decodes no %20
            try:
                yield catalog
            finally:
                catalog.close()

    def _make_folder(self) -> None:
        try:
            if not self.folder.is_dir():
                self.folder.mkdir(exist_ok=True)
        except OSError as error:
            raise refusal(self.location, error) from error
