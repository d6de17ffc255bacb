from __future__ import annotations

import sys

import pytest

from benchmarks.memory import measured


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads the peak from /proc")
def test_four_times_the_entries_take_no_more_memory() -> None:
    few, many = 60_000, 240_000
    _, base, _ = measured(few)
    loaded, peak, _ = measured(many)
    assert loaded == many
    assert peak <= 1.3 * base, f"{peak} MB for {many} entries, {base} MB for {few}"
