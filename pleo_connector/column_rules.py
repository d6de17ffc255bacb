"""What can become of a column's values: the lowest floor, for the options that choose it and the catalogue that bears it."""

from __future__ import annotations

from enum import StrEnum


class ColumnRule(StrEnum):
    """What becomes of a column's values before anything is kept of them."""

    KEEP = "keep"
    HASH = "hash"
    DROP = "drop"
