"""Everything Dagster needs for many connections of one client, in one call: `build_pleo_connections_definitions()`.

A connection of the token store is a partition, named by its label; a run is of one connection, from its grant, within its
request budget, into its place in the warehouse.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import dagster as dg

from pleo_connector.catalogue import CATALOGUE, Catalogue
from pleo_connector.catalogue.options import options_of
from pleo_connector.catalogue.rules import under_rules
from pleo_connector.errors import ConfigurationError, PleoError
from pleo_connector.orchestration import failures
from pleo_connector.orchestration.asset_decorator import PleoSync, pleo_assets
from pleo_connector.orchestration.assets import pleo_key, warehouse_key
from pleo_connector.orchestration.automation import sync_job
from pleo_connector.orchestration.code_folder import settings_of_code
from pleo_connector.orchestration.connection_exports import export_jobs_sensor
from pleo_connector.orchestration.connection_keep_alive import keep_alive_job, token_age_sensor
from pleo_connector.orchestration.connection_places import check_template, clash, pleo_of, warehouse_of
from pleo_connector.orchestration.connection_runs import AT_ONCE, HOURLY, Pace
from pleo_connector.orchestration.connection_sensor import connection_sensor
from pleo_connector.orchestration.default_status import DefaultStatus
from pleo_connector.orchestration.definitions import checked_name
from pleo_connector.orchestration.export_sensor import export_job
from pleo_connector.orchestration.keep_alive import weekly_schedule
from pleo_connector.orchestration.lineage import raw_specs
from pleo_connector.orchestration.resources import PleoResource, WarehouseResource
from pleo_connector.orchestration.translator import PleoTableData, PleoTranslator
from pleo_connector.settings import Settings
from pleo_connector.stream_options import StreamOptions

_ONE_PLACE = ("dagster/relation_identifier", "dagster/uri")
"""Metadata that differs by connection: each materialisation has its own."""


def build_pleo_connections_definitions(
    settings: Settings | None = None,
    *,
    name: str = "pleo",
    translator: PleoTranslator | None = None,
    pleo: PleoResource | None = None,
    warehouse: WarehouseResource | None = None,
    streams: Sequence[str] = (),
    catalogue: Catalogue = CATALOGUE,
    blocking_checks: bool = False,
    retry_policy: dg.RetryPolicy | None = None,
    options: Mapping[str, StreamOptions] | None = None,
    marts: bool | None = None,
    every: timedelta = HOURLY,
    at_once: int = AT_ONCE,
    op_tags: Mapping[str, Any] | None = None,
    running: Sequence[str] = (),
    executor: dg.ExecutorDefinition | None = dg.in_process_executor,
) -> dg.Definitions:
    """Assets partitioned by connection, their checks, jobs, resources, sensors and schedule. Needs no network.

    The partitions (`<name>_connections`) are the labels of the token store that `pleo` names; the sensor of that name keeps them
    so, and requests a run of each connection once per `every`, `at_once` at a time. `warehouse` is what all connections share:
    each gets the schema `<schema_name>_<label>`, or, where the URL holds `{connection}`, a file or database of its own.
    The rest as in `build_pleo_definitions`; with `marts`, each connection has the views for analysts. ConfigurationError names what is wrong.
    """
    target = warehouse or WarehouseResource.from_settings(settings or settings_of_code())
    credential = pleo or PleoResource.from_settings(settings or settings_of_code())
    if every < timedelta(minutes=1) or at_once < 1:
        raise ConfigurationError("Many connections need every to be a minute at least, and at_once 1 at least.")
    check_template(target)
    chosen = options if options is not None else options_of((settings or settings_of_code()).config, catalogue)
    if any(one.files is not None for one in chosen.values()):
        raise ConfigurationError(
            "The option files of receipts names one folder, and many connections must not share one: leave it out, or give the "
            "customer whose files are wanted definitions of its own."
        )
    catalogue = under_rules(catalogue, chosen)
    partitions = dg.DynamicPartitionsDefinition(name=f"{checked_name(name)}_connections")

    @pleo_assets(
        name=name,
        warehouse=target,
        translator=_Placeless(translator or PleoTranslator()),
        streams=streams,
        catalogue=catalogue,
        options=chosen,
        blocking_checks=blocking_checks,
        retry_policy=retry_policy,
        partitions_def=partitions,
        op_name=f"{name}_tables",
        op_tags=op_tags,
        marts=marts if marts is not None else (settings or settings_of_code()).marts,
    )
    def tables(context: dg.AssetExecutionContext, sync: PleoSync) -> Iterator[Any]:
        """Reads the streams of the selected tables of one connection from Pleo, and writes what changed to its place."""
        yield from _of_connection(context, sync, str(partitions.name)).run()

    job, alive, exports = sync_job(name, [tables]), keep_alive_job(name), export_job(name, [tables], catalogue)
    defaults = DefaultStatus(name, running)
    built = dg.Definitions(
        assets=[tables, *raw_specs(name, catalogue, streams)],
        jobs=[job, alive, *([exports] if exports else [])],
        schedules=[weekly_schedule(defaults, alive)],
        sensors=[
            connection_sensor(name, defaults, job, partitions, list(tables.keys), Pace(every, at_once)),
            token_age_sensor(name, defaults, alive),
            *([export_jobs_sensor(name, defaults, exports, partitions, at_once)] if exports else []),
        ],
        resources={pleo_key(name): credential, warehouse_key(name): target},
        executor=executor,
    )
    defaults.check()
    return built


def _of_connection(context: dg.AssetExecutionContext, sync: PleoSync, partitions: str) -> PleoSync:
    """The sync of the run's one connection; the run ends with one sentence where it has none, or one that cannot have its place."""
    from pleo_connector.auth.connections import list_labels
    from pleo_connector.auth.stores import open_store

    try:
        if not context.has_partition_key:
            raise ConfigurationError(
                "These tables belong to one connection in each run: choose one (a partition), or several in a backfill."
            )
        label = context.partition_key
        pleo = pleo_of(label, sync.pleo)
        settings = pleo.settings()
        stored = list_labels(settings, open_store(settings.token_store, settings.host_marks))
        why = clash(label, sync.warehouse, context.instance.get_dynamic_partitions(partitions), stored)
        if why is not None:
            raise ConfigurationError(why)
        return sync.instead(pleo, warehouse_of(label, sync.warehouse))
    except PleoError as error:
        raise failures.whole_run(error) from None


class _Placeless(PleoTranslator):
    """A translator whose assets name no place: each connection has its own."""

    def __init__(self, translator: PleoTranslator) -> None:
        self._translator = translator
        self.fresh_within = translator.fresh_within

    def get_asset_spec(self, data: PleoTableData) -> dg.AssetSpec:
        spec = self._translator.get_asset_spec(data)
        return spec.replace_attributes(metadata={key: value for key, value in spec.metadata.items() if key not in _ONE_PLACE})
