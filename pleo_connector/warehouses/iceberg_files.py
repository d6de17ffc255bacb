"""Rows written as data files, each in its partition.

PyIceberg's own `write_file` works out the schema and what to count anew for each file, which for a file of some hundred rows takes longer
than to write it, and holds a copy of all rows of a file.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from itertools import islice

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import (
    _get_parquet_writer_kwargs,
    compute_statistics_plan,
    data_file_statistics_from_parquet_metadata,
    parquet_path_to_id_mapping,
)
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.partitioning import PartitionFieldValue, PartitionKey
from pyiceberg.schema import sanitize_column_names
from pyiceberg.table.locations import load_location_provider
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.typedef import Record
from pyiceberg.utils.concurrent import ExecutorFactory

from pleo_connector.warehouses.iceberg_partitions import Key, by_partition
from pleo_connector.warehouses.iceberg_schema import stored_schema

FILE_ROWS = 500_000
"""Rows of one data file at most."""

GROUP_ROWS = 25_000
"""Rows of a file that are written at once; they are copied for it, and some 1,000 bytes each."""

AT_ONCE = 2
"""Files that are written at the same time."""

_Where = tuple[Key, np.ndarray]
"""A partition, and which rows go into one file of it."""


def write_rows(io: FileIO, metadata: TableMetadata, rows: pa.Table) -> Iterator[DataFile]:
    """Write the rows as files that no snapshot lists yet; all columns of the table, in its order."""
    if not rows.num_rows:
        return
    writer, files = _Writer(io, metadata, rows), _files(metadata, rows)
    while some := list(islice(files, AT_ONCE)):
        yield from ExecutorFactory.get_or_create().map(writer.write, some)


def _files(metadata: TableMetadata, rows: pa.Table) -> Iterator[_Where]:
    for key, places in by_partition(rows, metadata):
        there = np.arange(rows.num_rows) if places is None else places
        for start in range(0, len(there), FILE_ROWS):
            yield key, there[start : start + FILE_ROWS]


class _Writer:
    """What the files of one load of a table have in common."""

    def __init__(self, io: FileIO, metadata: TableMetadata, rows: pa.Table) -> None:
        self._io = io
        self._pieces = rows.to_batches()  # not one: that would copy all rows
        self._starts = np.cumsum([0, *(len(piece) for piece in self._pieces)])
        self._spec, self._spec_id, self._columns = metadata.spec(), metadata.default_spec_id, metadata.schema()
        written = sanitize_column_names(metadata.schema())
        self._schema = stored_schema(written)
        self._options = _get_parquet_writer_kwargs(metadata.properties)
        unlike = {written.find_column_name(number) for number in written.identifier_field_ids} | {"_row_hash"}
        # No value of these occurs often: a dictionary makes the file larger, and takes half as long again to read.
        self._options["use_dictionary"] = [name for name in self._schema.names if name not in unlike]
        self._counted = compute_statistics_plan(written, metadata.properties)
        self._ids = parquet_path_to_id_mapping(written)
        self._places = load_location_provider(table_location=metadata.location, table_properties=metadata.properties)

    def write(self, where: _Where) -> DataFile:
        """Write one file."""
        key, places = where
        values = [PartitionFieldValue(field, value) for field, value in zip(self._spec.fields, key, strict=True)]
        partition = PartitionKey(values, self._spec, self._columns) if values else None
        output = self._io.new_output(self._places.new_data_location(f"{uuid.uuid4()}.parquet", partition))
        with (
            output.create(overwrite=True) as stream,
            pq.ParquetWriter(stream, schema=self._schema, store_decimal_as_integer=True, **self._options) as writer,
        ):
            for start in range(0, len(places), GROUP_ROWS):
                writer.write_table(self._taken(places[start : start + GROUP_ROWS]))
        statistics = data_file_statistics_from_parquet_metadata(writer.writer.metadata, self._counted, self._ids)
        return DataFile.from_args(
            content=DataFileContent.DATA,
            file_path=output.location,
            file_format=FileFormat.PARQUET,
            partition=partition.partition if partition is not None else Record(),
            file_size_in_bytes=len(output),
            sort_order_id=None,
            spec_id=self._spec_id,
            equality_ids=None,
            key_metadata=None,
            **statistics.to_serialized_dict(),
        )

    def _taken(self, places: np.ndarray) -> pa.Table:
        """These rows, whose places ascend."""
        ends = np.searchsorted(places, self._starts)
        batches = [
            piece.take(pa.array(places[low:high] - start))
            for piece, start, low, high in zip(self._pieces, self._starts, ends, ends[1:], strict=False)
            if low < high
        ]
        return pa.table(pa.Table.from_batches(batches).combine_chunks().columns, schema=self._schema)
