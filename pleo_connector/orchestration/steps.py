"""How a connection's tables are shared out to steps.

One step for all by default: one process, one pool of connections, one request budget and one writer; streams are fetched
concurrently inside it, and a failing stream does not stop the others. `step_per_table` is for executors that give each step a
pod or a worker of its own. It makes one step per stream: child tables come with their parent's records, so they share its step.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg

from pleo_connector.catalogue import CATALOGUE, Catalogue
from pleo_connector.orchestration.asset_decorator import PleoSync, pleo_assets
from pleo_connector.orchestration.partitions import MONTHS
from pleo_connector.orchestration.resources import WarehouseResource
from pleo_connector.orchestration.translator import PleoTranslator
from pleo_connector.stream_options import StreamOptions


def build_pleo_assets(
    *,
    name: str = "pleo",
    warehouse: WarehouseResource | None = None,
    translator: PleoTranslator | None = None,
    streams: Sequence[str] = (),
    catalogue: Catalogue = CATALOGUE,
    options: Mapping[str, StreamOptions] | None = None,
    blocking_checks: bool = False,
    retry_policy: dg.RetryPolicy | None = None,
    step_per_table: bool = False,
    partitioned: bool = False,
    op_tags: Mapping[str, Any] | None = None,
    marts: bool | None = None,
) -> list[dg.AssetsDefinition]:
    """The assets of a connection; they need the resources `name` and `<name>_warehouse`.

    `partitioned` gives the tables of streams that are read by month a partition per month, in a step of their own.
    """
    assets = []
    steps = _steps(name, [catalogue.stream(one).name for one in streams], catalogue, step_per_table=step_per_table, partitioned=partitioned)
    for op_name, chosen, by_month in steps:
        decorate = pleo_assets(
            name=name,
            warehouse=warehouse,
            translator=translator,
            streams=chosen,
            catalogue=catalogue,
            options=options,
            blocking_checks=blocking_checks,
            retry_policy=retry_policy,
            partitions_def=MONTHS if by_month else None,
            op_name=op_name,
            op_tags=op_tags,
            marts=marts,
        )
        assets.append(decorate(_sync))
    return assets


def _steps(
    name: str, streams: Sequence[str], catalogue: Catalogue, *, step_per_table: bool, partitioned: bool
) -> Iterator[tuple[str, list[str], bool]]:
    """(name of the step, its streams, whether it has partitions)."""
    wanted = [stream for stream in catalogue if not streams or stream.name in streams]
    by_month = [stream.name for stream in wanted if partitioned and stream.window is not None]
    if step_per_table:
        for stream in wanted:
            yield f"{name}_{stream.name}", [stream.name], stream.name in by_month
        return
    if others := [stream.name for stream in wanted if stream.name not in by_month]:
        yield f"{name}_tables", others, False
    if by_month:
        yield f"{name}_monthly_tables", by_month, True


def _sync(_context: dg.AssetExecutionContext, sync: PleoSync) -> Iterator[Any]:
    yield from sync.run()
