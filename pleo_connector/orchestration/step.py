"""What one step does: sync the streams of the selected tables, and yield each table as its stream finishes."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import dagster as dg

from pleo_connector.analytics import Category
from pleo_connector.catalogue import Catalogue, Table
from pleo_connector.errors import Forbidden, PleoError
from pleo_connector.orchestration import failures
from pleo_connector.orchestration.automation import ALL_OR_FAIL
from pleo_connector.orchestration.check_run import CheckRun
from pleo_connector.orchestration.checks import Check, Checks
from pleo_connector.orchestration.launchpad import PleoSyncConfig
from pleo_connector.orchestration.marts import make_views
from pleo_connector.orchestration.metadata import table_metadata
from pleo_connector.orchestration.progress import Progress
from pleo_connector.orchestration.resources import PleoResource, WarehouseResource
from pleo_connector.orchestration.worker import Loaded, Quiet, listen
from pleo_connector.stream_options import StreamOptions, placed_files
from pleo_connector.sync import StreamReport, SyncPlan, SyncReport, run
from pleo_connector.warehouses import Warehouse, require_made

Event = dg.MaterializeResult[None] | dg.AssetCheckResult | dg.Output[None]

UNRECORDED = "__source_asset_observation__"
"""Metadata of an output for which Dagster records no materialisation (decision 0037)."""


@dataclass(frozen=True, slots=True)
class Step:
    """The body of the multi-asset. `keys` gives the asset key of each of its tables, `resource` the key of the connection's resource.

    `views`: whether the views for analysts are brought in step at the end of each sync.
    """

    catalogue: Catalogue
    keys: Mapping[str, dg.AssetKey]
    checks: Checks
    resource: str
    options: Mapping[str, StreamOptions] = field(default_factory=dict)
    views: bool = False

    def execute(
        self, context: dg.AssetExecutionContext, config: PleoSyncConfig, pleo: PleoResource, warehouse_resource: WarehouseResource
    ) -> Iterator[Event]:
        """Sync what is selected and yield it; at the end raise Failure naming the streams that failed."""
        selection = _Selection(context, self.catalogue, self.keys)
        try:
            warehouse = warehouse_resource.open()
            sources = warehouse_resource.settings().sources
            context.log.info("Settings are those of %s; the warehouse is %s.", sources, warehouse.location)
            wanted = selection.checks(self.checks)
            if selection.streams:
                pleo.connection().check()  # no file is made before there is a credential
            elif any(check.stored for check in wanted):
                require_made(warehouse, sources)
            checks = CheckRun(self.checks, wanted, self.keys, warehouse, selection.streams)
            yield from checks.without_sync(lambda key: _last(context, key))
            if selection.streams:
                categories = warehouse_resource.named_categories() if self.views else None
                plan = replace(
                    config.plan(selection.streams),
                    options=placed_files(self.options, pleo.settings().folder),
                    raw=warehouse_resource.raw_policy(),
                    hash_key=pleo.settings().hash_key,
                )
                yield from self._sync(context, plan, pleo, warehouse, selection, checks, categories)
        except PleoError as error:
            raise failures.whole_run(error) from None
        except (dg.Failure, dg.RetryRequested):
            raise
        except Exception as error:
            raise failures.unforeseen(error) from error

    def _sync(
        self,
        context: dg.AssetExecutionContext,
        plan: SyncPlan,
        pleo: PleoResource,
        warehouse: Warehouse,
        selection: "_Selection",
        checks: CheckRun,
        categories: Sequence[Category] | None,
    ) -> Iterator[Event]:
        connection = pleo.connection()
        pace = connection.requests_per_minute
        progress = Progress(context.log.info, lambda stream, numbers: self._observe(context, stream, numbers))
        failed: dict[str, PleoError] = {}
        refused: dict[str, PleoError] = {}
        events = listen(
            lambda on_load, on_finish, cancel: _warned(
                context,
                run(plan, connection, warehouse, catalogue=self.catalogue, on_load=on_load, on_finish=on_finish, cancel=cancel),
            )
        )
        try:
            for event in events:
                if isinstance(event, Loaded):
                    progress.loaded(event.report)
                elif isinstance(event, Quiet):
                    progress.quiet()
                elif isinstance(event.report.error, Forbidden) and not event.report.pages:
                    refused[event.report.stream] = event.report.error
                    results = checks.loaded(event.report).results
                    yield from results
                    yield from self._leave_out(context, event.report, event.report.error, selection, results)
                elif event.report.error is not None:
                    failed[event.report.stream] = event.report.error
                    context.log.error("%s failed: %s", event.report.stream, event.report.error)
                    yield from checks.loaded(event.report).results
                else:
                    progress.finished(event.report)
                    yield from self._results(event.report, warehouse, selection, checks, pace)
        except Exception:
            raise
        except BaseException:  # a person stopped the run, or Dagster closes this generator
            context.log.info("The sync is being stopped; loaded rows are kept, and the next run continues there.")
            raise
        finally:
            events.close()
        if self.views:
            make_views(context, warehouse, self.catalogue, categories)
        # A step for one table of several does not know what else was selected: the others have steps of their own.
        nothing_else = len(refused) == len(selection.streams) and self._is_alone(context)
        if failed or nothing_else or (refused and ALL_OR_FAIL in context.run.tags):
            failed |= refused
            raise failures.some_streams(failed, others=len(failed) < len(selection.streams)) from None

    def _is_alone(self, context: dg.AssetExecutionContext) -> bool:
        """Whether no other step of the run reads from the same connection."""
        try:
            nodes = context.job_def.nodes
        except dg.DagsterInvalidPropertyError:  # called directly, in a test: there is no run
            return True
        return (
            sum(self.resource in node.definition.required_resource_keys for node in nodes if isinstance(node.definition, dg.OpDefinition))
            <= 1
        )

    def _results(self, report: StreamReport, warehouse: Warehouse, selection: "_Selection", checks: CheckRun, pace: int) -> Iterator[Event]:
        wanted = [table for table in self.catalogue.stream(report.stream).tables() if selection.wants(table)]
        outcome = checks.loaded(report, wanted)
        for table in wanted:
            key, version = self.keys[table.name], outcome.versions.get(table.name)
            yield dg.MaterializeResult(
                asset_key=key,
                metadata=table_metadata(table, report, warehouse.relation(table), pace),
                check_results=[result for result in outcome.results if result.asset_key == key],
                data_version=dg.DataVersion(version) if version is not None else None,
            )
        given = {self.keys[table.name] for table in wanted}
        yield from (result for result in outcome.results if result.asset_key not in given)

    def _leave_out(
        self,
        context: dg.AssetExecutionContext,
        report: StreamReport,
        error: Forbidden,
        selection: "_Selection",
        results: Sequence[dg.AssetCheckResult],
    ) -> Iterator[Event]:
        """Leave out a stream that the credential may not read: no run would change that, and the others are none the worse.

        Its tables are not materialised. Each has an output all the same: Dagster skips every step that reads a table without one. So has
        each of its checks without one of these results: where checks block, Dagster 1.12 skips what is downstream of one without an output.
        """
        context.log.warning("%s is left out: %s", report.stream, error)
        self._observe(context, report.stream, {"left_out": str(error), "remedy": failures.kind_of(error).remedy})
        given = {dg.AssetCheckKey(result.asset_key, result.check_name) for result in results if result.asset_key and result.check_name}
        for table in self.catalogue.stream(report.stream).tables():
            if not selection.wants(table):
                continue
            key = self.keys[table.name]
            yield dg.Output(None, key.to_python_identifier(), metadata={UNRECORDED: True})
            for check in self.checks.specs(table, key):
                if check.key in context.selected_asset_check_keys and check.key not in given:
                    yield dg.Output(None, check.get_python_identifier(), metadata={UNRECORDED: True})

    def _observe(self, context: dg.AssetExecutionContext, stream: str, numbers: dict[str, Any]) -> None:
        if (key := self.keys.get(stream)) in context.selected_asset_keys and key is not None:
            context.log_event(dg.AssetObservation(key, metadata=numbers))


def _warned(context: dg.AssetExecutionContext, report: SyncReport) -> SyncReport:
    for warning in report.warnings:
        context.log.warning(warning)
    return report


def _last(context: dg.AssetExecutionContext, key: dg.AssetKey) -> dg.AssetMaterialization | None:
    if context.has_partition_key:  # another partition is another connection, or another month
        wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[context.partition_key])
        records = context.instance.fetch_materializations(wanted, limit=1).records
        return records[0].asset_materialization if records else None
    event = context.instance.get_latest_materialization_event(key)
    return event.asset_materialization if event else None


class _Selection:
    """The selected assets and checks of a run."""

    def __init__(self, context: dg.AssetExecutionContext, catalogue: Catalogue, keys: Mapping[str, dg.AssetKey]) -> None:
        self._assets = context.selected_asset_keys
        self._checks = {(check.asset_key, check.name) for check in context.selected_asset_check_keys}
        self._catalogue = catalogue
        self._keys = keys
        self.streams = tuple(dict.fromkeys(table.stream for table in catalogue.tables() if self.wants(table)))

    def wants(self, table: Table) -> bool:
        """Whether the table's asset is selected."""
        return self._keys.get(table.name) in self._assets

    def checks(self, checks: Checks) -> list[Check]:
        """The selected checks."""
        known = (check for table in self._catalogue.tables() for check in checks.of(table))
        return [check for check in known if (self._keys.get(check.table.name), check.name) in self._checks]
