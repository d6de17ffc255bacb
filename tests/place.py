"""One place to sync in: a folder, a sandbox, a warehouse, and the settings that name them. Every test that syncs has one."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import duckdb
import httpx
import pytest
from filelock import FileLock

from pleo_connector import sync
from pleo_connector.sandbox import API_KEY as KEY
from pleo_connector.sandbox import RunningSandbox, SandboxConfig, running
from pleo_connector.warehouses import Warehouse, open_warehouse

API_KEY = httpx.BasicAuth(KEY, "")
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
"""The sample data end here; a fixed now keeps what is due the same for ever."""


def sandbox(*, clock: Callable[[], float] = time.time, **config: Any) -> AbstractContextManager[RunningSandbox]:
    """A sandbox on a free port that lets as many requests through as come; `config` as SandboxConfig takes it."""
    return running(SandboxConfig(**{"port": 0, "requests_per_minute": 0, **config}), clock=clock)


@dataclass(frozen=True)
class Place:
    """Where a test syncs from and to."""

    folder: Path
    pleo: RunningSandbox
    url: str = ""
    """Of the warehouse; w.duckdb in the folder without one."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "url", self.url or f"duckdb:///{self.folder / 'w.duckdb'}")

    def beside(self, name: str) -> Place:
        """The same sandbox and folder with another DuckDB file."""
        return Place(self.folder, self.pleo, f"duckdb:///{self.folder / name}.duckdb")

    @property
    def file(self) -> Path:
        """The DuckDB file."""
        return Path(self.url.removeprefix("duckdb:///"))

    @cached_property
    def warehouse(self) -> Warehouse:
        """The warehouse, in the schema that settings name by default."""
        return open_warehouse(self.url, "pleo")

    @property
    def environment(self) -> dict[str, str]:
        """The settings of a connector that works here."""
        return {
            "PLEO_ENVIRONMENT": "sandbox",
            "PLEO_API_URL": self.pleo.url,
            "PLEO_AUTH_URL": self.pleo.url,
            "PLEO_API_KEY": KEY,
            "PLEO_WAREHOUSE": self.url,
            "PLEO_TOKEN_STORE": str(self.folder / "tokens.sqlite"),
            "PLEO_REQUESTS_PER_MINUTE": "100000",
        }

    def run(self, *streams: str, now: datetime = NOW, patience: float = 2.0, **options: Any) -> sync.SyncReport:
        """One run; `now` decides what is due."""
        connection = sync.Connection(self.pleo.url, API_KEY, requests_per_minute=1_000_000, patience=patience)
        return sync.run(sync.SyncPlan(streams, **options), connection, self.warehouse, now=now)

    def rows(self, query: str) -> list[tuple[Any, ...]]:
        """A query's rows."""
        with duckdb.connect(str(self.file), read_only=True) as connection:
            connection.execute("SET TimeZone = 'UTC'")
            return connection.execute(query).fetchall()

    def requests(self, path: str) -> int:
        """How often the sandbox was asked for a path since the last reset."""
        return int(self.pleo.state.counters()["by_path"].get(path, 0))


def sample_file(factory: pytest.TempPathFactory) -> Path:
    """A DuckDB file after one run of all streams at NOW, made once for all of pytest's workers: to be copied, not written to."""
    own = factory.getbasetemp()
    shared = own.parent if "PYTEST_XDIST_WORKER" in os.environ else own
    file = shared / "sample.duckdb"
    with FileLock(shared / "sample.lock"):
        if not file.exists():
            with sandbox() as pleo:
                place = Place(factory.mktemp("sample"), pleo)
                assert place.run().failures == {}
            shutil.copy(place.file, shared / "sample.part")
            (shared / "sample.part").rename(file)
    return file
