"""Iceberg tables in a catalogue that PyIceberg's configuration names: REST, Glue, or SQL on a server.

Writers on several hosts take no turns here. A table is committed only if no other writer changed it meanwhile; otherwise the load is
repeated with the same rows on the changed tables. A catalogue in SQL publishes all tables of a load at once, others table by table.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, cast

from pyiceberg.catalog import Catalog, load_catalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.exceptions import CommitFailedException, NotInstalledError
from pyiceberg.utils.config import Config

from pleo_connector.catalogue import Table, View
from pleo_connector.errors import ConfigurationError, WarehouseError
from pleo_connector.warehouses.dialect import DUCKDB
from pleo_connector.warehouses.iceberg import query_connection
from pleo_connector.warehouses.iceberg_cache import ColumnCache
from pleo_connector.warehouses.iceberg_catalog import TogetherCatalog
from pleo_connector.warehouses.iceberg_errors import refusing
from pleo_connector.warehouses.iceberg_transaction import BATCHES, IcebergTransaction
from pleo_connector.warehouses.protocol import Transaction

_PAUSE = 0.2
"""Seconds, at most, before the first new try; more before each that follows."""

_WRITES = frozenset({"ensure", "keep_history", "merge", "upsert", "delete", "tombstone"})
_READS = frozenset({"read", "scalar"})
"""Their results decide what the caller does; counts of rows are only reported."""


class NamedIcebergWarehouse:
    """Tables in one namespace of a catalogue; `wait` is for how many seconds a load is repeated when other writers were first."""

    kind = "iceberg"
    has_views = False
    batches = BATCHES

    def __init__(self, name: str, schema: str, *, wait: float = 60.0) -> None:
        self.name = name
        self.schema = schema
        self.location = f"iceberg://{name}"
        self._wait = wait
        self._cache = ColumnCache()

    def __repr__(self) -> str:
        return f"NamedIcebergWarehouse({self.name!r}, {self.schema!r})"

    def relation(self, table: Table | View) -> str:
        """`namespace.table`."""
        return f"{DUCKDB.shown(self.schema)}.{DUCKDB.shown(table.name)}"

    @contextmanager
    def transaction(self) -> Iterator[Transaction]:
        """At the end write and commit; WarehouseError if others were first for longer than `wait`."""
        with self.opened() as catalog:
            with self._work(catalog) as work:
                calls = _Calls(work)
                yield cast("Transaction", calls)
                lost = _lost(work)
            until, tries = time.monotonic() + self._wait, 0
            while lost is not None:
                if time.monotonic() > until:
                    raise lost
                tries += 1
                time.sleep(random.uniform(0, _PAUSE * min(tries, 10)))  # noqa: S311 - so that writers do not meet again
                with self._work(catalog) as work:
                    calls.again(work, self.location)
                    lost = _lost(work)

    @contextmanager
    def opened(self) -> Iterator[Catalog]:
        """The catalogue. ConfigurationError for a name that PyIceberg does not know, or properties that it cannot use."""
        properties = Config().get_catalog_config(self.name)
        if not properties:
            raise ConfigurationError(
                f"PLEO_WAREHOUSE names the Iceberg catalogue {self.name}, which PyIceberg's configuration does not have; write it into .pyiceberg.yaml, or "
                f"set PYICEBERG_CATALOG__{self.name.upper().replace('-', '_')}__URI and the like."
            )
        with refusing(self.location):
            try:
                catalog = load_catalog(self.name, **{key: str(value) for key, value in properties.items()})
                if isinstance(catalog, SqlCatalog):
                    catalog.close()
                    catalog = TogetherCatalog(self.name, **{str(key): str(value) for key, value in catalog.properties.items()})
            except (ValueError, ModuleNotFoundError, NotInstalledError) as error:  # a type that is none, or whose library is not installed
                raise ConfigurationError(
                    f"The Iceberg catalogue {self.name} of PyIceberg's configuration cannot be used ({' '.join(str(error).split())}); correct its properties, or "
                    "install what its type needs, such as pip install 'pyiceberg[glue]'."
                ) from error
        try:
            yield catalog
        finally:
            catalog.close()

    @contextmanager
    def _work(self, catalog: Catalog) -> Iterator[IcebergTransaction]:
        with query_connection() as connection, refusing(self.location):
            if isinstance(catalog, TogetherCatalog):
                catalog.forget()
            yield IcebergTransaction(connection, catalog, self.schema, self.location, None, self._cache)


class _Calls:
    """A transaction that records its calls, so that they can be repeated."""

    def __init__(self, work: IcebergTransaction) -> None:
        self._work = work
        self._calls: list[tuple[str, tuple[Any, ...], dict[str, Any], Any]] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method: Callable[..., Any] = getattr(self._work, name)
        if name not in _WRITES | _READS:
            return method

        def remembered(*arguments: Any, **named: Any) -> Any:
            answer = method(*arguments, **named)
            self._calls.append((name, arguments, named, answer))
            return answer

        return remembered

    def again(self, work: IcebergTransaction, location: str) -> None:
        """Repeat all calls in this transaction; WarehouseError if a read has another result now."""
        for name, arguments, named, before in self._calls:
            answer = getattr(work, name)(*arguments, **named)
            if name in _READS and _plain(answer) != _plain(before):
                raise WarehouseError(
                    f"The warehouse {location} was changed by another program during this load, in rows that this load had read; run again."
                )


def _plain(answer: Any) -> Any:
    return sorted(map(repr, answer.to_pylist())) if hasattr(answer, "to_pylist") else answer


def _lost(work: IcebergTransaction) -> WarehouseError | None:
    """Commit; returns the error if another writer was first."""
    try:
        work.commit()
    except WarehouseError as error:
        if isinstance(error.__cause__, CommitFailedException):
            return error
        raise
    return None
