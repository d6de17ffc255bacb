from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.portal.harness import Hosted, hosted


@pytest.fixture
def portal(tmp_path: Path) -> Iterator[Hosted]:
    with hosted(tmp_path) as found:
        yield found
