"""The asset of every table, and the names of the resources that its step needs."""

from collections.abc import Sequence

import dagster as dg

from pleo_connector.catalogue import CATALOGUE, Catalogue
from pleo_connector.errors import ConfigurationError
from pleo_connector.orchestration.lineage import raw_key
from pleo_connector.orchestration.translator import PleoTableData, PleoTranslator
from pleo_connector.stream_options import near_miss
from pleo_connector.warehouses import Warehouse


def pleo_key(name: str) -> str:
    """Resource key of the connection's `PleoResource`: the connection's name."""
    return name


def warehouse_key(name: str) -> str:
    """Resource key of the connection's `WarehouseResource`."""
    return f"{name}_warehouse"


def table_specs(
    name: str, warehouse: Warehouse, translator: PleoTranslator, catalogue: Catalogue = CATALOGUE, streams: Sequence[str] = ()
) -> dict[str, dg.AssetSpec]:
    """The asset of each table of these streams (all without any), by table name, parents before children. No network.

    A child depends on its parent, a main table on what Pleo serves.
    """
    wanted = {catalogue.stream(stream).name for stream in streams or [stream.name for stream in catalogue]}
    specs: dict[str, dg.AssetSpec] = {}
    for table in (table for table in catalogue.tables() if table.stream in wanted):
        data = PleoTableData(catalogue.stream(table.stream), table, name, warehouse.kind, warehouse.relation(table), warehouse.location)
        spec = translator.get_asset_spec(data)
        parent = [specs[table.parent].key] if table.parent is not None else [raw_key(name, data.stream)]
        specs[table.name] = spec.replace_attributes(deps=[*spec.deps, *parent], skippable=True)
    return specs


def get_asset_key_for_table(
    table: str, *, name: str = "pleo", translator: PleoTranslator | None = None, catalogue: Catalogue = CATALOGUE
) -> dg.AssetKey:
    """The key of a table's asset, for assets that depend on it; ConfigurationError for a table that no stream fills."""
    known = {table.name: table for table in catalogue.tables()}
    if table not in known:
        raise ConfigurationError(f"There is no table {table!r}; {near_miss(table, known)}")
    data = PleoTableData(catalogue.stream(known[table].stream), known[table], name, "", table)
    return (translator or PleoTranslator()).get_asset_spec(data).key
