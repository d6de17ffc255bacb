"""What a run did about the files of receipts."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

WAITING = "waiting"
"""Not tried in this run: it fetches so many at most, or was stopped by an error."""


@dataclass(slots=True)
class FilesReport:
    """In files; `left` counts living receipts without one, by the reason."""

    fetched: int = 0
    adopted: int = 0
    """Found in the folder: an earlier run ended between a file and its row, or the warehouse is new."""
    removed: int = 0
    """Of deleted receipts, where the options say so."""
    bytes: int = 0
    """Of those that were fetched."""
    left: Counter[str] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return {
            "fetched": self.fetched,
            "adopted": self.adopted,
            "removed": self.removed,
            "bytes": self.bytes,
            "left": self.left.total(),
            "why_left": {reason: count for reason, count in sorted(self.left.items()) if count},
        }
