"""One subsettable multi-asset per connection: every table an asset, one step for all that are selected.

One step means one process, one pool of connections, one request budget and one writer; streams are fetched
concurrently inside it, and a failing stream does not stop the others.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from pleo_connector.catalogue import CATALOGUE, Catalogue
from pleo_connector.orchestration.checks import Checks
from pleo_connector.orchestration.launchpad import PleoSyncConfig
from pleo_connector.orchestration.translator import PleoTableData, PleoTranslator
from pleo_connector.stream_options import StreamOptions
from pleo_connector.warehouses import Warehouse


def pleo_key(name: str) -> str:
    """Resource key of the connection's `PleoResource`: the connection's name."""
    return name


def warehouse_key(name: str) -> str:
    """Resource key of the connection's `WarehouseResource`."""
    return f"{name}_warehouse"


def table_specs(name: str, warehouse: Warehouse, translator: PleoTranslator, catalogue: Catalogue = CATALOGUE) -> dict[str, dg.AssetSpec]:
    """The asset of each table, by table name, parents before children; a child depends on its parent. No network."""
    specs: dict[str, dg.AssetSpec] = {}
    for table in catalogue.tables():
        data = PleoTableData(catalogue.stream(table.stream), table, name, warehouse.kind, warehouse.relation(table))
        spec = translator.get_asset_spec(data)
        parent = [specs[table.parent].key] if table.parent is not None else []
        specs[table.name] = spec.replace_attributes(deps=[*spec.deps, *parent], skippable=True)
    return specs


def build_pleo_assets(
    *,
    name: str,
    warehouse: Warehouse,
    translator: PleoTranslator,
    catalogue: Catalogue = CATALOGUE,
    blocking_checks: bool = False,
    retry_policy: dg.RetryPolicy | None = None,
    options: Mapping[str, StreamOptions] | None = None,
) -> dg.AssetsDefinition:
    """The multi-asset of a connection; needs the resources `pleo_key(name)` and `warehouse_key(name)`."""
    specs = table_specs(name, warehouse, translator, catalogue)
    keys: Mapping[str, dg.AssetKey] = {table: spec.key for table, spec in specs.items()}
    checks = Checks(catalogue, blocking_checks, translator.fresh_within)

    @dg.multi_asset(
        name=f"{name}_tables",
        description="Reads the streams of the selected tables from Pleo and writes what changed.",
        specs=list(specs.values()),
        check_specs=[check for table in catalogue.tables() for check in checks.specs(table, keys[table.name])],
        can_subset=True,
        required_resource_keys={pleo_key(name), warehouse_key(name)},
        retry_policy=retry_policy,
    )
    def pleo_tables(context: dg.AssetExecutionContext, config: PleoSyncConfig) -> Iterator[Any]:
        from pleo_connector.orchestration.step import Step

        step = Step(catalogue, keys, checks, options or {})
        pleo, target = (getattr(context.resources, key) for key in (pleo_key(name), warehouse_key(name)))
        yield from step.execute(context, config, pleo, target)

    return pleo_tables
