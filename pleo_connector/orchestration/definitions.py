"""Everything Dagster needs for a connection, in one call: `build_pleo_definitions()`."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from pleo_connector.catalogue import CATALOGUE, Catalogue
from pleo_connector.catalogue.options import options_of
from pleo_connector.catalogue.rules import under_rules
from pleo_connector.errors import ConfigurationError
from pleo_connector.orchestration.assets import pleo_key, table_specs, warehouse_key
from pleo_connector.orchestration.automation import daily_schedule, hourly_schedule, sync_job, weekly_full_schedule
from pleo_connector.orchestration.code_folder import settings_of_code
from pleo_connector.orchestration.company_sensor import CompanyRun, company_sensor
from pleo_connector.orchestration.default_status import DefaultStatus
from pleo_connector.orchestration.export_sensor import export_job, export_sensor
from pleo_connector.orchestration.keep_alive import keep_alive_job, token_age_sensor, weekly_schedule
from pleo_connector.orchestration.lineage import raw_specs
from pleo_connector.orchestration.marts import build_pleo_marts
from pleo_connector.orchestration.partitions import months_job, months_schedules
from pleo_connector.orchestration.resources import PleoResource, WarehouseResource
from pleo_connector.orchestration.steps import build_pleo_assets
from pleo_connector.orchestration.translator import PleoTranslator
from pleo_connector.settings import Settings
from pleo_connector.stream_options import StreamOptions

_NAME = re.compile(r"[a-z][a-z0-9_]*")


def build_pleo_definitions(
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
    step_per_table: bool = False,
    partitioned: bool = False,
    op_tags: Mapping[str, Any] | None = None,
    running: Sequence[str] = (),
    executor: dg.ExecutorDefinition | None = dg.in_process_executor,
) -> dg.Definitions:
    """Assets, checks, resources, jobs, schedules and sensors of one connection. Needs no network and no credential.

    `settings` are the `PLEO_*` variables when left out; `pleo` and `warehouse` replace the resources made from them. For
    several connections give each its `name` (it starts keys, group, job and resource names) and its resources, and merge
    with `dg.Definitions.merge`. `options` by stream stand in place of the file that `PLEO_CONFIG` names, and
    `marts` (whether the views for analysts are assets too; they need all streams) in place of `PLEO_MARTS`.
    ConfigurationError names the variable or option that is wrong.
    `running` names schedules and sensors that run from the start, such as `hourly` and `export_jobs`; the others wait in the UI.
    `step_per_table`, `partitioned`: see `steps`. `executor` None leaves the choice to the definitions that these are merged into.
    """
    target = warehouse or WarehouseResource.from_settings(settings or settings_of_code())
    chosen = options if options is not None else options_of((settings or settings_of_code()).config, catalogue)
    catalogue = under_rules(catalogue, chosen)
    opened, translator = target.open(), translator or PleoTranslator()
    shown = marts if marts is not None else (settings or settings_of_code()).marts
    tables = build_pleo_assets(
        name=checked_name(name),
        warehouse=target,
        translator=translator,
        streams=streams,
        catalogue=catalogue,
        blocking_checks=blocking_checks,
        retry_policy=retry_policy,
        options=chosen,
        step_per_table=step_per_table,
        partitioned=partitioned,
        op_tags=op_tags,
        marts=shown,
    )
    assets = list(tables)
    if not streams and opened.has_views and shown:
        keys = {table: spec.key for table, spec in table_specs(name, opened, translator, catalogue).items()}
        assets.append(build_pleo_marts(name=name, warehouse=opened, translator=translator, tables=keys, catalogue=catalogue))
    # Dagster runs tables with partitions only with one: they have a job of their own.
    by_month = [one for one in tables if one.partitions_def is not None]
    tables = [one for one in tables if one.partitions_def is None]
    if not tables:
        raise ConfigurationError(
            "partitioned=True leaves no table for the sync job; also name a stream that is not read by month, such as companies."
        )
    job, alive = sync_job(name, [one for one in assets if one not in by_month]), keep_alive_job(name)
    months = months_job(name, by_month) if by_month else None
    exports, ops = export_job(name, tables, catalogue), [one.op.name for one in tables]
    whole = [CompanyRun(job, ops), *([CompanyRun(months, [one.op.name for one in by_month], by_month=True)] if months else [])]
    defaults = DefaultStatus(name, running)
    built = dg.Definitions(
        assets=[*assets, *raw_specs(name, catalogue, streams)],
        jobs=[job, alive, *([exports] if exports else []), *([months] if months else [])],
        schedules=[
            hourly_schedule(defaults, job),
            daily_schedule(defaults, job),
            weekly_full_schedule(defaults, job, ops),
            weekly_schedule(defaults, alive),
            *(months_schedules(defaults, months) if months else []),
        ],
        sensors=[
            *([export_sensor(name, defaults, exports)] if exports else []),
            company_sensor(name, defaults, whole),
            token_age_sensor(name, defaults, alive),
        ],
        resources={pleo_key(name): pleo or PleoResource.from_settings(settings or settings_of_code()), warehouse_key(name): target},
        # In one process by default: each step process of Dagster's own would spend 5 to 8 s on imports alone.
        executor=executor,
    )
    defaults.check()
    return built


def load_pleo_asset_specs(
    settings: Settings | None = None,
    *,
    name: str = "pleo",
    translator: PleoTranslator | None = None,
    warehouse: WarehouseResource | None = None,
    streams: Sequence[str] = (),
    catalogue: Catalogue = CATALOGUE,
    options: Mapping[str, StreamOptions] | None = None,
) -> Sequence[dg.AssetSpec]:
    """The asset of every table, as `build_pleo_definitions` makes them, without anything to run. No network."""
    target = warehouse or WarehouseResource.from_settings(settings or settings_of_code())
    catalogue = under_rules(catalogue, options if options is not None else options_of((settings or settings_of_code()).config, catalogue))
    return list(table_specs(checked_name(name), target.open(), translator or PleoTranslator(), catalogue, streams).values())


def checked_name(name: str) -> str:
    """The name, if a connection may have it; else ConfigurationError."""
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"A connection's name must have only lower-case letters, digits and _, and start with a letter; {name!r} does not."
        )
    return name
