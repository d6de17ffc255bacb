from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pleo_connector.sandbox import SandboxConfig, running
from pleo_connector.warehouses import open_warehouse
from tests.sync.places import Place


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    with running(SandboxConfig(port=0, requests_per_minute=0)) as pleo:
        yield Place(pleo, open_warehouse(f"duckdb:///{tmp_path / 'w.duckdb'}", "pleo"))
