"""The raw pages that a run stored, and the total of all runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(slots=True)
class RawReport:
    """Bytes are those that are stored, compressed, unless they say otherwise."""

    place: str = ""
    """Where pages are stored; empty when they are not."""
    pages: int = 0
    """Pages that were loaded in this run."""
    new: int = 0
    """Pages that were not stored before."""
    served_bytes: int = 0
    """Of all pages of this run, as served."""
    new_bytes: int = 0
    pruned: int = 0
    """Deleted pages: older than the retention, and no longer needed."""
    total_pages: int = 0
    total_bytes: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return asdict(self)
