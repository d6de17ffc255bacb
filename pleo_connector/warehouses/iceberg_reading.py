"""Reading columns of one data file. PyIceberg's scan of a file of some thousand rows costs six times what Parquet itself does."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import ArrowScan
from pyiceberg.manifest import DataFile, FileFormat
from pyiceberg.table import FileScanTask
from pyiceberg.table.metadata import TableMetadata

from pleo_connector.warehouses.iceberg_schema import arrow_type

_ID = b"PARQUET:field_id"


def read_columns(io: FileIO, metadata: TableMetadata, file: DataFile, names: Sequence[str]) -> pa.Table:
    """These columns of all rows of the file, those marked as gone too, in its order; each found by its field id."""
    rows = _plain(io, metadata, file, names) if file.file_format == FileFormat.PARQUET else None
    return (_scan(io, metadata, file, names) if rows is None else rows).cast(arrow_schema(metadata, names))


def arrow_schema(metadata: TableMetadata, names: Sequence[str]) -> pa.Schema:
    """What these columns are in memory."""
    schema = metadata.schema()
    return pa.schema([(name, arrow_type(schema.find_field(name).field_type)) for name in names])


def _plain(io: FileIO, metadata: TableMetadata, file: DataFile, names: Sequence[str]) -> pa.Table | None:
    """The columns as Parquet has them; None if the file lacks one, or says no ids: what stands for it is for PyIceberg to know."""
    with io.new_input(file.file_path).open() as stream:
        parquet = pq.ParquetFile(stream)
        stored = {int((field.metadata or {}).get(_ID, -1)): field.name for field in parquet.schema_arrow}
        columns = [stored.get(metadata.schema().find_field(name).field_id) for name in names]
        present = [column for column in columns if column is not None]
        return parquet.read(present).select(present).rename_columns(list(names)) if len(present) == len(names) else None


def _scan(io: FileIO, metadata: TableMetadata, file: DataFile, names: Sequence[str]) -> pa.Table:
    schema = metadata.schema().select(*names)
    if schema.field_ids - set(file.value_counts or ()):
        # For a column that is newer than the file, PyIceberg 0.10 searches the partition's columns among the requested ones.
        sources = (metadata.schema().find_column_name(field.source_id) for field in metadata.spec().fields)
        schema = metadata.schema().select(*names, *(name for name in sources if name is not None))
    return ArrowScan(metadata, io, schema, AlwaysTrue()).to_table([FileScanTask(file)]).select(list(names))
