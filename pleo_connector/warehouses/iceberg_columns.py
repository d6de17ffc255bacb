"""The tables and columns that an SQL text may read. Too many cost only time."""

from __future__ import annotations

import re
from collections.abc import Sequence

_STAR = re.compile(r"(?:\bselect|\bdistinct|\ball|,|\.)\s*\*|\bnatural\b|\bcolumns\s*\(", re.IGNORECASE)


def columns_of_query(sql: str, columns: Sequence[str]) -> list[str]:
    """The columns of a table that the SQL may read."""
    return [column for column in columns if _STAR.search(sql) or mentions(sql, column)]


def mentions(sql: str, name: str) -> bool:
    """Whether the name stands in the SQL, quoted or not."""
    return re.search(rf"(?<!\w){re.escape(name.replace(chr(34), chr(34) * 2))}(?!\w)", sql, re.IGNORECASE) is not None
