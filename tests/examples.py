"""How many examples a property test tries: a quarter where somebody waits, all of them in CI's slow stage."""

from __future__ import annotations

import os


def examples(full: int) -> int:
    """`full` with PLEO_TEST_FULL, as CI's slow stage sets it; else a quarter."""
    return full if os.environ.get("PLEO_TEST_FULL") else -(-full // 4)
