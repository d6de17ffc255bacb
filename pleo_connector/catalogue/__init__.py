"""Floor 1: what Pleo has, as pure data. Start reading at `stream.py`, then `entries.py`."""

from pleo_connector.catalogue.history import history_of, known_view
from pleo_connector.catalogue.registry import CATALOGUE, Catalogue
from pleo_connector.catalogue.relations import RELATIONS, AddsUp, Counts, KnownValues, NetAndTax, Reference, Relation, Relations
from pleo_connector.catalogue.stream import Child, Column, CompanyIn, Paging, Parent, Stream, SyncMode, Window
from pleo_connector.catalogue.table import SYSTEM_FIELDS, Table
from pleo_connector.catalogue.types import Field, LogicalType, Storage
from pleo_connector.catalogue.view import View, ViewColumn

__all__ = [
    "CATALOGUE",
    "RELATIONS",
    "SYSTEM_FIELDS",
    "AddsUp",
    "Catalogue",
    "Child",
    "Column",
    "CompanyIn",
    "Counts",
    "Field",
    "KnownValues",
    "LogicalType",
    "NetAndTax",
    "Paging",
    "Parent",
    "Reference",
    "Relation",
    "Relations",
    "Storage",
    "Stream",
    "SyncMode",
    "Table",
    "View",
    "ViewColumn",
    "Window",
    "history_of",
    "known_view",
]
