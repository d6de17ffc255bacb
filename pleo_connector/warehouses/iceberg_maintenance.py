"""Keeping an Iceberg folder small: old snapshots forgotten, small files gathered, unused files deleted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pyiceberg.catalog import Catalog
from pyiceberg.io import FileIO

from pleo_connector.warehouses.iceberg import IcebergWarehouse
from pleo_connector.warehouses.iceberg_catalog import TogetherCatalog
from pleo_connector.warehouses.iceberg_errors import refusing
from pleo_connector.warehouses.iceberg_named_catalog import NamedIcebergWarehouse
from pleo_connector.warehouses.iceberg_rows import IcebergRows
from pleo_connector.warehouses.iceberg_snapshots import files_of, forgotten
from pleo_connector.warehouses.iceberg_tables import Work

GRACE = timedelta(days=1)
"""Age of a file that no table needs from which it is deleted: another program may be about to commit a younger one."""


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What was done, and the size of a folder; None for other catalogues."""

    snapshots: int
    gathered: int
    deleted: int
    bytes_before: int | None = None
    bytes_after: int | None = None


def keep_up(warehouse: IcebergWarehouse | NamedIcebergWarehouse, days: int) -> Upkeep:
    """Forget the snapshots of all tables that are older than so many days, gather small files, delete what is left over.

    Files of killed writers are found only where the warehouse is a folder.
    """
    oldest = (datetime.now(UTC) - timedelta(days=days)).timestamp() * 1000
    if isinstance(warehouse, NamedIcebergWarehouse):
        with warehouse.opened() as catalog, refusing(warehouse.location):
            snapshots, gathered, unneeded = _tidied(catalog, warehouse.schema, oldest)
            if isinstance(catalog, TogetherCatalog):
                catalog.publish()
            for io, file in unneeded:
                with suppress(OSError):
                    io.delete(file)
            return Upkeep(snapshots, gathered, len(unneeded))
    with warehouse.writing() as catalog, refusing(warehouse.location):
        before = _size(warehouse.folder)
        snapshots, gathered, unneeded = _tidied(catalog, warehouse.schema, oldest)
        catalog.publish()
        paths = {_path(file) for _, file in unneeded} | set(_left_over(catalog, warehouse))
        for path in paths:
            with suppress(OSError):
                path.unlink()
    return Upkeep(snapshots, gathered, len(paths), before, _size(warehouse.folder))


def _tidied(catalog: Catalog, schema: str, oldest: float) -> tuple[int, int, list[tuple[FileIO, str]]]:
    """(snapshots forgotten, small files gathered, files to delete once this is published)."""
    snapshots = gathered = 0
    unneeded: list[tuple[FileIO, str]] = []
    for name in _tables(catalog, schema):
        stored = catalog.load_table(name)
        work = Work(stored)
        gathered += IcebergRows(work, stored.scan().plan_files()).gather({"pleo.load": "maintain"})
        outdated = [one for one in work.table_metadata.snapshots if one.timestamp_ms < oldest]
        unneeded += [(stored.io, file) for file in forgotten(work, outdated)]
        left = {one.snapshot_id for one in work.table_metadata.snapshots}
        snapshots += len({one.snapshot_id for one in stored.metadata.snapshots} - left)
        work.commit_transaction()
    return snapshots, gathered, unneeded


def _tables(catalog: Catalog, schema: str) -> list[tuple[str, ...]]:
    return catalog.list_tables((schema,)) if (schema,) in catalog.list_namespaces() else []


def _left_over(catalog: Catalog, warehouse: IcebergWarehouse) -> Iterator[Path]:
    """Files of a killed writer: in a table's folder, old enough, and part of none of its snapshots."""
    latest = time.time() - GRACE.total_seconds()
    for name in _tables(catalog, warehouse.schema):
        table = catalog.load_table(name)
        needed = {_path(file) for file in files_of(table.io, table.metadata.snapshots)}
        needed |= {_path(table.metadata_location), *(_path(entry.metadata_file) for entry in table.metadata.metadata_log)}
        for file in _path(table.metadata.location).rglob("*"):
            if file.is_file() and file not in needed and file.stat().st_mtime < latest:
                yield file


def _path(location: str) -> Path:
    return Path(location.removeprefix("file://"))


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
