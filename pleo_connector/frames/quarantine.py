"""Records that are set aside, with the field and the reason."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from pleo_connector.catalogue import Stream
from pleo_connector.frames.batch import QUARANTINE_COLUMNS, Served
from pleo_connector.frames.envelope import RawRecord
from pleo_connector.frames.reading import ReadLevel


@dataclass(frozen=True, slots=True)
class SetAside:
    """Record number -> (field path, reason); the first reason found is kept."""

    reasons: dict[int, tuple[str, str]] = field(default_factory=dict)

    def __or__(self, other: SetAside) -> SetAside:
        return SetAside({**other.reasons, **self.reasons})

    def __bool__(self) -> bool:
        return bool(self.reasons)


def broken_rows(con: duckdb.DuckDBPyConnection, top: ReadLevel) -> SetAside:
    """Records with an impossible value in themselves or in any element of their lists."""
    aside = SetAside()
    for read in top.walk():
        if not read.broken:
            continue
        level = read.level
        rules = [(rule.path, rule.reason) for rule in level.rules]
        rules += [(path, "another type where text is wanted") for path, _ in level.changes]
        keys = ", ".join(("i", *level.positions, "bad"))
        rows = con.execute(f"SELECT {keys} FROM {read.relation} WHERE bad IS NOT NULL ORDER BY ALL").fetchall()
        found: dict[int, tuple[str, str]] = {}
        for record, *positions, bad in rows:
            path, reason = rules[bad]
            found.setdefault(record, (_numbered(path, positions), reason))
        aside = aside | SetAside(found)
    return aside


def _numbered(path: str, positions: Sequence[int]) -> str:
    """`splitItems[].id` -> `splitItems[2].id`; positions count from 1."""
    for position in positions:
        path = path.replace("[]", f"[{position}]", 1)
    return path


def quarantine_frame(
    stream: Stream, aside: SetAside, records: Sequence[RawRecord], pages: Sequence[Served], of_page: np.ndarray, now: datetime
) -> pd.DataFrame:
    """One row per record set aside, in the order served."""
    numbers = sorted(aside.reasons)
    on = [pages[of_page[number]] for number in numbers]
    columns = (
        pa.array([stream.name] * len(numbers), pa.string()),
        pa.array([page.company_id for page in on], pa.string()),
        pa.array([page.sweep_id for page in on], pa.string()),
        pa.array([bytes(records[number]).decode("utf-8", "replace") for number in numbers], pa.string()),
        pa.array([aside.reasons[number][0] for number in numbers], pa.string()),
        pa.array([aside.reasons[number][1] for number in numbers], pa.string()),
        pa.array([now] * len(numbers), pa.timestamp("us", "UTC")),
    )
    frame: pd.DataFrame = pa.table(dict(zip(QUARANTINE_COLUMNS, columns, strict=True))).to_pandas(types_mapper=pd.ArrowDtype)
    return frame
