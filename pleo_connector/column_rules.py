"""What can become of a column's values: the lowest floor, for the options that choose it and the catalogue that bears it."""

from __future__ import annotations

import re
from enum import StrEnum


class ColumnRule(StrEnum):
    """What becomes of a column's values before anything is kept of them."""

    KEEP = "keep"
    HASH = "hash"
    DROP = "drop"


_BETWEEN_WORDS = re.compile(r"[^0-9a-z]+")


def plain_name(name: str) -> str:
    """A field's name without case and signs: `firstName`, `first_name` and `First-Name` are one name."""
    return _BETWEEN_WORDS.sub("", name.casefold())
