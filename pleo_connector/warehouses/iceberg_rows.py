"""The rows of one Iceberg table in one transaction.

Rows lie in parts: the table's data files, which are read column by column when needed, and what the transaction adds. A row is
known by its part and its position there. Removing marks positions; only `write` makes files. A small file that lost rows, or one
that lost many, is written anew without them; beside any other lies a delete file that says which of its rows are gone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from pyiceberg.io import FileIO
from pyiceberg.manifest import DataFile
from pyiceberg.table import FileScanTask, Transaction
from pyiceberg.table.metadata import TableMetadata

from pleo_connector.warehouses.iceberg_cache import ColumnCache
from pleo_connector.warehouses.iceberg_deletes import deleted_rows, only_about, write_deletes
from pleo_connector.warehouses.iceberg_files import write_rows
from pleo_connector.warehouses.iceberg_partitions import by_partition
from pleo_connector.warehouses.iceberg_reading import arrow_schema, read_columns
from pleo_connector.warehouses.iceberg_snapshots import Change, snapshot

PART, POSITION = "_pleo_part", "_pleo_position"
"""Columns beside those of the table, which say where a row lies."""

SMALL_ROWS = 20_000
FEW = 8
"""A partition that is written to and has this many files below that many rows has them gathered into one."""

MARKED = 0.1
"""Part of a file's rows that may be marked as gone before it is written anew without them; every reader must skip those."""

MARKED_FROM = 2_000
"""Rows of a file from which marking costs less than to write it anew."""


@dataclass(slots=True, eq=False)
class Part:
    """Some rows in one place."""

    rows: int
    read: Callable[[Sequence[str]], pa.Table]
    again: Callable[[Sequence[str]], pa.Table] | None = None
    """Reads the same, and caches it for the next loads."""
    file: DataFile | None = None
    deletes: frozenset[DataFile] = frozenset()
    """Files that say which of the file's rows are gone."""
    read_gone: Callable[[], np.ndarray | None] = lambda: None
    """Reads those files; returns True at the positions of deleted rows."""
    changed: bool = False
    """Whether this transaction removed rows."""
    _gone: np.ndarray | None = None
    _gone_was_read: bool = False

    @property
    def gone(self) -> np.ndarray | None:
        """True at the positions of removed rows; None while there are none."""
        if not self._gone_was_read:
            self._gone, self._gone_was_read = self.read_gone(), True
        return self._gone

    def remove(self, positions: np.ndarray) -> None:
        """Mark rows as gone."""
        gone = self.gone
        if gone is None:
            gone = self._gone = np.zeros(self.rows, dtype=bool)
        gone[positions] = True
        self.changed = True

    def remaining(self, names: Sequence[str], *, again: bool = False) -> pa.Table:
        """These columns of the remaining rows; `again` if the next load will read the same."""
        rows = self.again(names) if again and self.again is not None else self.read(names)
        return rows if self.gone is None else rows.filter(pa.array(~self.gone))

    def is_marked(self) -> bool:
        """Whether removed rows are better marked than left out of a new file."""
        gone = self.gone
        return self.rows >= MARKED_FROM and gone is not None and int(gone.sum()) <= self.rows * MARKED


class IcebergRows:
    """The rows of a table, with the changes of this transaction."""

    def __init__(self, work: Transaction, tasks: Iterable[FileScanTask], cache: ColumnCache | None = None) -> None:
        self.work = work
        self._cache = cache
        self._parts = [self._part(task) for task in tasks]

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

    def rows(self, names: Sequence[str], wanted: Callable[[DataFile], bool] = lambda _: True, *, again: bool = False) -> pa.Table:
        """These columns of the present rows, with PART and POSITION; files that are not wanted are not read.

        `again` if the next load will read the same.
        """
        pieces = [self._empty(names)]
        for number, part in enumerate(self._parts):
            if part.file is None or wanted(part.file):
                rows = part.remaining(names, again=again)
                places = np.arange(part.rows) if part.gone is None else np.flatnonzero(~part.gone)
                rows = rows.append_column(PART, pa.array(np.full(rows.num_rows, number, np.int32)))
                pieces.append(rows.append_column(POSITION, pa.array(places)))
        return pa.concat_tables(pieces)

    def count(self, null: str | None = None) -> int:
        """How many rows, or only those without a value in a column; read from the files' statistics where they say it."""
        total = 0
        for part in self._parts:
            if null is None:
                total += part.rows - (int(part.gone.sum()) if part.gone is not None else 0)
                continue
            number = self.metadata.schema().find_field(null).field_id
            counted = (part.file.null_value_counts or {}).get(number) if part.file is not None and part.gone is None else None
            total += counted if counted is not None else part.remaining([null]).column(0).null_count
        return total

    def remove(self, where: pa.Table) -> int:
        """Remove the rows at these places; returns how many."""
        for number, positions in _by_part(where):
            self._parts[number].remove(positions)
        return int(where.num_rows)

    def take(self, where: pa.Table) -> pa.Table:
        """All columns of the rows at these places."""
        names = self.names
        return pa.concat_tables(
            [self._empty(names, places=False), *(self._parts[n].read(names).take(pa.array(at)) for n, at in _by_part(where))]
        )

    def add(self, rows: pa.Table) -> None:
        """Add rows; columns of the table that they lack are NULL."""
        schema = arrow_schema(self.metadata, self.names)
        columns = [rows[field.name] if field.name in rows.column_names else pa.nulls(rows.num_rows, field.type) for field in schema]
        whole = pa.table(columns, schema=schema)
        self._parts.append(Part(whole.num_rows, whole.select))

    def write(self, properties: dict[str, str]) -> bool:
        """Write the files that the changes need, as one snapshot of the table's transaction; False if there was nothing to write."""
        touched = [part for part in self._parts if part.file is not None and part.changed]
        marked = [part for part in touched if part.is_marked()]
        anew = [part for part in touched if part not in marked]
        added = [part for part in self._parts if part.file is None]
        names = self.names
        # One piece alone is not copied to be written.
        some = [piece for part in [*anew, *added] if (piece := part.remaining(names)).num_rows]
        rows = pa.concat_tables(some or [self._empty(names, places=False)])
        if not touched and not rows.num_rows:
            return False
        if gathered := self._small(FEW, {key for key, _ in by_partition(rows, self.metadata)}):
            anew += gathered
            marked = [part for part in marked if part not in gathered]
            rows = pa.concat_tables([rows, *(part.remaining(names) for part in gathered)])
        self._replace(anew, marked, rows, properties)
        return True

    def gather(self, properties: dict[str, str]) -> int:
        """Write the small files of each partition as one, and those with rows that are gone anew; returns how many files that were."""
        small = self._small(2)
        small += [part for part in self._parts if part.gone is not None and part not in small]
        if small:
            rows = pa.concat_tables([part.remaining(self.names) for part in small])
            self._replace(small, [], rows, properties)
        return len(small)

    def _replace(self, anew: Sequence[Part], marked: Sequence[Part], rows: pa.Table, properties: dict[str, str]) -> None:
        """One snapshot: these rows in the place of these files, and the rows that are gone from others marked."""
        change = Change(write_rows(self.io, self.metadata, rows))
        for part in anew:
            if part.file is not None:
                change.removed.append(part.file)
                change.removed_deletes += only_about(part.deletes, part.file)
        for part in marked:
            if part.file is not None and part.gone is not None:
                change.added_deletes.append(write_deletes(self.io, part.file, part.gone))
                change.removed_deletes += only_about(part.deletes, part.file)
        snapshot(self.work, change, properties)

    def _small(self, many: int, partitions: set[tuple[object, ...]] | None = None) -> list[Part]:
        """Small files of these partitions, or of all, where a partition has many; not those that are written anew in any case."""
        by_partition_key: dict[tuple[object, ...], list[Part]] = {}
        for part in self._parts:
            file = part.file
            if file is None or part.rows >= SMALL_ROWS or file.spec_id != self.metadata.default_spec_id:
                continue
            if part.changed and not part.is_marked():
                continue
            key = tuple(file.partition[place] for place in range(len(file.partition)))
            if partitions is None or key in partitions:
                by_partition_key.setdefault(key, []).append(part)
        return [part for parts in by_partition_key.values() if len(parts) >= many for part in parts]

    def _part(self, task: FileScanTask) -> Part:
        deletes = frozenset(task.delete_files)
        return Part(
            task.file.record_count,
            lambda names: read_columns(self.io, self.metadata, task.file, names),
            lambda names: self._again(task.file, names),
            task.file,
            deletes,
            lambda: deleted_rows(self.io, task.file, deletes),
        )

    def _again(self, file: DataFile, names: Sequence[str]) -> pa.Table:
        metadata = self.metadata
        if self._cache is None:
            return read_columns(self.io, metadata, file, names)
        fields = {name: metadata.schema().find_field(name) for name in names}
        columns = {name: (metadata.table_uuid, file.file_path, field.field_id, str(field.field_type)) for name, field in fields.items()}
        return self._cache.columns(columns, lambda missing: read_columns(self.io, metadata, file, missing))

    def _empty(self, names: Sequence[str], *, places: bool = True) -> pa.Table:
        schema = arrow_schema(self.metadata, names)
        if places:
            schema = schema.append(pa.field(PART, pa.int32())).append(pa.field(POSITION, pa.int64()))
        return schema.empty_table()


def _by_part(where: pa.Table) -> Iterator[tuple[int, np.ndarray]]:
    parts, positions = where[PART].to_numpy(), where[POSITION].to_numpy()
    for number in np.unique(parts):
        yield int(number), positions[parts == number]
