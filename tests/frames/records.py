"""Records as Pleo would serve them, built from the declarations."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime

import pandas as pd

from pleo_connector.catalogue import CATALOGUE, Child, Column, LogicalType, Stream
from pleo_connector.frames import Batch, Served, normalise
from pleo_connector.stream_options import DriftPolicy

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)
COMPANY = "11111111-1111-4111-8111-111111111111"
PARENT = "22222222-2222-4222-8222-222222222222"
ENTRIES = CATALOGUE.stream("accounting_entries")

_VALUES: dict[LogicalType, object] = {
    LogicalType.TEXT: "text",
    LogicalType.UUID: "A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11",
    LogicalType.UUID_OR_UNKNOWN: "b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
    LogicalType.BOOLEAN: True,
    LogicalType.INTEGER: 7,
    LogicalType.MONEY: {"currency": "DKK", "minors": 12345},
    LogicalType.MONEY_TIMES_100: {"currency": "SEK", "value": 89696},
    LogicalType.RATE: 0.25,
    LogicalType.TIMESTAMP: "2026-01-02T03:04:05.678Z",
    LogicalType.DATE: "2026-01-02",
    LogicalType.JSON: {"b": 1, "a": [1, {"y": None, "x": "2"}]},
    LogicalType.COUNTRY: "DK",
    LogicalType.CURRENCY: "EUR",
}


def key(number: int) -> str:
    return str(uuid.UUID(int=number + 1, version=4))


def _put(record: dict[str, object], source: str, value: object) -> None:
    *path, last = source.split(".")
    for part in path:
        below = record.setdefault(part, {})
        assert isinstance(below, dict)
        record = below
    record[last] = value


def _fill(columns: tuple[Column, ...], children: tuple[Child, ...], *, full: bool) -> object:
    if columns[0].source == "":
        return _VALUES[columns[0].type]
    record: dict[str, object] = {}
    for column in columns:
        if full or column.required:
            known = next(iter(column.values), None)
            _put(record, column.source, known or _VALUES[column.type])
    if full:
        for child in children:
            _put(record, child.source, [_fill(child.columns, child.children, full=full), _fill(child.columns, child.children, full=full)])
    return record


def example(stream: Stream, *, full: bool, number: int = 0) -> dict[str, object]:
    record = _fill(stream.columns, stream.children, full=full)
    assert isinstance(record, dict)
    return record if stream.makes_key else {**record, stream.key: key(number)}


def entry(number: int = 0, **fields: object) -> dict[str, object]:
    return {**example(ENTRIES, full=False, number=number), **fields}


def raw(record: object) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode()


def load(*records: object, stream: Stream = ENTRIES, policy: DriftPolicy = DriftPolicy.EVOLVE, company: str | None = COMPANY) -> Batch:
    texts = [record if isinstance(record, bytes) else raw(record) for record in records]
    batch = normalise(stream, [Served(texts, company, "sweep-1", PARENT if stream.parent else None)], now=NOW, policy=policy)
    assert batch.served == len(texts) == len(batch.frames[stream.name]) + len(batch.quarantined) + batch.duplicates
    return batch


def first(batch: Batch, table: str = "accounting_entries") -> dict[str, object]:
    row: dict[str, object] = {str(name): None if pd.isna(value) else value for name, value in batch.frames[table].iloc[0].to_dict().items()}
    return row


def hashes(batch: Batch) -> list[str]:
    frame = batch.frames[batch.stream.name]
    return list(frame.sort_values(batch.stream.key)["_row_hash"])
