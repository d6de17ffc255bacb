"""Accounting entries with their splits, made up: the same ones for the same seed."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from pleo_connector.catalogue import CATALOGUE, Storage, Table
from pleo_connector.warehouses.staging import ARROW

TABLES = CATALOGUE.stream("accounting_entries").tables()[:2]
COMPANIES = [str(uuid.UUID(int=number)) for number in range(1, 4)]
Frames = list[dict[str, pd.DataFrame]]


def made_up(rows: int, seed: int, batch: int) -> Frames:
    """Batches of entries, each third of them with two splits."""
    chance = np.random.default_rng(seed)
    return [_batch(chance, min(batch, rows - start)) for start in range(0, rows, batch)]


def _batch(chance: np.random.Generator, rows: int) -> dict[str, pd.DataFrame]:
    parent, child = TABLES
    keys = pa.array([str(uuid.UUID(bytes=chance.bytes(16))) for _ in range(rows)])
    some = np.repeat(np.arange(0, rows, 3), 2)
    positions = pa.array(np.tile([1, 2], len(some) // 2))
    return {
        parent.name: _frame(chance, parent, rows, {parent.key[0]: keys}),
        child.name: _frame(chance, child, len(some), {child.parent_key[0]: keys.take(pa.array(some)), child.key[1]: positions}),
    }


def _frame(chance: np.random.Generator, table: Table, rows: int, given: dict[str, Any]) -> pd.DataFrame:
    columns = {}
    for one in table.fields:
        values = given.get(one.name)
        if values is None:
            pool = pa.array(_pool(chance, one.name, one.storage), ARROW[one.storage])
            values = pool.take(pa.array(chance.integers(0, len(pool), rows)))
        columns[one.name] = pd.Series(values.cast(ARROW[one.storage]), dtype=pd.ArrowDtype(ARROW[one.storage]))
    return pd.DataFrame(columns)


def _pool(chance: np.random.Generator, name: str, storage: Storage) -> list[Any]:
    if name in ("_deleted_at", "_deleted_source", "_extra"):
        return [None]
    if name in ("company_id", "_company_id"):
        return COMPANIES
    numbers = [int(number) for number in chance.integers(0, 10**7, 1000)]
    match storage:
        case Storage.UUID:
            return [str(uuid.UUID(bytes=chance.bytes(16))) for _ in range(200)] + [None] * 20
        case Storage.BOOLEAN:
            return [True, False, None]
        case Storage.BIGINT:
            return numbers
        case Storage.MONEY | Storage.RATE:
            return [pa.scalar(str(number / 100)).cast(ARROW[storage]).as_py() for number in numbers]
        case Storage.TIMESTAMP:
            return [datetime.fromtimestamp(1_760_000_000 + number, UTC) for number in numbers]
        case Storage.DATE:
            return [datetime.fromtimestamp(1_760_000_000 + number, UTC).date() for number in numbers]
        case Storage.JSON:
            return ['{"kind": "receipt", "pages": 2}', None]
        case _:
            return [f"{name} {number}, frokost på kontoret" for number in numbers] + [None] * 300


def changed(frames: Frames, at: str) -> Frames:
    """The same rows, 1 % of the entries with another fingerprint."""
    parent = TABLES[0].name
    later = []
    for batch in frames:
        entries = batch[parent].copy()
        entries.loc[entries.index % 100 == 0, "_row_hash"] = at
        later.append(batch | {parent: entries})
    return later
