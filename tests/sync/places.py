"""A sandbox, a DuckDB file and one run between them, for the tests of single streams."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import duckdb
import httpx

from pleo_connector import sync
from pleo_connector.sandbox import RunningSandbox
from pleo_connector.warehouses import Warehouse

API_KEY = httpx.BasicAuth("sandbox-api-key", "")
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
"""The sample data end here; a fixed now keeps what is due the same for ever."""


@dataclass(frozen=True)
class Place:
    """Where a test syncs from and to."""

    pleo: RunningSandbox
    warehouse: Warehouse

    def run(self, *streams: str, now: datetime = NOW, patience: float = 2.0, **options: Any) -> sync.SyncReport:
        """One run; `now` decides what is due."""
        connection = sync.Connection(self.pleo.url, API_KEY, requests_per_minute=1_000_000, patience=patience)
        return sync.run(sync.SyncPlan(streams, **options), connection, self.warehouse, now=now)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """A query's rows."""
        with duckdb.connect(self.warehouse.location, read_only=True) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            return connection.execute(query).fetchall()

    def requests(self, path: str) -> int:
        """How often the sandbox was asked for a path since the last reset."""
        return int(self.pleo.state.counters()["by_path"].get(path, 0))
