"""Making Iceberg tables, and what is added to them later; each column keeps its field id for ever."""

from __future__ import annotations

import hashlib
import re

from pyiceberg.catalog import Catalog
from pyiceberg.table import Table as Stored
from pyiceberg.table import Transaction
from pyiceberg.table.metadata import TableMetadata
from pyiceberg.table.update import AssertTableUUID

from pleo_connector.catalogue import Table
from pleo_connector.warehouses.iceberg_schema import ICEBERG, PROPERTIES, TYPES, partitions_of, schema_of
from pleo_connector.warehouses.schema_changes import other_type

_PLAIN = re.compile(r"[A-Za-z0-9_-]+")


class Work(Transaction):
    """Changes to one table. PyIceberg works out the table's metadata again, with a deep copy, at each access."""

    _cached: tuple[int, TableMetadata] | None = None

    @property
    def table_metadata(self) -> TableMetadata:
        """The table as it is with the changes so far."""
        if self._cached is None or self._cached[0] != len(self._updates):
            self._cached = len(self._updates), super().table_metadata
        return self._cached[1]

    def commit_transaction(self) -> Stored:
        """Commit, once. PyIceberg's own method would add our changes to those of another writer, who may have written the same keys."""
        if self._updates:
            uuid = AssertTableUUID(uuid=self.table_metadata.table_uuid)
            self._table._do_commit(updates=self._updates, requirements=(*self._requirements, uuid))  # noqa: SLF001 - it has no other name
        self._updates, self._requirements = (), ()
        return self._table


def created(catalog: Catalog, schema: str, table: Table, folder: str | None) -> Transaction:
    """The transaction that makes the table: below `folder`, or where the catalogue wants it."""
    columns = schema_of(table)
    return catalog.create_table_transaction(
        (schema, table.name),
        columns,
        location=f"{folder}/{_folder_name(schema)}/{_folder_name(table.name)}" if folder is not None else None,
        partition_spec=partitions_of(table, columns),
        properties=PROPERTIES | {"comment": table.description},
    )


def widened(work: Transaction, table: Table, location: str) -> None:
    """Add missing columns, and refresh descriptions; WarehouseError where a stored column has another type."""
    stored = {field.name: field for field in work.table_metadata.schema().fields}
    missing = []
    renewed = []
    for field in table.fields:
        stored_field = stored.get(field.name)
        if stored_field is None:
            missing.append(field)
        elif stored_field.field_type != TYPES[field.storage]:
            raise other_type(location, table, field, stored_field.field_type, ICEBERG.catalogue_types[field.storage])
        elif (stored_field.doc or "") != field.description:
            renewed.append(field)
    if missing or renewed:
        with work.update_schema() as update:
            for field in missing:
                update.add_column((field.name,), TYPES[field.storage], field.description or None)
            for field in renewed:
                update.update_column((field.name,), doc=field.description)
    if work.table_metadata.properties.get("comment", "") != table.description:
        work.set_properties({"comment": table.description})


def _folder_name(name: str) -> str:
    """A name that every file system and every URL takes: others are spelled with a fingerprint."""
    if _PLAIN.fullmatch(name):
        return name
    return f"{re.sub('[^A-Za-z0-9_-]+', '-', name).strip('-')}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
