"""Whether, where and for how long raw pages are stored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

OFF = "off"
WAREHOUSE = "warehouse"


@dataclass(frozen=True, slots=True)
class RawPolicy:
    """`place` is `off`, `warehouse`, or a folder for the pages' bytes; `days` of 0 keeps them for ever."""

    place: str = WAREHOUSE
    days: int = 365

    @property
    def is_on(self) -> bool:
        """Whether raw pages are stored."""
        return self.place != OFF

    @property
    def folder(self) -> Path | None:
        """The folder that the pages are in; None when they are in the warehouse."""
        return Path(self.place).expanduser() if self.place not in (OFF, WAREHOUSE) else None
