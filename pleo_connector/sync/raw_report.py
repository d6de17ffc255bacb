"""What a run kept of the pages it read, and what is kept in all."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(slots=True)
class RawReport:
    """Bytes are those that are stored, compressed, unless they say otherwise."""

    place: str = ""
    """Where pages are kept; empty when they are not."""
    pages: int = 0
    """Pages that were loaded in this run."""
    new: int = 0
    """Those that were not kept before."""
    served_bytes: int = 0
    """Of all pages of this run, as served."""
    new_bytes: int = 0
    pruned: int = 0
    """Pages that were let go: older than the retention, and needed no more."""
    total_pages: int = 0
    total_bytes: int = 0

    def as_dict(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return asdict(self)
