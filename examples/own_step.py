"""A step of your own around the sync: `@pleo_assets` declares the tables, the function says what happens when they are synced."""

from collections.abc import Iterator
from typing import Any

import dagster as dg

from pleo_connector import PleoResource, PleoSync, WarehouseResource, pleo_assets


@pleo_assets(streams=["accounting_entries", "vendors"])
def spend(context: dg.AssetExecutionContext, sync: PleoSync) -> Iterator[Any]:
    """Entries and suppliers, each materialisation told who asked for it."""
    asked_by = context.run.tags.get("asked_by", "nobody")
    for result in sync.run():
        if isinstance(result, dg.MaterializeResult):
            yield result._replace(metadata={**(result.metadata or {}), "asked_by": asked_by})
        else:
            yield result


defs = dg.Definitions(
    assets=[spend],
    resources={"pleo": PleoResource(), "pleo_warehouse": WarehouseResource()},
    executor=dg.in_process_executor,
)
