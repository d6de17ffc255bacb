"""Bring a warehouse's views in step with this version's declarations."""

from __future__ import annotations

import logging
from collections.abc import Callable

from pleo_connector.analytics.live import live_views
from pleo_connector.analytics.marts import marts
from pleo_connector.catalogue import CATALOGUE, Catalogue, View
from pleo_connector.errors import WarehouseError
from pleo_connector.warehouses import Publishes, Warehouse

_log = logging.getLogger(__name__)


def views(catalogue: Catalogue = CATALOGUE) -> tuple[View, ...]:
    """Live views and those marts whose tables the catalogue has, in the order in which they can be made."""
    made = list(live_views(catalogue))
    known = {table.name for table in catalogue.tables()}
    for mart in marts():
        if known.issuperset(mart.reads):
            made.append(mart)
            known.add(mart.name)
    return tuple(made)


def refresh(
    warehouse: Warehouse,
    catalogue: Catalogue = CATALOGUE,
    *,
    warn: Callable[[str], object] = _log.warning,
    left: Callable[[str], object] | None = None,
) -> tuple[str, ...]:
    """Make the views that are missing or differ; returns their names, none in a warehouse without views.

    Tables that the views need and that no sync has made yet are made, empty. WarehouseError when the database refuses,
    for instance because somebody else's view has one of the names. A view that cannot be renewed, for somebody's own view stands on it,
    is told to `left` (or `warn`), and the others are made. A snapshot that cannot be published is told to `warn`: the views are made,
    and the next run publishes them.
    """
    with warehouse.transaction() as transaction:
        transaction.ensure(catalogue.tables())
        made = transaction.define(views(catalogue), left or warn)
    if made and isinstance(warehouse, Publishes):
        try:
            warehouse.publish()
        except WarehouseError as error:
            warn(str(error))
    return made
