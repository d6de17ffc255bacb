"""`@pleo_assets`: a connection's tables as one step, with a body of your own around the sync."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import dagster as dg

from pleo_connector.catalogue import CATALOGUE, Catalogue
from pleo_connector.catalogue.options import options_of
from pleo_connector.catalogue.rules import under_rules
from pleo_connector.orchestration.assets import pleo_key, table_specs, warehouse_key
from pleo_connector.orchestration.checks import Checks
from pleo_connector.orchestration.code_folder import settings_of_code
from pleo_connector.orchestration.launchpad import PleoSyncConfig
from pleo_connector.orchestration.partitions import backfill_policy, within_partitions
from pleo_connector.orchestration.resources import PleoResource, WarehouseResource
from pleo_connector.orchestration.translator import PleoTranslator
from pleo_connector.stream_options import StreamOptions


@dataclass(frozen=True, slots=True)
class PleoSync:
    """The sync of one run's selected tables, for the body of a `@pleo_assets` function."""

    context: dg.AssetExecutionContext
    config: PleoSyncConfig
    """What was chosen in the launchpad, within the run's partitions where it has some."""
    pleo: PleoResource
    warehouse: WarehouseResource
    _run: Callable[[PleoSyncConfig, PleoResource, WarehouseResource], Iterator[Any]]

    def run(self, config: PleoSyncConfig | None = None) -> Iterator[Any]:
        """Each table's MaterializeResult as it finishes, and its check results; at the end Failure names the streams that failed.

        `config` replaces the launchpad's.
        """
        return self._run(config or self.config, self.pleo, self.warehouse)

    def instead(self, pleo: PleoResource, warehouse: WarehouseResource) -> "PleoSync":
        """The same sync from another connection into another warehouse."""
        return replace(self, pleo=pleo, warehouse=warehouse)


Body = Callable[[dg.AssetExecutionContext, PleoSync], Iterator[Any]]


def pleo_assets(
    *,
    name: str = "pleo",
    warehouse: WarehouseResource | None = None,
    translator: PleoTranslator | None = None,
    streams: Sequence[str] = (),
    catalogue: Catalogue = CATALOGUE,
    options: Mapping[str, StreamOptions] | None = None,
    blocking_checks: bool = False,
    retry_policy: dg.RetryPolicy | None = None,
    partitions_def: dg.PartitionsDefinition[str] | None = None,
    required_resource_keys: frozenset[str] = frozenset(),
    op_name: str | None = None,
    op_tags: Mapping[str, Any] | None = None,
    marts: bool | None = None,
) -> Callable[[Body], dg.AssetsDefinition]:
    """Decorator of a function `(context, sync)` that yields `sync.run()`: one subsettable multi-asset.

        @pleo_assets(streams=["accounting_entries", "vendors"])
        def spend(context: dg.AssetExecutionContext, sync: PleoSync):
            yield from sync.run()

    It needs two resources: `name` (a `PleoResource`) and `<name>_warehouse` (a `WarehouseResource`). `warehouse` says how tables
    are named when definitions load, and is the `PLEO_*` variables' when left out. No streams means all. The step is called like the
    function, or `op_name`. `marts` (whether each sync makes the views for analysts) is `PLEO_MARTS` when left out.
    """
    named = translator or PleoTranslator()
    chosen = options if options is not None else options_of(settings_of_code().config, catalogue)
    catalogue = under_rules(catalogue, chosen)
    specs = table_specs(name, (warehouse or WarehouseResource()).open(), named, catalogue, streams)
    keys = {table: spec.key for table, spec in specs.items()}
    tables = [table for table in catalogue.tables() if table.name in specs]
    checks = Checks(catalogue, blocking_checks, named.fresh_within)
    views = marts if marts is not None else settings_of_code().marts

    def decorate(body: Body) -> dg.AssetsDefinition:
        @dg.multi_asset(
            name=op_name or body.__name__,
            description=body.__doc__ or "Reads the streams of the selected tables from Pleo and writes what changed.",
            specs=list(specs.values()),
            check_specs=[check for table in tables for check in checks.specs(table, keys[table.name])],
            can_subset=True,
            required_resource_keys={pleo_key(name), warehouse_key(name), *required_resource_keys},
            retry_policy=retry_policy,
            partitions_def=partitions_def,
            backfill_policy=backfill_policy(partitions_def),
            op_tags=op_tags,
        )
        def pleo_tables(context: dg.AssetExecutionContext, config: PleoSyncConfig) -> Iterator[Any]:
            from pleo_connector.orchestration.step import Step

            step = Step(catalogue, keys, checks, pleo_key(name), chosen, views)
            pleo, target = (getattr(context.resources, key) for key in (pleo_key(name), warehouse_key(name)))
            run_config = within_partitions(context, config, partitions_def)
            yield from body(context, PleoSync(context, run_config, pleo, target, partial(step.execute, context)))

        return pleo_tables

    return decorate
