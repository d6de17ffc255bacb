"""Keeping an Iceberg folder small: old snapshots forgotten, small files gathered, files that nobody needs deleted."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pyiceberg.catalog import Catalog

from pleo_connector.warehouses.iceberg import IcebergWarehouse
from pleo_connector.warehouses.iceberg_refusals import refusing
from pleo_connector.warehouses.iceberg_rows import IcebergRows
from pleo_connector.warehouses.iceberg_snapshots import files_of, forgotten
from pleo_connector.warehouses.iceberg_tables import Work

GRACE = timedelta(days=1)
"""Age of a file that no table needs from which it is deleted: another program may be about to commit a younger one."""


@dataclass(frozen=True, slots=True)
class Upkeep:
    """What was done, and the folder's size."""

    bytes_before: int
    bytes_after: int
    snapshots: int
    gathered: int
    deleted: int


def keep_up(warehouse: IcebergWarehouse, days: int) -> Upkeep:
    """Forget the snapshots of all tables that are older than so many days, gather small files, delete what is left over."""
    oldest = (datetime.now(UTC) - timedelta(days=days)).timestamp() * 1000
    snapshots = gathered = 0
    with warehouse.writing() as catalog, refusing(warehouse.location):
        before = _size(warehouse.folder)
        unneeded: set[Path] = set()
        for name in _tables(catalog, warehouse.schema):
            stored = catalog.load_table(name)
            work = Work(stored)
            gathered += IcebergRows(work, stored.scan().plan_files()).gather({"pleo.load": "maintain"})
            outdated = [one for one in work.table_metadata.snapshots if one.timestamp_ms < oldest]
            unneeded |= {_path(file) for file in forgotten(work, outdated)}
            left = {one.snapshot_id for one in work.table_metadata.snapshots}
            snapshots += len({one.snapshot_id for one in stored.metadata.snapshots} - left)
            work.commit_transaction()
        catalog.publish()
        unneeded |= set(_left_over(catalog, warehouse))
        for file in unneeded:
            with suppress(OSError):
                file.unlink()
    return Upkeep(before, _size(warehouse.folder), snapshots, gathered, len(unneeded))


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
