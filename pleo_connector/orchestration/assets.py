"""The asset of every table, and the names of the resources that its step needs."""

from collections.abc import Sequence

import dagster as dg

from pleo_connector.analytics import marts
from pleo_connector.catalogue import CATALOGUE, Catalogue
from pleo_connector.errors import ConfigurationError
from pleo_connector.orchestration.lineage import raw_key
from pleo_connector.orchestration.translator import PleoMartData, PleoTableData, PleoTranslator
from pleo_connector.stream_options import near_miss
from pleo_connector.warehouses import Warehouse

CONNECTION, TABLE = "pleo/connection", "pleo/table"
"""Metadata of the asset of a table or mart."""


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
        specs[table.name] = named(spec.replace_attributes(deps=[*spec.deps, *parent], skippable=True), name, table.name)
    return specs


def named(spec: dg.AssetSpec, connection: str, table: str) -> dg.AssetSpec:
    """The spec with what `get_asset_key_for_table` finds it by, whatever a translator calls it."""
    return spec.merge_attributes(metadata={CONNECTION: connection, TABLE: table})


def get_asset_key_for_table(
    table: str,
    definitions: dg.Definitions | None = None,
    *,
    name: str | None = None,
    translator: PleoTranslator | None = None,
    catalogue: Catalogue = CATALOGUE,
) -> dg.AssetKey:
    """The key of a table's or mart's asset, for assets that depend on it; ConfigurationError for one that is not there.

    `definitions` are what `build_pleo_definitions` returned, merged or not: the key is theirs, and `name` says which connection
    where they have several. Without them, as in another code location, the key is what `name` (`pleo` when left out) and the
    `translator` make it, and nothing can tell whether there is such a connection.
    """
    if definitions is not None:
        return _key_among(definitions, table, name)
    connection, translator = name or "pleo", translator or PleoTranslator()
    tables = {each.name: each for each in catalogue.tables()}
    views = {view.name: view for view in marts()}
    if table in tables:
        data = PleoTableData(catalogue.stream(tables[table].stream), tables[table], connection, "", table)
        return translator.get_asset_spec(data).key
    if table in views:
        return translator.get_mart_spec(PleoMartData(views[table], connection, "", table, frozenset())).key
    raise ConfigurationError(f"There is no table {table!r}; {near_miss(table, [*tables, *views])}")


def _key_among(definitions: dg.Definitions, table: str, name: str | None) -> dg.AssetKey:
    """The key of a connection's table among assets that are defined."""
    keys: dict[str, dict[str, dg.AssetKey]] = {}
    for one in definitions.assets or ():
        for spec in one.specs if isinstance(one, dg.AssetsDefinition) else [one] if isinstance(one, dg.AssetSpec) else []:
            if CONNECTION in spec.metadata:
                keys.setdefault(str(spec.metadata[CONNECTION]), {})[str(spec.metadata[TABLE])] = spec.key
    if not keys:
        raise ConfigurationError("These definitions have no table of Pleo; give those that build_pleo_definitions returned.")
    if name is None and len(keys) > 1:
        raise ConfigurationError(f"These definitions have several connections ({', '.join(keys)}); say which by name=...")
    connection = name or next(iter(keys))
    if connection not in keys:
        raise ConfigurationError(f"These definitions have no connection {connection!r}; {near_miss(connection, keys)}")
    if table not in keys[connection]:
        raise ConfigurationError(f"The connection {connection} has no table {table!r}; {near_miss(table, keys[connection])}")
    return keys[connection][table]
