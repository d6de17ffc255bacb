"""When checks run: each as soon as all streams that it reads are loaded, many in one transaction."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import dagster as dg

from pleo_connector.catalogue import Table
from pleo_connector.orchestration import check_queries as queries
from pleo_connector.orchestration.checks import DECLARED, Check, Checks, Drifted, drift_of, drift_of_last

if TYPE_CHECKING:
    from pleo_connector.sync import StreamReport
    from pleo_connector.warehouses import Warehouse


@dataclass(frozen=True, slots=True)
class CheckOutcome:
    """Results of checks, and versions of tables."""

    results: list[dg.AssetCheckResult] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    """By table: a text that stays the same until a row changes."""


Last = Callable[[dg.AssetKey], dg.AssetMaterialization | None]


class CheckRun:
    """The selected checks of one run. `loading` are the streams that this run syncs."""

    def __init__(
        self, checks: Checks, selected: list[Check], keys: Mapping[str, dg.AssetKey], warehouse: "Warehouse", loading: tuple[str, ...]
    ) -> None:
        self._checks = checks
        self._keys = keys
        self._warehouse = warehouse
        self._waiting = [check for check in selected if check.stream.name in loading]
        self._alone = [check for check in selected if check.stream.name not in loading]
        self._loading = set(loading)
        self._failed: set[str] = set()

    def loaded(self, report: "StreamReport", versions_of: Sequence[Table] = ()) -> CheckOutcome:
        """The checks that can run now that this stream has ended: of its own tables, and of those that waited for it."""
        self._loading.discard(report.stream)
        if report.error is not None:
            self._failed.add(report.stream)
        ready = [check for check in self._waiting if self._reads(check).isdisjoint(self._loading)]
        self._waiting = [check for check in self._waiting if check not in ready]
        # A table that could not be brought up to date proves nothing about another.
        current = [check for check in ready if self._reads(check).isdisjoint(self._failed)]
        results = [self._checks.reported(check, report, self._keys[check.table.name]) for check in current if not check.stored]
        queried = self._query([check for check in current if check.stored], versions_of, {report.stream: drift_of(report)})
        return CheckOutcome(results + queried.results, queried.versions)

    def without_sync(self, last: Last) -> list[dg.AssetCheckResult]:
        """Checks that were selected without any table of their stream: they read the warehouse and the metadata of the last run."""
        keys = self._keys
        reported = [self._checks.remembered(one, last(keys[one.table.name]), keys[one.table.name]) for one in self._alone if not one.stored]
        ready = [check for check in self._alone if check.stored and self._reads(check).isdisjoint(self._failed)]
        served = {one.stream.name: drift_of_last(one.stream, last(keys[one.table.name])) for one in ready if one.name == DECLARED}
        return reported + self._query(ready, served=served).results

    def _query(self, wanted: list[Check], versions_of: Sequence[Table] = (), served: Mapping[str, Drifted] | None = None) -> CheckOutcome:
        if not wanted and not versions_of:
            return CheckOutcome()
        from pleo_connector.sync.state_tables import QUARANTINE, SWEEPS

        catalogue = self._checks.catalogue
        names = dict.fromkeys(name for check in wanted for name in (check.table.name, *check.other_tables, "companies"))
        with self._warehouse.transaction() as transaction:
            transaction.ensure([*(catalogue.table(name) for name in names), SWEEPS, QUARANTINE])
            versions = queries.versions(transaction.scalar(queries.version_query(versions_of))) if versions_of else {}
            return CheckOutcome(self._checks.stored(wanted, transaction, self._keys, served=served), versions)

    def _reads(self, check: Check) -> set[str]:
        return {check.stream.name, *(self._checks.catalogue.table(name).stream for name in check.other_tables)}
