"""What a run did, stream by stream; JSON-able, and the source of Dagster's metadata."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from pleo_connector.api import Interval, Traffic
from pleo_connector.errors import PleoError
from pleo_connector.frames import Drift
from pleo_connector.sync.raw_report import RawReport
from pleo_connector.sync.receipt_report import FilesReport
from pleo_connector.sync.windows import FIRST, describe


@dataclass(slots=True)
class StreamReport:
    """Counts are in rows of the stream's main table; `tables` holds live rows per table."""

    stream: str
    served: int = 0
    inserted: int = 0
    updated: int = 0
    unchanged: int = 0
    flagged: int = 0
    """Inserted or updated rows that Pleo newly flags as deleted."""
    absent: int = 0
    """Rows marked deleted because a complete sweep did not meet them."""
    quarantined: int = 0
    duplicates: int = 0
    """Records that Pleo served more than once in this run."""
    pages: int = 0
    sweeps: int = 0
    walked: int = 0
    """Sweeps that are read to their end, or broke off; what they brought may still be on its way to the warehouse."""
    sweeps_completed: int = 0
    spans: tuple[Interval, ...] = ()
    """What was read to its end of a stream with windows, of all companies together."""
    seconds: float = 0.0
    traffic: Traffic = field(default_factory=Traffic)
    tables: dict[str, int] = field(default_factory=dict)
    changed_by_tier: dict[str, int] = field(default_factory=dict)
    """Rows that were new, changed or deleted, by the tier of their windows: `first` (never read before), hot, warm, cool, cold."""
    drift: Drift = field(default_factory=Drift)
    files: FilesReport | None = None
    """Of a stream whose files are fetched."""
    warnings: list[str] = field(default_factory=list)
    error: PleoError | None = None

    @property
    def deleted(self) -> int:
        """Rows that became tombstones in this run."""
        return self.flagged + self.absent

    @property
    def written(self) -> int:
        """Rows inserted, updated or marked deleted."""
        return self.inserted + self.updated + self.absent

    @property
    def found_late(self) -> dict[str, int]:
        """Changes in windows that not every run reads: a larger hot_days would have found them sooner."""
        return {tier: count for tier, count in self.changed_by_tier.items() if count and tier not in (FIRST, "hot")}

    @property
    def months_read(self) -> str:
        """`spans` in words; empty for a stream without windows, and for one that failed: of some company less was read."""
        return ", ".join(describe([span]) for span in self.spans) if self.error is None else ""

    @property
    def balanced(self) -> bool:
        """Every record served is accounted for."""
        return self.served == self.inserted + self.updated + self.unchanged + self.quarantined + self.duplicates

    def as_dict(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return {
            "stream": self.stream,
            "served": self.served,
            "inserted": self.inserted,
            "updated": self.updated,
            "unchanged": self.unchanged,
            "deleted": self.deleted,
            "quarantined": self.quarantined,
            "duplicates": self.duplicates,
            "pages": self.pages,
            "sweeps": self.sweeps,
            "sweeps_completed": self.sweeps_completed,
            "spans": [span.as_dict() for span in self.spans] if self.error is None else [],
            "seconds": round(self.seconds, 3),
            **asdict(self.traffic),
            "tables": dict(self.tables),
            "changed_by_tier": dict(self.changed_by_tier),
            "drift": self.drift.as_json(),
            **({"files": self.files.as_dict()} if self.files is not None else {}),
            "warnings": list(self.warnings),
            "error": str(self.error) if self.error else None,
        }


@dataclass(slots=True)
class SyncReport:
    """The whole run, in catalogue order."""

    streams: dict[str, StreamReport]
    companies: tuple[str, ...] = ()
    seconds: float = 0.0
    raw: RawReport = field(default_factory=RawReport)
    """The stored raw pages."""
    warnings: list[str] = field(default_factory=list)
    """What went wrong after everything was loaded."""

    @property
    def failures(self) -> dict[str, PleoError]:
        """Streams that failed, with their errors."""
        return {name: report.error for name, report in self.streams.items() if report.error is not None}

    @property
    def written(self) -> int:
        """Rows written in all streams' main tables."""
        return sum(report.written for report in self.streams.values())

    @property
    def requests(self) -> int:
        """Requests sent for all streams."""
        return sum(report.traffic.requests for report in self.streams.values())

    def as_dict(self) -> dict[str, Any]:
        """Plain values for `--json`."""
        return {
            "companies": list(self.companies),
            "seconds": round(self.seconds, 3),
            "written": self.written,
            "requests": self.requests,
            "raw": self.raw.as_dict(),
            "warnings": list(self.warnings),
            "streams": [report.as_dict() for report in self.streams.values()],
        }
