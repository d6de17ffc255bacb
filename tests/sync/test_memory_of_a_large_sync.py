from __future__ import annotations

import pytest

from benchmarks.memory import measured


@pytest.mark.slow
def test_five_times_as_many_entries_take_hardly_more_memory() -> None:
    """`python -m benchmarks.memory` compares 100,000 with 1,000,000."""
    loaded, peak, _ = measured(50_000)
    more, higher, _ = measured(250_000)
    assert (loaded, more) == (50_000, 250_000)
    assert higher <= 1.3 * peak
