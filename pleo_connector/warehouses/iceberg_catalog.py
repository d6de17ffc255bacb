"""An Iceberg catalogue in a database, which shows the new state of many tables at once.

Iceberg commits one table at a time. But a catalogue in SQL is a table of pointers, one to the present metadata file of each
Iceberg table. So a load writes all its files first, and then moves all its pointers in one transaction of the
database: readers see a load whole or not at all, and a killed writer leaves only unused files.
"""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet
from typing import Any

from pyiceberg.catalog import Catalog
from pyiceberg.catalog.sql import IcebergTables, SqlCatalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.io import FileIO
from pyiceberg.table import CommitTableResponse, StagedTable, Table
from pyiceberg.table.metadata import TableMetadata
from sqlalchemy import insert, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

_Pointer = tuple[str | None, str]
"""Metadata file before, None for a table that is new, and after."""


class TogetherCatalog(SqlCatalog):
    """A catalogue whose commits wait for `publish`."""

    def __init__(self, name: str, **properties: str) -> None:
        super().__init__(name, **properties)
        self._waiting: dict[tuple[str, ...], _Pointer] = {}
        self._outdated: list[tuple[FileIO, TableMetadata, TableMetadata]] = []

    def commit_table(self, table: Table, requirements: tuple[Any, ...], updates: tuple[Any, ...]) -> CommitTableResponse:
        """Write the table's new metadata file; readers see it after `publish`."""
        before = None if isinstance(table, StagedTable) else table
        after = self._update_and_stage_table(before, table.name(), requirements, updates)
        if before is None or after.metadata != before.metadata:
            self._write_metadata(after.metadata, after.io, after.metadata_location)
            first = self._waiting.get(table.name(), (before.metadata_location if before is not None else None, ""))[0]
            self._waiting[table.name()] = (first, after.metadata_location)
        return CommitTableResponse(metadata=after.metadata, metadata_location=after.metadata_location)

    def publish(self) -> None:
        """Move the pointers of all tables that were committed; CommitFailedException if another writer moved one."""
        try:
            self._move_pointers()
        except IntegrityError as error:
            raise CommitFailedException("A table has been made by another process") from error
        self._waiting.clear()
        for io, base, metadata in self._outdated:
            super()._delete_old_metadata(io, base, metadata)
        self._outdated.clear()

    def _move_pointers(self) -> None:
        with Session(self.engine) as session:
            for name, (before, after) in self._waiting.items():
                namespace = Catalog.namespace_to_string(Catalog.namespace_from(name))
                row = {"catalog_name": self.name, "table_namespace": namespace, "table_name": Catalog.table_name_from(name)}
                if before is None:
                    session.execute(insert(IcebergTables).values(**row, metadata_location=after, **self._kind()))
                    continue
                moved = session.execute(
                    update(IcebergTables)
                    .filter_by(**row, metadata_location=before)
                    .values(metadata_location=after, previous_metadata_location=before)
                )
                if moved.rowcount != 1:  # type: ignore[attr-defined] # a cursor result has it
                    raise CommitFailedException(f"Table {row['table_name']} has been updated by another process")
            session.commit()

    def forget(self) -> None:
        """Discard the commits that wait for `publish`."""
        self._waiting.clear()
        self._outdated.clear()

    def _kind(self) -> dict[str, str]:
        """The condition for a table, not a view, in databases that newer versions of PyIceberg have made."""
        return {"iceberg_type": "TABLE"} if getattr(self, "_schema_version", "v0") == "v1" else {}

    def _delete_old_metadata(self, io: FileIO, base: TableMetadata, metadata: TableMetadata) -> None:  # type: ignore[override]
        """Old metadata files go once the new ones are published."""
        self._outdated.append((io, base, metadata))


def one_by_one(tables: Iterable[str], children: AbstractSet[str]) -> list[str]:
    """Tables in such an order that what a load leaves that is cut off between two of them is mended by the next load of the same rows.

    Children first: as long as their parent is the old one, it counts as changed, and they are replaced again. Then the parent, and
    its history, which catches up. The checkpoints last: as long as they are the old ones, the rows are loaded again.
    """

    def turn(name: str) -> int:
        if name.startswith("_"):
            return 3
        if name.endswith("_history"):
            return 2
        return 0 if name in children else 1

    return sorted(tables, key=turn)
