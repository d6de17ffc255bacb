from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from pleo_connector.sandbox import RunningSandbox, SandboxConfig, running
from tests.orchestration.place import Place


@pytest.fixture(scope="module")
def sandbox() -> Iterator[RunningSandbox]:
    with running(SandboxConfig(port=0, requests_per_minute=0)) as ready:
        yield ready


@pytest.fixture
def place(tmp_path: Path, sandbox: RunningSandbox) -> Iterator[Place]:
    yield Place(tmp_path, sandbox.url)
    sandbox.state.set_faults()
    sandbox.state.set_refused()
