"""Comparing Arrow columns row by row, as SQL's IS DISTINCT FROM does."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc


def differ(one: pa.ChunkedArray, other: pa.ChunkedArray) -> np.ndarray:
    """Where two columns are distinct; NULL is like NULL."""
    differs: np.ndarray = flags(pc.xor(pc.is_null(one), pc.is_null(other))) | flags(pc.not_equal(one, other))
    return differs


def flags(values: Any) -> np.ndarray:
    """True where a value is true; NULL is not."""
    return np.asarray(pc.fill_null(values, fill_value=False).to_numpy(), dtype=bool)
