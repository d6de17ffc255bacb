"""Deletes raw pages: those past the retention that no replay needs, or all of a stream."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec

from pleo_connector.api import Interval
from pleo_connector.catalogue import Catalogue, Stream
from pleo_connector.sync.raw_cover import Walked, superseded, walked
from pleo_connector.sync.raw_reading import StreamEnd
from pleo_connector.sync.raw_tables import RAW_FAILED, RAW_LOADS, RAW_PAGES, RAW_REQUESTS
from pleo_connector.warehouses import Transaction

_CHUNK = 500
"""Keys in one statement."""


def prune(transaction: Transaction, catalogue: Catalogue, cutoff: datetime) -> list[str]:
    """Delete the pages of sweeps that ended before `cutoff` and were all read again since; returns the deleted pages.

    The pages of the newest complete sweeps stay, whatever their age: a replay still gives every live row.
    """
    stamp = cutoff.astimezone(UTC).isoformat()
    if not transaction.scalar(f"SELECT 1 FROM {{schema}}._raw_loads WHERE loaded_at < CAST('{stamp}' AS TIMESTAMPTZ) LIMIT 1"):
        return []
    for stream in catalogue:
        gone = [sweep.sweep_id for sweep in _outlived(transaction, stream, cutoff)]
        _delete(transaction, gone)
    failed = transaction.read(RAW_FAILED, ("sweep_id", "failed_at")).to_pylist()
    for sweep_id in {row["sweep_id"] for row in failed if row["failed_at"] < cutoff}:
        transaction.delete(RAW_FAILED, sweep_id=sweep_id)
    return _forget_unused(transaction, cutoff)


def purge(transaction: Transaction, streams: Collection[str]) -> list[str]:
    """Delete all raw pages of these streams; returns the deleted pages."""
    for stream in streams:
        transaction.delete(RAW_REQUESTS, stream=stream)
        transaction.delete(RAW_FAILED, stream=stream)
    return _forget_unused(transaction, datetime.now(UTC))


def _outlived(transaction: Transaction, stream: Stream, cutoff: datetime) -> Iterator[Walked]:
    columns = ("sweep_id", "company_id", "parent_id", "span_start", "span_end", "floor_at", "started_at", "fetched_at")
    newest: dict[str, dict[str, Any]] = {}
    for row in transaction.read(RAW_REQUESTS, columns, stream=stream.name).to_pylist():
        newest[row["sweep_id"]] = max(row, newest.get(row["sweep_id"], row), key=lambda one: one["fetched_at"])
    old = {sweep_id for sweep_id, row in newest.items() if row["fetched_at"] < cutoff}
    if not old:
        return
    stored = {sweep.sweep_id: sweep for sweep in walked(transaction, stream)}
    sweeps = [stored.get(sweep_id) or _unlisted(row) for sweep_id, row in newest.items()]
    yield from superseded(stream, [sweep for sweep in sweeps if sweep.sweep_id in old], sweeps)


def _unlisted(row: dict[str, Any]) -> Walked:
    """A sweep that is no longer in `_sweeps`: what it left open was settled by a later one."""
    return Walked(
        row["sweep_id"],
        row["company_id"],
        row["parent_id"],
        Interval.of(row["span_start"], row["span_end"]),
        row["floor_at"] is None,
        ended=False,
        started_at=row["started_at"],
        pages=0,
        rows=0,
    )


def _delete(transaction: Transaction, sweep_ids: Sequence[str]) -> None:
    for some in _chunks(sweep_ids):
        transaction.delete(RAW_REQUESTS, sweep_id=some)


def _forget_unused(transaction: Transaction, cutoff: datetime) -> list[str]:
    """Pages that no request points to, and loads before `cutoff` of which nothing is left."""
    requests = transaction.read(RAW_REQUESTS, ("content", "load", "run", "sweep_id")).to_pylist()
    contents = set(transaction.read(RAW_PAGES, ("content",))["content"].to_pylist())
    unused = sorted(contents - {row["content"] for row in requests})
    for some in _chunks(unused):
        transaction.delete(RAW_PAGES, content=some)
    loads, sweeps = {(row["load"], row["run"]) for row in requests}, {row["sweep_id"] for row in requests}
    for row in transaction.read(RAW_LOADS).to_pylist():
        if row["loaded_at"] < cutoff and (row["load"], row["run"]) not in loads and not _ended_in(row["ended"]) & sweeps:
            transaction.delete(RAW_LOADS, load=row["load"], run=row["run"])
    return unused


def _ended_in(ends: str) -> set[str]:
    return {sweep.sweep_id for end in msgspec.json.decode(ends, type=list[StreamEnd]) for sweep in (*end.sweeps, *end.abandoned)}


def _chunks(keys: Sequence[str]) -> Iterable[list[str]]:
    return (list(keys[start : start + _CHUNK]) for start in range(0, len(keys), _CHUNK))
