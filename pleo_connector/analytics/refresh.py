"""Updates a warehouse's views to the declarations of this version."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from pleo_connector.analytics.categories import CATEGORIES, Category, store
from pleo_connector.analytics.live import live_views
from pleo_connector.analytics.marts import marts
from pleo_connector.catalogue import CATALOGUE, Catalogue, View
from pleo_connector.catalogue.entry_values import FAMILIES
from pleo_connector.errors import WarehouseError
from pleo_connector.warehouses import Publishes, Transaction, Warehouse

_log = logging.getLogger(__name__)


def views(catalogue: Catalogue = CATALOGUE) -> tuple[View, ...]:
    """Live views and those marts whose tables the catalogue has, in the order in which they can be made."""
    made = list(live_views(catalogue))
    known = {CATEGORIES.name, *(table.name for table in catalogue.tables())}
    for mart in marts():
        if known.issuperset(mart.reads):
            made.append(mart)
            known.add(mart.name)
    return tuple(made)


def refresh(
    warehouse: Warehouse,
    catalogue: Catalogue = CATALOGUE,
    *,
    categories: Sequence[Category] | None = None,
    warn: Callable[[str], object] = _log.warning,
    left: Callable[[str], object] | None = None,
) -> tuple[str, ...]:
    """Make the views that are missing or differ; returns their names, none in a warehouse without views.

    Tables that the views need and that no sync has made yet are made, empty. `categories` (see `categories_of`) become the table
    `_categories`; None leaves it as it is. WarehouseError when the database refuses, for instance because a user's view has one of the
    names. `left` (or `warn`) gets a message for each view that cannot be replaced because a user's own view reads it; the others are made.
    `warn` also gets families that this version does not know, and a snapshot that cannot be published (the views are made, and the next
    run publishes them).
    """
    wanted = views(catalogue)
    with warehouse.transaction() as transaction:
        transaction.ensure([*catalogue.tables(), CATEGORIES])
        renamed = categories is not None and store(transaction, categories)
        made = transaction.define(wanted, left or warn)
        unknown = _unknown_families(transaction) if any(view.name == "spend" for view in wanted) and warehouse.has_views else None
    if unknown:
        warn(f"Accounting entries have families that this version does not know, and count as spend: {unknown}. See docs/spend.md.")
    if (made or renamed) and isinstance(warehouse, Publishes):
        try:
            warehouse.publish()
        except WarehouseError as error:
            warn(str(error))
    return made


def _unknown_families(transaction: Transaction) -> str | None:
    """Families of stored entries that are not declared, or None."""
    known = ", ".join(f"'{name}'" for name in FAMILIES)
    unknown = transaction.scalar(
        "SELECT string_agg(DISTINCT coalesce(nullif(substr(family, 1, 60), ''), 'none'), ', ') FROM {schema}.\"accounting_entries\" "
        f"WHERE _deleted_at IS NULL AND coalesce(family, '') NOT IN ({known})"
    )
    return str(unknown) if unknown is not None else None
