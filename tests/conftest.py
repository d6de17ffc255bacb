"""What all tests share: nothing of the developer's own settings, and repeatable examples in CI."""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.examples import examples
from tests.place import Place, sample_file, sandbox

for name in [
    name
    for name in os.environ
    if name.startswith(("PLEO_", "DAGSTER_")) and not name.startswith(("PLEO_TEST_", "PLEO_PROOF_", "PLEO_SOAK_"))
]:
    del os.environ[name]
os.environ["DAGSTER_DISABLE_TELEMETRY"] = "yes"
# What the connector keeps for a user (what this host has seen of token stores, among it) stays out of the developer's own folder.
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="pleo-state-")
atexit.register(shutil.rmtree, os.environ["XDG_STATE_HOME"], ignore_errors=True)

# A shell starts what it puts into the background with SIGINT ignored, and children of the tests would inherit that.
signal.signal(signal.SIGINT, signal.default_int_handler)

settings.register_profile("here", deadline=None, max_examples=examples(100))
settings.register_profile("ci", settings.get_profile("here"), derandomize=True, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The soak goes first: it mostly waits, and at the end one worker would wait for it alone."""
    items.sort(key=lambda item: item.name != "test_soak")


@pytest.fixture(scope="session")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sample data in a DuckDB file: to be copied, not written to."""
    return sample_file(tmp_path_factory)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    """A new sandbox, and a warehouse that is not there yet."""
    with sandbox() as pleo:
        yield Place(tmp_path, pleo)


@pytest.fixture
def synced(place: Place, sample: Path) -> Place:
    """The same after a run of all streams."""
    shutil.copy(sample, place.file)
    return place
