"""Reads and writes of the connector's own tables: sweeps, checkpoints, keys, quarantine."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, TypeAlias

import msgspec
import pandas as pd
import pyarrow as pa

from pleo_connector.api import Interval
from pleo_connector.catalogue import Catalogue, Stream, SyncMode, Table
from pleo_connector.errors import ConfigurationError
from pleo_connector.frames import Batch
from pleo_connector.sync.state_tables import CHECKPOINTS, QUARANTINE, SEEN_KEYS, SWEEPS
from pleo_connector.sync.sweep import ServedPage, Sweep
from pleo_connector.warehouses import Transaction
from pleo_connector.warehouses.staging import ARROW

RESUMABLE = timedelta(hours=24)
"""An open sweep older than this starts again: what it saw says little about now."""
_TEXT = pd.ArrowDtype(pa.string())
_UNSETTLED = ["unproven", "refused"]


def frame_of(table: Table, rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """A frame with the table's columns, Arrow-backed; a column that no row names is NULL."""
    schema = pa.schema([(field.name, ARROW[field.storage]) for field in table.fields])
    frame: pd.DataFrame = pa.Table.from_pylist(list(rows), schema=schema).to_pandas(types_mapper=pd.ArrowDtype)
    return frame


def open_sweeps(transaction: Transaction, catalogue: Catalogue) -> list[Sweep]:
    """Sweeps that an earlier run left unfinished."""
    rows = transaction.read(SWEEPS, status="open").to_pylist()
    return [_sweep(row, catalogue) for row in rows if _is_known(row["stream"], catalogue)]


Rows: TypeAlias = Sequence[Mapping[str, Any]]
"""Stored sweeps of one stream that ended: `_ENDED` columns of those that are complete or not settled."""

_ENDED = ("stream", "status", "company_id", "span_start", "span_end", "parent_id", "parent_state", "started_at", "floor_at", "newest_at")


def ended_sweeps(transaction: Transaction, streams: Sequence[str]) -> dict[str, Rows]:
    """By stream, the sweeps that ended, in one query."""
    rows: dict[str, list[Mapping[str, Any]]] = {name: [] for name in streams}
    if streams:
        for row in transaction.read(SWEEPS, _ENDED, stream=list(streams), status=["complete", *_UNSETTLED]).to_pylist():
            rows[row["stream"]].append(row)
    return dict(rows)


def _complete(rows: Rows) -> Iterator[Mapping[str, Any]]:
    return (row for row in rows if row["status"] == "complete")


def completed(rows: Rows) -> dict[str | None, dict[Interval, datetime]]:
    """By company: the spans that were swept to the end, and when each sweep started."""
    done: dict[str | None, dict[Interval, datetime]] = {}
    for row in _complete(rows):
        span = Interval.of(row["span_start"], row["span_end"])
        if span is None:
            continue
        spans = done.setdefault(_text(row["company_id"]), {})
        spans[span] = max(row["started_at"], spans.get(span, row["started_at"]))
    return done


@dataclass(frozen=True, slots=True)
class Watermark:
    """How far a newest-first stream of a company is known."""

    whole: datetime | None = None
    """When the last complete walk began."""
    newest: datetime | None = None
    """The newest creation time that a finished walk has read: all older records are known."""


def watermarks(rows: Rows) -> dict[str | None, Watermark]:
    """The watermarks by company, from finished sweeps only: below the newest record of an unfinished sweep there are gaps."""
    by_company: dict[str | None, Watermark] = {}
    for row in _complete(rows):
        watermark = by_company.get(_text(row["company_id"]), Watermark())
        whole = row["started_at"] if row["floor_at"] is None else None
        by_company[_text(row["company_id"])] = Watermark(_later(watermark.whole, whole), _later(watermark.newest, row["newest_at"]))
    return by_company


def swept_parents(rows: Rows) -> dict[str, str]:
    """Parent key -> the parent's state when its records were last read to the end."""
    return {str(row["parent_id"]): str(row["parent_state"]) for row in sorted(_complete(rows), key=lambda row: row["started_at"])}


def write_progress(transaction: Transaction, pages: Mapping[str, Sequence[ServedPage]], batches: Iterable[Batch]) -> None:
    """The checkpoints and seen keys of one load; one write per table for all its streams."""
    every = [page for group in pages.values() for page in group]
    if not every:
        return
    _write_checkpoints(transaction, every)
    keys = [_seen_keys(batch) for batch in batches if batch.stream.mode is not SyncMode.OPEN_JOBS]  # those are never deleted by absence
    if keys:
        transaction.upsert(SEEN_KEYS, pd.concat(keys, ignore_index=True))


def _write_checkpoints(transaction: Transaction, pages: Sequence[ServedPage]) -> None:
    """One checkpoint per page."""
    rows = [
        {
            "sweep_id": served.sweep.sweep_id,
            "page": served.number,
            "stream": served.sweep.stream.name,
            "cursor_in": served.cursor_in,
            "cursor_out": served.page.end_cursor,
            "rows_served": served.rows,
            "sha256": served.sha256,
            "fetched_at": served.fetched_at,
        }
        for served in pages
    ]
    transaction.upsert(CHECKPOINTS, frame_of(CHECKPOINTS, rows))


def unproven(rows: Rows) -> set[str | None]:
    """Companies with absent rows that are not settled yet: all their windows must be read."""
    return {_text(row["company_id"]) for row in rows if row["status"] in _UNSETTLED}


def settle(transaction: Transaction, stream: Stream, company_id: str | None) -> None:
    """All windows of the company were read, so the open results of earlier sweeps are removed."""
    transaction.delete(SWEEPS, stream=stream.name, company_id=company_id, status=_UNSETTLED)


@dataclass(frozen=True, slots=True)
class SweepState:
    """A sweep with its status after a transaction."""

    sweep: Sweep
    status: str
    deleted: int = 0
    """Rows that its end marked as deleted."""


def write_sweeps(transaction: Transaction, states: Iterable[SweepState], *, at: datetime | None = None) -> None:
    """Write one row per sweep, with its state after this transaction; `at` is now unless given."""
    touched = at or datetime.now(UTC)
    rows = [
        {
            "sweep_id": sweep.sweep_id,
            "stream": sweep.stream.name,
            "company_id": sweep.company_id,
            "span_start": sweep.span.limits[0] if sweep.span else None,
            "span_end": sweep.span.limits[1] if sweep.span else None,
            "parent_id": sweep.parent_id,
            "parent_state": sweep.parent_state,
            "floor_at": sweep.floor,
            "newest_at": sweep.newest,
            "tier": sweep.tier,
            "status": state.status,
            "owner": sweep.owner,
            "touched_at": touched,
            "exhausted": sweep.exhausted,
            "cursor": sweep.cursor,
            "started_at": sweep.started_at,
            "finished_at": touched if state.status != "open" else None,
            "pages": sweep.pages,
            "rows_served": sweep.rows_served,
            "rows_quarantined": sweep.rows_quarantined,
            "rows_outside": sweep.rows_outside,
            "rows_reported": sweep.rows_reported,
            "rows_met": sweep.rows_met,
            "rows_changed": sweep.rows_changed,
            "rows_deleted": state.deleted,
        }
        for state in states
        for sweep in [state.sweep]
    ]
    if rows:
        transaction.upsert(SWEEPS, frame_of(SWEEPS, rows))


def _seen_keys(batch: Batch) -> pd.DataFrame:
    """The keys of a batch, those of quarantined records included, with the sweeps that read them."""
    parent = batch.frames[batch.stream.name]
    keys = pd.DataFrame({"sweep_id": parent["_sweep_id"], "stream": batch.stream.name, "key": parent[batch.stream.key]})
    held = [
        {"sweep_id": row.sweep_id, "stream": batch.stream.name, "key": key}
        for row in batch.quarantined.itertuples()
        if (key := key_of(batch.stream, str(row.record))) is not None
    ]
    if held:
        keys = pd.concat([keys, frame_of(SEEN_KEYS, held)]).drop_duplicates(["sweep_id", "key"])
    keys["stream"] = keys["stream"].astype(_TEXT)
    return keys


def write_quarantined(transaction: Transaction, batch: Batch) -> None:
    """Write the quarantined records; a record that is served again replaces its earlier row."""
    if batch.quarantined.empty:
        return
    held = batch.quarantined.copy()
    keys = [key_of(batch.stream, str(record)) for record in held["record"]]
    held["key"] = pd.Series(keys, index=held.index, dtype=_TEXT)
    transaction.delete(QUARANTINE, stream=batch.stream.name, key=[key for key in keys if key is not None])
    hashes = [hashlib.sha256(str(record).encode("utf-8", "surrogatepass")).hexdigest() for record in held["record"]]
    held["record_hash"] = pd.Series(hashes, index=held.index, dtype=_TEXT)
    transaction.upsert(QUARANTINE, held.drop_duplicates("record_hash", keep="last")[list(QUARANTINE.column_names)])


def quarantined_keys(transaction: Transaction, streams: Iterable[str]) -> dict[str, set[str]]:
    """By stream: keys of records that are set aside."""
    keys: dict[str, set[str]] = {name: set() for name in streams}
    for row in transaction.read(QUARANTINE, ("stream", "key"), stream=list(keys)).to_pylist():
        if row["key"] is not None:
            keys[row["stream"]].add(str(row["key"]))
    return keys


def release(transaction: Transaction, batch: Batch, held: set[str]) -> None:
    """Forget the quarantine of records that were typed this time."""
    released = held.intersection(batch.frames[batch.stream.name][batch.stream.key]) if held else held
    if released:
        transaction.delete(QUARANTINE, stream=batch.stream.name, key=sorted(released))


def forget(transaction: Transaction, sweeps: Sequence[Sweep]) -> None:
    """Drop keys and checkpoints of sweeps that ended."""
    ids = [sweep.sweep_id for sweep in sweeps]
    if ids:
        transaction.delete(SEEN_KEYS, sweep_id=ids)
        transaction.delete(CHECKPOINTS, sweep_id=ids)


def key_of(stream: Stream, record: str) -> str | None:
    """The key of a record that could not be typed, if at least that can be read as a UUID."""
    try:
        fields = msgspec.json.decode(record, type=dict[str, msgspec.Raw])
        key = msgspec.json.decode(fields[stream.key], type=str)
    except (msgspec.DecodeError, KeyError, UnicodeError):
        return None
    try:
        return str(msgspec.convert(key, uuid.UUID))
    except msgspec.ValidationError:
        return None


def _sweep(row: dict[str, Any], catalogue: Catalogue) -> Sweep:
    return Sweep(
        catalogue.stream(row["stream"]),
        _text(row["company_id"]),
        Interval.of(row["span_start"], row["span_end"]),
        _text(row["parent_id"]),
        row["parent_state"],
        row["floor_at"],
        row["newest_at"],
        row["tier"],
        sweep_id=row["sweep_id"],
        started_at=row["started_at"],
        cursor=row["cursor"],
        exhausted=bool(row["exhausted"]),
        pages=row["pages"],
        rows_served=row["rows_served"],
        rows_quarantined=row["rows_quarantined"],
        rows_outside=row["rows_outside"] or 0,  # earlier versions did not count them
        rows_reported=row["rows_reported"],
        proves_absence=row["rows_quarantined"] == 0,
        owner=row["owner"] or "",
        touched_at=row["touched_at"],
    )


def _is_known(name: str, catalogue: Catalogue) -> bool:
    try:
        catalogue.stream(name)
    except ConfigurationError:
        return False
    return True


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return max((moment for moment in (one, other) if moment is not None), default=None)
