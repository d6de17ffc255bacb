"""What one step does: sync the streams of the selected tables, and yield each table as its stream finishes."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import dagster as dg

from pleo_connector.catalogue import Catalogue, Table
from pleo_connector.errors import Forbidden, PleoError
from pleo_connector.orchestration import failures
from pleo_connector.orchestration.automation import ALL_OR_FAIL
from pleo_connector.orchestration.check_run import CheckRun
from pleo_connector.orchestration.checks import Check, Checks
from pleo_connector.orchestration.launchpad import PleoSyncConfig
from pleo_connector.orchestration.metadata import table_metadata
from pleo_connector.orchestration.resources import PleoResource, WarehouseResource
from pleo_connector.orchestration.worker import Loaded, Quiet, listen
from pleo_connector.stream_options import StreamOptions
from pleo_connector.sync import StreamReport, SyncPlan, run
from pleo_connector.warehouses import Warehouse

PROGRESS = 10.0
"""Seconds between two lines of progress."""

Event = dg.MaterializeResult[None] | dg.AssetCheckResult


@dataclass(frozen=True, slots=True)
class Step:
    """The body of the multi-asset. `keys` gives the asset key of each of its tables."""

    catalogue: Catalogue
    keys: Mapping[str, dg.AssetKey]
    checks: Checks
    options: Mapping[str, StreamOptions] = field(default_factory=dict)

    def execute(
        self, context: dg.AssetExecutionContext, config: PleoSyncConfig, pleo: PleoResource, warehouse_resource: WarehouseResource
    ) -> Iterator[Event]:
        """Sync what is selected and yield it; at the end raise Failure naming the streams that failed."""
        selection = _Selection(context, self.catalogue, self.keys)
        try:
            warehouse = warehouse_resource.open()
            checks = CheckRun(self.checks, selection.checks(self.checks), self.keys, warehouse, selection.streams)
            yield from checks.without_sync(lambda key: _last(context, key))
            if selection.streams:
                plan = replace(
                    config.plan(selection.streams),
                    options=self.options,
                    raw=warehouse_resource.raw_policy(),
                    hash_key=pleo.settings().hash_key,
                )
                yield from self._sync(context, plan, pleo, warehouse, selection, checks)
        except PleoError as error:
            raise failures.whole_run(error) from None

    def _sync(
        self,
        context: dg.AssetExecutionContext,
        plan: SyncPlan,
        pleo: PleoResource,
        warehouse: Warehouse,
        selection: "_Selection",
        checks: CheckRun,
    ) -> Iterator[Event]:
        connection = pleo.connection()
        progress = _Progress(context.log.info)
        failed: dict[str, PleoError] = {}
        refused: dict[str, PleoError] = {}
        events = listen(
            lambda on_load, on_finish, cancel: run(
                plan, connection, warehouse, catalogue=self.catalogue, on_load=on_load, on_finish=on_finish, cancel=cancel
            )
        )
        try:
            for event in events:
                if isinstance(event, Loaded):
                    progress.loaded(event.report)
                elif isinstance(event, Quiet):
                    progress.quiet()
                elif isinstance(event.report.error, Forbidden):
                    refused[event.report.stream] = event.report.error
                    context.log.warning("%s is left out: %s", event.report.stream, event.report.error)
                    yield from checks.loaded(event.report)
                elif event.report.error is not None:
                    failed[event.report.stream] = event.report.error
                    context.log.error("%s failed: %s", event.report.stream, event.report.error)
                    yield from checks.loaded(event.report)
                else:
                    progress.finished(event.report)
                    yield from self._results(event.report, warehouse, selection, checks.loaded(event.report))
        except Exception:
            raise
        except BaseException:  # a person stopped the run, or Dagster closes this generator
            context.log.info("The sync is being stopped; what it has loaded is kept, and the next run goes on there.")
            raise
        finally:
            events.close()
        if failed or len(refused) == len(selection.streams) or (refused and ALL_OR_FAIL in context.run.tags):
            failed |= refused
            raise failures.some_streams(failed, others=len(failed) < len(selection.streams)) from None

    def _results(
        self, report: StreamReport, warehouse: Warehouse, selection: "_Selection", results: Sequence[dg.AssetCheckResult]
    ) -> Iterator[Event]:
        given: set[dg.AssetKey] = set()
        for table in self.catalogue.stream(report.stream).tables():
            if selection.wants(table):
                key = self.keys[table.name]
                metadata = table_metadata(table, report, warehouse.relation(table))
                mine = [result for result in results if result.asset_key == key]
                yield dg.MaterializeResult(asset_key=key, metadata=metadata, check_results=mine)
                given.add(key)
        yield from (result for result in results if result.asset_key not in given)


def _last(context: dg.AssetExecutionContext, key: dg.AssetKey) -> dg.AssetMaterialization | None:
    event = context.instance.get_latest_materialization_event(key)
    return event.asset_materialization if event else None


class _Selection:
    """What this run asks for."""

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
        found = (check for table in self._catalogue.tables() for check in checks.of(table))
        return [check for check in found if (self._keys.get(check.table.name), check.name) in self._checks]


class _Progress:
    """Lines in the run's log: one for each finished stream, and one every ten seconds in between."""

    def __init__(self, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._say = say
        self._clock = clock
        self._last = clock()
        self._open: dict[str, StreamReport] = {}

    def loaded(self, report: StreamReport) -> None:
        self._open[report.stream] = report
        if self._clock() - self._last >= PROGRESS:
            self._tell()

    def quiet(self) -> None:
        self._tell()

    def finished(self, report: StreamReport) -> None:
        self._open.pop(report.stream, None)
        self._say(
            f"{report.stream}: {_amount(report)} in {report.seconds:.1f} s; {report.inserted:,} new, "
            f"{report.updated:,} changed, {report.deleted:,} deleted, {report.unchanged:,} unchanged, {report.quarantined:,} quarantined."
        )

    def _tell(self) -> None:
        self._last = self._clock()
        lines = [f"{report.stream}: {_amount(report)} so far" for report in self._open.values()]
        self._say("; ".join(lines) if lines else "Waiting for Pleo's first answer.")


def _amount(report: StreamReport) -> str:
    rows, pages = (f"{count:,} {word}{'' if count == 1 else 's'}" for count, word in ((report.served, "row"), (report.pages, "page")))
    return f"{rows} on {pages}"
