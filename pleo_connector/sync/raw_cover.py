"""Which sweeps newer ones have taken the place of: their pages can go, and without their pages a replay still gives what is there."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pleo_connector.api import Interval
from pleo_connector.catalogue import Stream, SyncMode
from pleo_connector.sync import windows
from pleo_connector.sync.state_tables import SWEEPS
from pleo_connector.warehouses import Transaction

_ENDED = ("complete", "unproven", "refused")
"""Walked to the end, whatever absence proved."""


@dataclass(frozen=True, slots=True)
class Walked:
    """A sweep, as far as it decides what others are needed for."""

    sweep_id: str
    company_id: str | None
    parent_id: str | None
    span: Interval | None
    whole: bool
    """Down to the oldest record, of a newest-first stream; else True."""
    ended: bool
    started_at: datetime
    pages: int
    rows: int


def walked(transaction: Transaction, stream: Stream) -> list[Walked]:
    """The sweeps of a stream, oldest first."""
    rows = transaction.read(SWEEPS, stream=stream.name).to_pylist()
    return sorted(map(_walked, rows), key=lambda sweep: sweep.started_at)


def superseded(stream: Stream, sweeps: Sequence[Walked], by: Iterable[Walked]) -> Iterator[Walked]:
    """The sweeps whose whole scope was read again later, to the end, by some of `by`.

    None of export jobs and their items: Pleo stops serving them, so an old sweep may hold the only copy.
    """
    if stream.mode is SyncMode.OPEN_JOBS:
        return
    enders = [sweep for sweep in by if sweep.ended and sweep.whole]
    for sweep in sweeps:
        later = [
            one
            for one in enders
            if one.started_at > sweep.started_at and (one.company_id, one.parent_id) == (sweep.company_id, sweep.parent_id)
        ]
        if _covers(sweep, later):
            yield sweep


def _covers(sweep: Walked, later: Sequence[Walked]) -> bool:
    if sweep.span is None:
        return bool(later)
    joined = windows.joined([one.span for one in later if one.span is not None])
    return any(span.start <= sweep.span.start and span.end >= sweep.span.end for span in joined)


def _walked(row: dict[str, Any]) -> Walked:
    return Walked(
        row["sweep_id"],
        row["company_id"],
        row["parent_id"],
        Interval.of(row["span_start"], row["span_end"]),
        row["floor_at"] is None,
        row["status"] in _ENDED,
        row["started_at"],
        row["pages"],
        row["rows_served"],
    )
