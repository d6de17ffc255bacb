"""Rows written as data files, each in its partition."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from itertools import islice

import pyarrow as pa
from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import write_file
from pyiceberg.manifest import DataFile
from pyiceberg.partitioning import PartitionFieldValue, PartitionKey
from pyiceberg.table import WriteTask
from pyiceberg.table.metadata import TableMetadata

from pleo_connector.warehouses.iceberg_partitions import by_partition

FILE_ROWS = 500_000
"""Rows of one data file at most."""

AT_ONCE = 2
"""Files that are written at the same time; PyIceberg would hold a copy of the rows of all."""


def write_rows(io: FileIO, metadata: TableMetadata, rows: pa.Table) -> Iterator[DataFile]:
    """Write the rows as files that no snapshot lists yet; all columns of the table, in its order."""
    tasks = _tasks(metadata, rows)
    while some := list(islice(tasks, AT_ONCE)):
        yield from write_file(io, metadata, iter(some))


def _tasks(metadata: TableMetadata, rows: pa.Table) -> Iterator[WriteTask]:
    spec, schema, load = metadata.spec(), metadata.schema(), uuid.uuid4()
    whole = rows.combine_chunks()  # to take from several pieces copies them all each time
    number = 0
    for key, places in by_partition(whole, metadata):
        values = [PartitionFieldValue(field, value) for field, value in zip(spec.fields, key, strict=True)]
        partition = PartitionKey(values, spec, schema) if values else None
        some = whole if places is None else whole.take(pa.array(places))
        for start in range(0, some.num_rows, FILE_ROWS):
            batches = some.slice(start, FILE_ROWS).combine_chunks().to_batches()
            yield WriteTask(load, number, schema, batches, partition_key=partition)
            number += 1
