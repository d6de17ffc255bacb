"""The rows of one Iceberg table as one transaction sees and leaves them.

Rows lie in parts: the table's data files, which are read column by column when asked for, and what the transaction adds. A row is
known by its part and its position there. Removing marks positions; only `write` makes files: those that lost rows
are written anew without them, the others stay as they are.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io import FileIO
from pyiceberg.io.pyarrow import ArrowScan, write_file
from pyiceberg.manifest import DataFile
from pyiceberg.partitioning import PartitionFieldValue, PartitionKey
from pyiceberg.table import FileScanTask, Transaction, WriteTask
from pyiceberg.table.metadata import TableMetadata

from pleo_connector.warehouses.iceberg_partitions import by_partition
from pleo_connector.warehouses.iceberg_schema import arrow_type
from pleo_connector.warehouses.iceberg_snapshots import snapshot

PART, POSITION = "_pleo_part", "_pleo_position"
"""Columns beside those of the table, which say where a row lies."""

FILE_ROWS = 500_000
"""Rows of one data file at most."""

SMALL_ROWS = 20_000
FEW = 8
"""A partition that is written to and has this many files below that many rows has them gathered into one."""


@dataclass(slots=True)
class Part:
    """Some rows in one place."""

    rows: int
    read: Callable[[Sequence[str]], pa.Table]
    file: DataFile | None = None
    gone: np.ndarray | None = None
    """True at the positions of removed rows; None while there are none."""

    def kept(self, rows: pa.Table) -> pa.Table:
        """Those of the part's rows that are still there."""
        return rows if self.gone is None else rows.filter(pa.array(~self.gone))


class IcebergRows:
    """The present rows of a table, and what becomes of them."""

    def __init__(self, work: Transaction, tasks: Iterable[FileScanTask]) -> None:
        self.work = work
        self._parts = [
            Part(task.file.record_count, lambda names, task=task: self._scan(task, names), task.file)  # type: ignore[misc]
            for task in tasks
        ]

    @property
    def metadata(self) -> TableMetadata:
        """The table as the transaction has it by now."""
        return self.work.table_metadata

    @property
    def io(self) -> FileIO:
        """Where the table's files are."""
        return self.work._table.io  # noqa: SLF001 - it has no other name

    @property
    def names(self) -> list[str]:
        """All columns."""
        return [field.name for field in self.metadata.schema().fields]

    def rows(self, names: Sequence[str], wanted: Callable[[DataFile], bool] = lambda _: True) -> pa.Table:
        """These columns of the present rows, with PART and POSITION; files that are not wanted are not read."""
        found = [self._empty(names)]
        for number, part in enumerate(self._parts):
            if part.file is None or wanted(part.file):
                rows = part.read(names)
                rows = rows.append_column(PART, pa.array(np.full(rows.num_rows, number, np.int32)))
                rows = rows.append_column(POSITION, pa.array(np.arange(rows.num_rows, dtype=np.int64)))
                found.append(part.kept(rows))
        return pa.concat_tables(found)

    def count(self, null: str | None = None) -> int:
        """How many rows, or only those without a value in a column; read from the files' statistics where they say it."""
        total = 0
        for part in self._parts:
            if null is None:
                total += part.rows - (int(part.gone.sum()) if part.gone is not None else 0)
                continue
            number = self.metadata.schema().find_field(null).field_id
            counted = (part.file.null_value_counts or {}).get(number) if part.file is not None and part.gone is None else None
            total += counted if counted is not None else part.kept(part.read([null])).column(0).null_count
        return total

    def remove(self, where: pa.Table) -> int:
        """Remove the rows at these places; returns how many."""
        for number, positions in _by_part(where):
            part = self._parts[number]
            if part.gone is None:
                part.gone = np.zeros(part.rows, dtype=bool)
            part.gone[positions] = True
        return int(where.num_rows)

    def take(self, where: pa.Table) -> pa.Table:
        """All columns of the rows at these places."""
        names = self.names
        return pa.concat_tables(
            [self._empty(names, places=False), *(self._parts[n].read(names).take(pa.array(at)) for n, at in _by_part(where))]
        )

    def add(self, rows: pa.Table) -> None:
        """Add rows; columns of the table that they lack are NULL."""
        schema = self._schema(self.names)
        columns = [rows[field.name] if field.name in rows.column_names else pa.nulls(rows.num_rows, field.type) for field in schema]
        whole = pa.table(columns, schema=schema)
        self._parts.append(Part(whole.num_rows, whole.select))

    def write(self, properties: dict[str, str]) -> bool:
        """Write the files that the changes need, as one snapshot of the table's transaction; False if there was nothing to write."""
        touched = [part for part in self._parts if part.file is not None and part.gone is not None]
        added = [part for part in self._parts if part.file is None]
        names = self.names
        rows = pa.concat_tables([self._empty(names, places=False), *(part.kept(part.read(names)) for part in [*touched, *added])])
        if not touched and not rows.num_rows:
            return False
        groups = list(by_partition(rows, self.metadata))
        gathered = self._gathered({key for key, _ in groups})
        if gathered:
            touched += gathered
            rows = pa.concat_tables([rows, *(part.read(names) for part in gathered)])
            groups = list(by_partition(rows, self.metadata))
        snapshot(self.work, [part.file for part in touched if part.file is not None], self._files(groups), properties)
        return True

    def _gathered(self, keys: set[tuple[object, ...]]) -> list[Part]:
        """Small untouched files of the partitions that are written to, where they have become many."""
        found: dict[tuple[object, ...], list[Part]] = {}
        for part in self._parts:
            if (
                part.file is not None
                and part.gone is None
                and part.rows < SMALL_ROWS
                and part.file.spec_id == self.metadata.default_spec_id
            ):
                key = tuple(part.file.partition[place] for place in range(len(part.file.partition)))
                if key in keys:
                    found.setdefault(key, []).append(part)
        return [part for parts in found.values() if len(parts) >= FEW for part in parts]

    def _files(self, groups: Iterable[tuple[tuple[object, ...], pa.Table]]) -> Iterator[DataFile]:
        metadata = self.metadata
        spec, schema, load = metadata.spec(), metadata.schema(), uuid.uuid4()
        tasks: list[WriteTask] = []
        for key, rows in groups:
            values = [PartitionFieldValue(field, value) for field, value in zip(spec.fields, key, strict=True)]
            place = PartitionKey(values, spec, schema) if values else None
            tasks += [
                WriteTask(
                    load, len(tasks) + number, schema, rows.slice(start, FILE_ROWS).combine_chunks().to_batches(), partition_key=place
                )
                for number, start in enumerate(range(0, rows.num_rows, FILE_ROWS))
            ]
        return write_file(self.io, metadata, iter(tasks))

    def _scan(self, task: FileScanTask, names: Sequence[str]) -> pa.Table:
        metadata = self.metadata
        schema = metadata.schema().select(*names)
        if schema.field_ids - set(task.file.value_counts or ()):
            # For a column that is newer than the file, PyIceberg 0.10 looks up those of the partition among the ones asked for.
            sources = (metadata.schema().find_column_name(field.source_id) for field in metadata.spec().fields)
            schema = metadata.schema().select(*names, *(name for name in sources if name is not None))
        scan = ArrowScan(metadata, self.io, schema, AlwaysTrue())
        return scan.to_table([task]).select(list(names)).cast(self._schema(names))

    def _schema(self, names: Sequence[str]) -> pa.Schema:
        schema = self.metadata.schema()
        return pa.schema([(name, arrow_type(schema.find_field(name).field_type)) for name in names])

    def _empty(self, names: Sequence[str], *, places: bool = True) -> pa.Table:
        schema = self._schema(names)
        if places:
            schema = schema.append(pa.field(PART, pa.int32())).append(pa.field(POSITION, pa.int64()))
        return schema.empty_table()


def _by_part(where: pa.Table) -> Iterator[tuple[int, np.ndarray]]:
    parts, positions = where[PART].to_numpy(), where[POSITION].to_numpy()
    for number in np.unique(parts):
        yield int(number), positions[parts == number]
