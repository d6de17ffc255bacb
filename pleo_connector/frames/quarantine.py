"""Records that are set aside, with the field and the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import pandas as pd
import pyarrow as pa

from pleo_connector.catalogue import Stream
from pleo_connector.frames.batch import QUARANTINE_COLUMNS, Served
from pleo_connector.frames.dropping import without_dropped
from pleo_connector.frames.envelope import RawRecord
from pleo_connector.frames.rows import Indices, Rows


@dataclass(frozen=True, slots=True)
class SetAside:
    """Record number -> (field path, reason); only the first reason counts."""

    reasons: dict[int, tuple[str, str]] = field(default_factory=dict)

    def __or__(self, other: SetAside) -> SetAside:
        return SetAside({**other.reasons, **self.reasons})

    def __bool__(self) -> bool:
        return bool(self.reasons)


def broken_rows(top: Rows, served: Indices) -> SetAside:
    """Records with an impossible value in themselves or in any element of their lists; `served` numbers the rows of the top."""
    aside: dict[int, tuple[str, str]] = {}
    for rows in top.walk():
        for row, (path, reason) in sorted(rows.faults.items()):
            aside.setdefault(int(served[rows.record[row]]), (_numbered(path, [int(place[row]) for place in rows.positions]), reason))
    return SetAside(aside)


def _numbered(path: str, positions: Sequence[int]) -> str:
    """`splitItems[].id` -> `splitItems[2].id`; positions count from 1."""
    for position in positions:
        path = path.replace("[]", f"[{position}]", 1)
    return path


def quarantine_frame(
    stream: Stream, aside: SetAside, records: Sequence[RawRecord], pages: Sequence[Served], of_page: Indices, now: datetime
) -> pd.DataFrame:
    """One row per record set aside, in the order served, without what the stream drops on purpose."""
    numbers = sorted(aside.reasons)
    on = [pages[of_page[number]] for number in numbers]
    columns = (
        pa.array([stream.name] * len(numbers), pa.string()),
        pa.array([page.company_id for page in on], pa.string()),
        pa.array([page.sweep_id for page in on], pa.string()),
        pa.array([without_dropped(stream, records[number]) for number in numbers], pa.string()),
        pa.array([aside.reasons[number][0] for number in numbers], pa.string()),
        pa.array([aside.reasons[number][1] for number in numbers], pa.string()),
        pa.array([now] * len(numbers), pa.timestamp("us", "UTC")),
    )
    frame: pd.DataFrame = pa.table(dict(zip(QUARANTINE_COLUMNS, columns, strict=True))).to_pandas(types_mapper=pd.ArrowDtype)
    return frame
