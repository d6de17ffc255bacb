"""The Iceberg warehouse: Parquet files and their metadata, which Spark, Trino, Snowflake, BigQuery and DuckDB read too.

A folder holds the tables and a catalogue in SQLite. Writers take turns; readers need no turn and are never blocked.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from pleo_connector.catalogue import Table, View
from pleo_connector.warehouses.dialect import DUCKDB
from pleo_connector.warehouses.iceberg_catalog import TogetherCatalog
from pleo_connector.warehouses.iceberg_refusals import refusal, refusing
from pleo_connector.warehouses.iceberg_transaction import IcebergTransaction
from pleo_connector.warehouses.protocol import Transaction
from pleo_connector.warehouses.turn import turn

CATALOGUE_NAME = "pleo"
CATALOGUE_FILE = "catalog.db"


class IcebergWarehouse:
    """Tables in one namespace of a folder's catalogue; `wait` is how many seconds a transaction waits for its turn."""

    kind = "iceberg"
    has_views = False

    def __init__(self, folder: str, schema: str, *, wait: float = 60.0) -> None:
        self._folder = Path(folder).expanduser().absolute()
        self._schema = schema
        self._wait = wait
        self.location = str(self._folder)

    def __repr__(self) -> str:
        return f"IcebergWarehouse({self.location!r}, {self._schema!r})"

    def relation(self, table: Table | View) -> str:
        """`namespace.table`."""
        return f"{DUCKDB.shown(self._schema)}.{DUCKDB.shown(table.name)}"

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Take the turn; at the end write, and let all tables be seen at once. On any error nothing is seen."""
        self._make_folder()
        with turn(self._folder / CATALOGUE_FILE, self._wait):
            with refusing(self.location):
                catalog = self.catalog()
            try:
                with duckdb.connect() as connection:
                    connection.execute("SET TimeZone = 'UTC'")
                    work = IcebergTransaction(connection, catalog, self._schema, self.location, self._folder.as_uri())
                    yield work
                    work.commit()
            finally:
                catalog.close()

    def catalog(self) -> TogetherCatalog:
        """The folder's catalogue, opened; the caller closes it."""
        place = self._folder / CATALOGUE_FILE
        return TogetherCatalog(CATALOGUE_NAME, uri=f"sqlite:///{place}", warehouse=self._folder.as_uri())

    def _make_folder(self) -> None:
        try:
            if not self._folder.is_dir():
                self._folder.mkdir(exist_ok=True)
        except OSError as error:
            raise refusal(self.location, error) from error
