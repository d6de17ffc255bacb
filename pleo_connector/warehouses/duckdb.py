"""The DuckDB warehouse: one file, opened only for the moment of a load.

DuckDB lets one process write at a time. So a transaction waits for its turn, opens the file, does its work and
closes it: the file is free while pages are fetched. `md:` URLs (MotherDuck) take the same path without the
turn; that is not tested here.

DuckDB itself, pandas and Arrow are imported by the first transaction: whoever only wants a table's name (Dagster, when it
loads definitions) does not wait for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from time import monotonic, sleep
from typing import TYPE_CHECKING

from pleo_connector.catalogue import Table, View
from pleo_connector.errors import WarehouseLocked
from pleo_connector.warehouses.dialect import DUCKDB
from pleo_connector.warehouses.protocol import Transaction
from pleo_connector.warehouses.snapshot import publish
from pleo_connector.warehouses.turn import turn

if TYPE_CHECKING:
    import duckdb

    from pleo_connector.warehouses.duckdb_maintenance import Compacted

STORAGE_VERSION = "v1.4.0"
"""Of new files: that of the oldest DuckDB that the connector runs with."""


class DuckDBWarehouse:
    """Tables in one schema of a DuckDB file; `wait` is how many seconds a transaction waits for its turn."""

    kind = "duckdb"
    has_views = True

    def __init__(
        self,
        database: str,
        schema: str,
        *,
        wait: float = 60.0,
        snapshot: Path | None = None,
        storage_version: str = STORAGE_VERSION,
        pause: Callable[[float], None] = sleep,
    ) -> None:
        self._remote = database.startswith("md:")
        self._path = Path(database).expanduser().absolute()
        self._database = database if self._remote else str(self._path)
        self._wait = wait
        self.snapshot = snapshot
        self._storage_version = storage_version
        self._pause = pause
        self._schema = schema
        self.location = database if self._remote else str(self._path)

    def __repr__(self) -> str:
        return f"DuckDBWarehouse({self.location!r}, {self._schema!r})"

    def relation(self, table: Table | View) -> str:
        """`schema.table`; DuckDB needs `file.schema.table` where the file and the schema share a name."""
        stem = self.location.removeprefix("md:") if self._remote else self._path.stem
        names = (self._schema, table.name) if stem.lower() != self._schema.lower() else (stem, self._schema, table.name)
        return ".".join(DUCKDB.shown(name) for name in names)

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """Take the turn, open, begin; commit at the end, roll back on any error, and always close."""
        import duckdb

        from pleo_connector.warehouses.duckdb_transaction import DuckDBTransaction

        deadline = monotonic() + self._wait
        if not self._remote:
            self._make_folder()
        with self._turn():
            connection, own = self._open(deadline)
            try:
                work = DuckDBTransaction(connection, self._schema, self.location, own=own)
                yield work
                work.commit()
            except BaseException:
                with suppress(duckdb.Error):
                    connection.execute("ROLLBACK")
                raise
            finally:
                connection.close()

    def publish(self) -> None:
        """Replace the snapshot, where there is to be one, by what is committed now."""
        if self.snapshot is None:
            return
        import duckdb

        from pleo_connector.warehouses.duckdb_errors import refusal

        deadline = monotonic() + self._wait
        with self._turn():
            connection, _ = self._open(deadline)
            try:
                connection.execute("ROLLBACK")
                connection.execute("CHECKPOINT")
                publish(self._path, self.snapshot)
            except duckdb.Error as error:
                raise refusal(self.location, error) from error
            finally:
                connection.close()

    def compact(self) -> Compacted | None:
        """Write the file anew, in its turn, without the space that changed rows left; None for MotherDuck, which has no file here.

        Errors as of `transaction`, and those of `duckdb_maintenance.compact`.
        """
        if self._remote:
            return None
        import duckdb

        from pleo_connector.warehouses.duckdb_errors import refusal
        from pleo_connector.warehouses.duckdb_maintenance import compact

        deadline = monotonic() + self._wait
        with self._turn():
            connection, own = self._open(deadline)
            try:
                if not own:
                    raise WarehouseLocked(f"The warehouse {self.location} is open in this same process; close it there, then run again.")
                connection.execute("ROLLBACK")
                return compact(connection, self._path)
            except duckdb.Error as error:
                raise refusal(self.location, error) from error
            finally:
                connection.close()

    def _turn(self) -> AbstractContextManager[None]:
        return nullcontext() if self._remote else turn(self._path, self._wait)

    def _make_folder(self) -> None:
        from pleo_connector.warehouses.duckdb_errors import refusal

        try:
            if not self._path.parent.is_dir():
                self._path.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise refusal(self.location, error) from error

    def _open(self, deadline: float) -> tuple[duckdb.DuckDBPyConnection, bool]:
        """Connect; while some other program (a shell, a notebook) holds the file, try again until the deadline."""
        import duckdb
        from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random_exponential

        from pleo_connector.warehouses.duckdb_errors import held_elsewhere, refusal

        tries = Retrying(
            retry=retry_if_exception(held_elsewhere),
            stop=stop_after_delay(max(0.0, deadline - monotonic())),
            wait=wait_random_exponential(multiplier=0.05, max=0.5),
            sleep=self._pause,
            reraise=True,
        )
        try:
            return tries(self._connect)
        except (duckdb.Error, OSError) as error:
            raise refusal(self.location, error, waited=self._wait) from error

    def _connect(self) -> tuple[duckdb.DuckDBPyConnection, bool]:
        from pleo_connector.warehouses.duckdb_opening import connected, connected_to_motherduck

        opened = (connected_to_motherduck(self._database), False) if self._remote else connected(self._database, self._storage_version)
        connection, own = opened
        try:
            connection.execute("SET enable_progress_bar = false")  # it would be drawn into what a command prints
            connection.execute("SET TimeZone = 'UTC'")
            connection.execute("BEGIN TRANSACTION")
        except BaseException:
            connection.close()
            raise
        return connection, own
