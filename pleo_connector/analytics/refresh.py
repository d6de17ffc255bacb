"""Bring a warehouse's views in step with this version's declarations."""

from __future__ import annotations

from pleo_connector.analytics.live import live_views
from pleo_connector.analytics.marts import marts
from pleo_connector.catalogue import CATALOGUE, Catalogue, View
from pleo_connector.warehouses import Publishes, Warehouse


def views(catalogue: Catalogue = CATALOGUE) -> tuple[View, ...]:
    """Live views and those marts whose tables the catalogue has, in the order in which they can be made."""
    made = list(live_views(catalogue))
    known = {table.name for table in catalogue.tables()}
    for mart in marts():
        if known.issuperset(mart.reads):
            made.append(mart)
            known.add(mart.name)
    return tuple(made)


def refresh(warehouse: Warehouse, catalogue: Catalogue = CATALOGUE) -> tuple[str, ...]:
    """Make the views that are missing or differ; returns their names, none in a warehouse without views.

    Tables that the views need and that no sync has made yet are made, empty. WarehouseError when the database refuses,
    for instance because somebody else's view has one of the names, or stands on a view that must change.
    """
    with warehouse.transaction() as transaction:
        transaction.ensure(catalogue.tables())
        made = transaction.define(views(catalogue))
    if made and isinstance(warehouse, Publishes):
        warehouse.publish()
    return made
