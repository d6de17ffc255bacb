"""The views of a schema, as statements; shared by the SQL warehouses.

A view's comment ends with the fingerprint of its definition. So a run needs one query to find the views to make, which are nearly
always none, and never changes a view that a user made.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence

from pleo_connector.catalogue import View
from pleo_connector.errors import WarehouseError
from pleo_connector.warehouses.tables import Tables

log = logging.getLogger(__name__)

_FINGERPRINT = re.compile(r"\(definition ([0-9a-f]{8})\)$")


def outdated(views: Sequence[View], stored: Mapping[str, object], location: str) -> list[View]:
    """The views that are missing or differ, and those that read them. `stored` gives the comment of each view of the schema."""
    changed: list[View] = []
    for view in views:
        if view.name in stored:
            fingerprint = _FINGERPRINT.search(str(stored[view.name]))
            if fingerprint is None:
                raise WarehouseError(
                    f"{location} has a view {view.name} that the connector did not make: rename it, or set PLEO_MARTS=off to do without the connector's views."
                )
            if fingerprint[1] == view.fingerprint and not {other.name for other in changed} & set(view.reads):
                continue
        changed.append(view)
    return changed


def redefinition(names: Tables, views: Sequence[View], stored: Mapping[str, object]) -> Iterator[str]:
    """Statements that drop these views, the last first, and make them as they are declared."""
    for view in reversed(views):
        if view.name in stored:
            yield f"DROP VIEW {names.relation(view.name)}"
    # Bare names in a view's SQL are those of its own schema, also when the file is copied under another name.
    yield names.dialect.enter.format(schema=names.schema_name)
    for view in views:
        yield from creation(names, view)


def creation(names: Tables, view: View, *, replace: bool = False) -> Iterator[str]:
    """Statements that create or replace a view, with its comments; for a session that is in the schema."""
    quote, literal = names.dialect.quote, names.dialect.literal
    columns = ", ".join(quote(column.name) for column in view.columns)
    yield f"CREATE {'OR REPLACE ' if replace else ''}VIEW {quote(view.name)} ({columns}) AS\n{view.sql}"
    yield f"COMMENT ON VIEW {quote(view.name)} IS {literal(f'{view.description} (definition {view.fingerprint})')}"
    for column in view.columns:
        yield f"COMMENT ON COLUMN {quote(view.name)}.{quote(column.name)} IS {literal(column.description)}"
