"""Batches of one stream, normalised one after the other, as the one batch that all their pages would have given."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import reduce
from operator import add

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pleo_connector.catalogue import Table
from pleo_connector.frames.batch import Batch
from pleo_connector.frames.drift import Drift


def batches_joined(batches: Sequence[Batch], now: datetime) -> Batch:
    """Of records with the same key the last one served wins; `now` becomes `_synced_at` of all rows.

    The batches' frames are emptied: the rows would be in memory twice.
    """
    first = batches[0]
    tables = first.stream.tables()
    dropped = _without_outdated(batches)
    quarantined = pd.concat([batch.quarantined for batch in batches], ignore_index=True)
    quarantined["quarantined_at"] = pd.Series(now, index=quarantined.index, dtype=first.quarantined["quarantined_at"].dtype)
    return Batch(
        first.stream,
        {table.name: _whole(table, [batch.frames[table.name] for batch in batches], now) for table in tables},
        quarantined,
        sum(batch.served for batch in batches),
        sum(batch.duplicates for batch in batches) + dropped,
        reduce(add, (batch.drift for batch in batches), Drift()),
    )


def settle(batch: Batch) -> None:
    """Copy the rows into their own memory: results of DuckDB keep the text that they were read from, which is as large again."""
    for table in batch.stream.tables():
        batch.frames[table.name] = _whole(table, [batch.frames[table.name]])


def _without_outdated(batches: Sequence[Batch]) -> int:
    """Drop the rows, and those of their children, whose key a later batch has too; returns how many records those are."""
    parent, *children = batches[0].stream.tables()
    key = batches[0].stream.key
    keys = [_arrow(batch.frames[parent.name][key]) for batch in batches]
    if pc.count_distinct(pa.chunked_array(keys)).as_py() == sum(map(len, keys)):
        return 0
    dropped = 0
    for number, batch in enumerate(batches[:-1]):
        outdated = pc.is_in(keys[number], value_set=pa.chunked_array(keys[number + 1 :]).unique())
        if not outdated.true_count:
            continue
        dropped += outdated.true_count
        gone = keys[number].filter(outdated)
        _keep(batch, parent, np.asarray(pc.invert(outdated)))
        for child in children:
            (owner,) = child.parent_key
            _keep(batch, child, np.asarray(pc.invert(pc.is_in(_arrow(batch.frames[child.name][owner]), value_set=gone))))
    return dropped


def _keep(batch: Batch, table: Table, mask: np.ndarray) -> None:
    batch.frames[table.name] = batch.frames[table.name][mask].reset_index(drop=True)


def _whole(table: Table, frames: Sequence[pd.DataFrame], now: datetime | None = None) -> pd.DataFrame:
    """A copy of the rows of all frames, column by column. Each column is freed after its copy. `now` replaces `_synced_at` if given."""
    columns = {}
    for name in table.column_names:
        pieces = [_arrow(frame.pop(name)) for frame in frames]
        whole = pa.concat_arrays(pieces)
        if name == "_synced_at" and now is not None:
            whole = pa.repeat(pa.scalar(now, whole.type), len(whole))
        columns[name] = pd.Series(whole, dtype=pd.ArrowDtype(whole.type))
    return pd.DataFrame(columns, copy=False)


def _arrow(column: pd.Series) -> pa.Array:
    array = pa.array(column)
    return array.combine_chunks() if isinstance(array, pa.ChunkedArray) else array
