"""One view for each table that shows only what still exists, without the connector's own bookkeeping."""

from __future__ import annotations

from pleo_connector.catalogue import SYSTEM_FIELDS, Catalogue, Table, View, ViewColumn

_SHOWN = "_synced_at"
_HIDDEN = {field.name for field in SYSTEM_FIELDS} - {_SHOWN}


def live_views(catalogue: Catalogue) -> tuple[View, ...]:
    """`live_<table>` of every table of the catalogue."""
    return tuple(_live(table) for table in catalogue.tables())


def _live(table: Table) -> View:
    shown = [field for field in table.fields if field.name not in _HIDDEN]
    names = ", ".join(f'"{field.name}"' for field in shown)
    columns = tuple(ViewColumn(field.name, field.storage, field.description, ((table.name, field.name),)) for field in shown)
    return View(
        f"live_{table.name}",
        f"{table.description} Without deleted rows.",
        f'SELECT {names}\nFROM "{table.name}"\nWHERE "_deleted_at" IS NULL',
        columns,
        (table.name,),
    )
