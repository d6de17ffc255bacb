"""Which columns of views hold personal data: those made of a table's personal columns."""

from __future__ import annotations

from collections.abc import Iterable

from pleo_connector.catalogue import Catalogue, View


def personal_columns(views: Iterable[View], catalogue: Catalogue) -> dict[str, frozenset[str]]:
    """The personal columns of each view, by view; a view comes after those it reads."""
    personal = {table.name: frozenset(field.name for field in table.fields if field.personal) for table in catalogue.tables()}
    by_view = {}
    for view in views:
        named = frozenset(
            column.name for column in view.columns if any(source in personal.get(table, ()) for table, source in column.sources)
        )
        personal[view.name] = by_view[view.name] = named
    return by_view
