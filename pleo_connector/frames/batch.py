"""What normalising a few pages gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from pleo_connector.catalogue import Stream
from pleo_connector.frames.drift import Drift
from pleo_connector.frames.envelope import RawRecord

QUARANTINE_COLUMNS = ("stream", "company_id", "sweep_id", "record", "field", "reason", "quarantined_at")
"""Columns of `Batch.quarantined`, in order."""


@dataclass(frozen=True, slots=True)
class Served:
    """The records of one page, and what they were read for."""

    records: Sequence[RawRecord]
    company_id: str | None
    sweep_id: str
    parent_id: str | None = None
    """The record of another stream that they were read for."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Typed rows of one stream.

    `frames` holds one frame per table of the stream, columns exactly `table.column_names`;
    `served == len(frames[stream.name]) + len(quarantined) + duplicates` always.
    """

    stream: Stream
    frames: dict[str, pd.DataFrame]
    quarantined: pd.DataFrame
    served: int
    duplicates: int
    drift: Drift
