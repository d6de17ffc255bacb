"""History tables: every version of a row that a sync read, derived from the table that holds the present one.

Two times tell the versions apart. `valid_from` says since when a version held at Pleo, `observed_at` when the connector
first saw it; both grow from one version of a row to the next, and the first is never after the second. History is only
added to: a version ends where the next one begins, which the view `<table>_as_known` works out.
"""

from __future__ import annotations

from pleo_connector.catalogue.table import Table
from pleo_connector.catalogue.types import Field, Storage

VERSION_FIELDS = (
    Field(
        "valid_from",
        Storage.TIMESTAMP,
        "Since when this version held: Pleo's own time of the change or deletion; observed_at where Pleo says none, or none that is later "
        "than the version before.",
    ),
    Field("observed_at", Storage.TIMESTAMP, "When the connector first saw this version."),
)
"""Columns that every history table begins with."""


def history_of(table: Table) -> Table:
    """The table of all versions of the rows of `table`; versions of children belong to that of their parent."""
    return Table(
        f"{table.name}_history",
        f"Every version of the rows of {table.name}, deletions included; only added to. {table.description}",
        (*VERSION_FIELDS, *table.fields),
        (*table.key, "observed_at"),
        table.stream,
        parent=f"{table.parent}_history" if table.parent else None,
        parent_key=table.parent_key,
    )


def known_view(table: Table) -> str:
    """Name of the view that adds to each version of `table` where it ended."""
    return f"{table.name}_as_known"
