"""What one step does: sync the streams of the selected tables, and yield each table as its stream finishes."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import dagster as dg

from pleo_connector.catalogue import Catalogue, Table
from pleo_connector.errors import PleoError
from pleo_connector.orchestration import failures
from pleo_connector.orchestration.checks import KEY, ROWS, SPLITS, Checker, check_names
from pleo_connector.orchestration.launchpad import PleoSyncConfig
from pleo_connector.orchestration.metadata import table_metadata
from pleo_connector.orchestration.resources import PleoResource, WarehouseResource
from pleo_connector.orchestration.worker import Loaded, Quiet, listen
from pleo_connector.sync import StreamReport, run
from pleo_connector.warehouses import Transaction, Warehouse

PROGRESS = 10.0
"""Seconds between two lines of progress."""

Event = dg.MaterializeResult[None] | dg.AssetCheckResult


@dataclass(frozen=True, slots=True)
class Step:
    """The body of the multi-asset. `keys` gives the asset key of each of its tables."""

    catalogue: Catalogue
    keys: Mapping[str, dg.AssetKey]
    checker: Checker

    def execute(
        self, context: dg.AssetExecutionContext, config: PleoSyncConfig, pleo: PleoResource, warehouse_resource: WarehouseResource
    ) -> Iterator[Event]:
        """Sync what is selected and yield it; at the end raise Failure naming the streams that failed."""
        selection = _Selection(context, self.catalogue, self.keys)
        try:
            warehouse = warehouse_resource.open()
            if selection.streams:
                yield from self._sync(context, config, pleo, warehouse, selection)
            yield from self._check_only(context, warehouse, selection)
        except PleoError as error:
            raise failures.whole_run(error) from None

    def _sync(
        self, context: dg.AssetExecutionContext, config: PleoSyncConfig, pleo: PleoResource, warehouse: Warehouse, selection: "_Selection"
    ) -> Iterator[Event]:
        plan, connection = config.plan(selection.streams), pleo.connection()
        progress = _Progress(context.log.info)
        failed: dict[str, PleoError] = {}
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
                elif event.report.error is not None:
                    failed[event.report.stream] = event.report.error
                    context.log.error("%s failed: %s", event.report.stream, event.report.error)
                else:
                    progress.finished(event.report)
                    yield from self._results(event.report, warehouse, selection)
        except Exception:
            raise
        except BaseException:  # a person stopped the run, or Dagster closes this generator
            context.log.info("The sync is being stopped; what it has loaded is kept, and the next run goes on there.")
            raise
        finally:
            events.close()
        if failed:
            raise failures.some_streams(failed, others=len(failed) < len(selection.streams)) from None

    def _results(self, report: StreamReport, warehouse: Warehouse, selection: "_Selection") -> Iterator[Event]:
        tables = self.catalogue.stream(report.stream).tables()
        checked: dict[str, list[dg.AssetCheckResult]] = {}
        if any(selection.checks(table) for table in tables):
            with warehouse.transaction() as transaction:
                for table in tables:
                    checked[table.name] = [self._check(name, transaction, table, report) for name in selection.checks(table)]
        for table in tables:
            results = checked.get(table.name, [])
            if selection.wants(table):
                metadata = table_metadata(table, report, warehouse.relation(table))
                yield dg.MaterializeResult(asset_key=self.keys[table.name], metadata=metadata, check_results=results)
            else:
                yield from results

    def _check(self, name: str, transaction: Transaction, table: Table, report: StreamReport) -> dg.AssetCheckResult:
        key = self.keys[table.name]
        if name == ROWS:
            return self.checker.rows(report, key)
        return self._check_stored(name, transaction, table)

    def _check_stored(self, name: str, transaction: Transaction, table: Table) -> dg.AssetCheckResult:
        key = self.keys[table.name]
        evaluate = {KEY: self.checker.key, SPLITS: self.checker.splits}[name]
        return evaluate(transaction, table, key)

    def _check_only(self, context: dg.AssetExecutionContext, warehouse: Warehouse, selection: "_Selection") -> Iterator[Event]:
        """Checks that were selected without any table of their stream: on what the warehouse holds now."""
        tables = [table for table in self.catalogue.tables() if table.stream not in selection.streams and selection.checks(table)]
        if not tables:
            return
        results = []
        with warehouse.transaction() as transaction:
            transaction.ensure(tables)
            for table in tables:
                for name in selection.checks(table):
                    if name == ROWS:
                        event = context.instance.get_latest_materialization_event(self.keys[table.name])
                        last = event.asset_materialization if event else None
                        results.append(self.checker.rows_of_last_sync(last, self.keys[table.name]))
                    else:
                        results.append(self._check_stored(name, transaction, table))
        yield from results


class _Selection:
    """What this run asks for."""

    def __init__(self, context: dg.AssetExecutionContext, catalogue: Catalogue, keys: Mapping[str, dg.AssetKey]) -> None:
        self._assets = context.selected_asset_keys
        self._checks = {(check.asset_key, check.name) for check in context.selected_asset_check_keys}
        self._keys = keys
        self.streams = tuple(dict.fromkeys(table.stream for table in catalogue.tables() if self.wants(table)))

    def wants(self, table: Table) -> bool:
        """Whether the table's asset is selected."""
        return self._keys.get(table.name) in self._assets

    def checks(self, table: Table) -> Sequence[str]:
        """The table's selected checks."""
        return [name for name in check_names(table) if (self._keys.get(table.name), name) in self._checks]


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
