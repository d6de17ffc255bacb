"""What tests of the command line share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from filelock import FileLock


@pytest.fixture
def the_only_demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One at a time, over all of pytest's workers: two demos that start at once may choose the same port for their login."""
    with FileLock(tmp_path_factory.getbasetemp().parent / "demo.lock"):
        yield
