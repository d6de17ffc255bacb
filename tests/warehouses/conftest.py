"""The warehouses that the contract suite runs against. A new one is one line in `URLS`."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from pleo_connector.warehouses import Warehouse, open_warehouse
from pleo_connector.warehouses.dialect import DUCKDB
from pleo_connector.warehouses.iceberg_schema import ICEBERG
from pleo_connector.warehouses.postgres_dialect import POSTGRES
from tests.postgres_server import new_database
from tests.warehouses.rest_catalogue import named_catalogue
from tests.warehouses.rows import BILLS, CURSORS, LINES, SEEN

URLS: dict[str, Callable[[Path], str]] = {
    "duckdb": lambda folder: f"duckdb:///{folder}/pleo.duckdb",
    "postgres": lambda _: new_database(),
    "iceberg": lambda folder: f"iceberg:///{folder}/lake",
    "iceberg_rest": lambda folder: named_catalogue(folder / "lake"),
}

SLOW = {"iceberg_rest"}
"""The same code as another's, with another catalogue."""

DIALECTS = {"duckdb": DUCKDB, "postgres": POSTGRES, "iceberg": ICEBERG}

ROOT = Path(__file__).parents[2]


@pytest.fixture(params=[pytest.param(make, id=name, marks=[pytest.mark.slow] * (name in SLOW)) for name, make in URLS.items()])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    made: str = request.param(tmp_path)
    return made


@pytest.fixture
def warehouse(url: str) -> Warehouse:
    """An empty warehouse with the test tables made."""
    opened = open_warehouse(url, "spend")
    with opened.transaction() as work:
        work.ensure([BILLS, LINES, SEEN, CURSORS])
    return opened


Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a verb of worker.py in a process of its own; whatever still runs at the end of the test is ended."""
    with ExitStack() as stack:

        def go(*arguments: object) -> subprocess.Popen[str]:
            process = stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-m", "tests.warehouses.worker", *map(str, arguments)],
                    cwd=ROOT,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
            stack.callback(process.kill)
            return process

        yield go
