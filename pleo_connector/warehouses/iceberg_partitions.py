"""Which partition a row belongs to."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyiceberg.partitioning import PartitionField
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.transforms import IdentityTransform, MonthTransform

from pleo_connector.errors import WarehouseError

_EPOCH = 1970

Key = tuple[object, ...]
"""One value for each field of the partition, as Iceberg keeps it: months are counted from January 1970."""


def by_partition(rows: pa.Table, metadata: TableMetadata) -> Iterator[tuple[Key, np.ndarray | None]]:
    """Where the rows of each partition are, in the order they came in; None when all are of one."""
    fields = metadata.spec().fields
    if not rows.num_rows:
        return
    if not fields:
        yield (), None
        return
    values = [_values(rows, field, metadata).combine_chunks().dictionary_encode(null_encoding="encode") for field in fields]
    codes = np.zeros(rows.num_rows, dtype=np.int64)
    for column in values:
        codes = codes * len(column.dictionary) + column.indices.to_numpy()
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    for start, end in zip(starts, [*starts[1:], len(order)], strict=True):
        key = tuple(column.dictionary[column.indices[int(order[start])].as_py()].as_py() for column in values)
        yield key, order[start:end] if len(starts) > 1 else None


def month_of(moment: datetime) -> int:
    """The month's number in a partition."""
    return (moment.year - _EPOCH) * 12 + moment.month - 1


def _values(rows: pa.Table, field: PartitionField, metadata: TableMetadata) -> pa.ChunkedArray:
    column = rows[metadata.schema().find_column_name(field.source_id)]
    if isinstance(field.transform, IdentityTransform):
        return column
    if isinstance(field.transform, MonthTransform):
        years = pc.multiply(pc.subtract(pc.year(column), _EPOCH), 12)
        return pc.cast(pc.add(years, pc.subtract(pc.month(column), 1)), pa.int32())
    raise WarehouseError(
        f"The table in {metadata.location} is partitioned by {field.transform}({field.name}), which the connector cannot write; "
        "give it back a partition by company and month, or drop it (the next full sync loads it again)."
    )
