"""The marts of a connection as assets: views that follow the tables by themselves, so materialising one makes it and counts its rows."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from pleo_connector.analytics import Category, personal_columns, refresh, views
from pleo_connector.catalogue import CATALOGUE, Catalogue, View
from pleo_connector.errors import PleoError, WarehouseError
from pleo_connector.orchestration import failures
from pleo_connector.orchestration.assets import named, warehouse_key
from pleo_connector.orchestration.resources import WarehouseResource
from pleo_connector.orchestration.translator import PleoMartData, PleoTranslator
from pleo_connector.warehouses import Warehouse, require_made


def mart_specs(
    name: str, warehouse: Warehouse, translator: PleoTranslator, tables: Mapping[str, dg.AssetKey], catalogue: Catalogue = CATALOGUE
) -> dict[str, dg.AssetSpec]:
    """The asset of each mart, by name; each depends on what it reads, column by column. No network."""
    keys = dict(tables)
    specs: dict[str, dg.AssetSpec] = {}
    made = [view for view in views(catalogue) if not view.name.startswith("live_")]
    personal = personal_columns(made, catalogue)
    for view in made:
        data = PleoMartData(view, name, warehouse.kind, warehouse.relation(view), personal[view.name], warehouse.location)
        spec = translator.get_mart_spec(data)
        keys[view.name] = spec.key
        spec = spec.replace_attributes(deps=[*spec.deps, *(keys[read] for read in view.reads if read in keys)], skippable=True)
        spec = spec.merge_attributes(metadata={"dagster/column_lineage": _lineage(view, keys)})
        specs[view.name] = named(spec, name, view.name)
    return specs


def _lineage(view: View, keys: Mapping[str, dg.AssetKey]) -> dg.TableColumnLineage:
    return dg.TableColumnLineage(
        {
            column.name: [dg.TableColumnDep(asset_key=keys[table], column_name=source) for table, source in column.sources if table in keys]
            for column in view.columns
        }
    )


def make_views(
    context: dg.AssetExecutionContext, warehouse: Warehouse, catalogue: Catalogue, categories: Sequence[Category] | None = None
) -> None:
    """Bring the views and the names of categories in step after a sync. A database that refuses is a warning: the rows are loaded."""
    if not warehouse.has_views and categories is None:
        return
    try:
        made = refresh(warehouse, catalogue, categories=categories, warn=context.log.warning)
    except WarehouseError as error:
        context.log.warning("The rows are loaded, but the views for analysts were not updated: %s", error)
        return
    if made:
        context.log.info("%d views were made or made anew.", len(made))


def build_pleo_marts(
    *,
    name: str,
    warehouse: Warehouse,
    translator: PleoTranslator,
    tables: Mapping[str, dg.AssetKey],
    catalogue: Catalogue = CATALOGUE,
) -> dg.AssetsDefinition:
    """The multi-asset of the marts; needs the resource `warehouse_key(name)`, and the tables' assets by table name."""
    specs = mart_specs(name, warehouse, translator, tables, catalogue)

    @dg.multi_asset(
        name=f"{name}_marts",
        description="Makes the views for analysts where they are missing or outdated, and counts their rows.",
        specs=list(specs.values()),
        can_subset=True,
        required_resource_keys={warehouse_key(name)},
    )
    def pleo_marts(context: dg.AssetExecutionContext) -> Iterator[Any]:
        resource: WarehouseResource = getattr(context.resources, warehouse_key(name))
        try:
            warehouse = resource.open()
            require_made(warehouse, resource.settings().sources)
            made = refresh(warehouse, catalogue, categories=resource.named_categories(), warn=context.log.warning)
            with warehouse.transaction() as transaction:
                counts = {
                    spec.key: int(str(transaction.scalar(f'SELECT count(*) FROM {{schema}}."{view}"')))
                    for view, spec in specs.items()
                    if spec.key in context.selected_asset_keys
                }
        except PleoError as error:
            raise failures.whole_run(error) from None
        if made:
            context.log.info("%d views were made or made anew.", len(made))
        for key, rows in counts.items():
            yield dg.MaterializeResult(asset_key=key, metadata={"dagster/row_count": rows})

    return pleo_marts
