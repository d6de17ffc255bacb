"""Asset checks that follow from the catalogue: their names, their questions, and their results.

A failed check is a warning and stops nothing, unless the definitions were built with `blocking_checks=True`. Metadata names
at most ten failing rows, by key and never by content. `check_queries.py` has the SQL, and `check_run.py` says when checks run.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import dagster as dg

from pleo_connector.catalogue import (
    CATALOGUE,
    RELATIONS,
    AddsUp,
    Catalogue,
    Counts,
    KnownValues,
    NetAndTax,
    Paging,
    Reference,
    Relation,
    Stream,
    Table,
)
from pleo_connector.catalogue.relations import others
from pleo_connector.orchestration import check_queries as queries
from pleo_connector.orchestration.check_queries import SHOWN, Tally

if TYPE_CHECKING:
    from pleo_connector.sync import StreamReport
    from pleo_connector.warehouses import Transaction

KEY = "key_unique_and_present"
ROWS = "rows_accounted_for"
DECLARED = "fits_the_declaration"
TOTAL = "total_matched"
FRESH = "read_recently"
REFERENCES = "references_exist"
HOT = "hot_window_wide_enough"

Drifted = Mapping[str, Sequence[str]]
"""Paths by kind of finding, as in `frames.Drift`."""

_PARTS = ("rows_inserted", "rows_updated", "rows_unchanged", "rows_quarantined", "rows_duplicate")


@dataclass(frozen=True, slots=True)
class Check:
    """One check of one table. One that is not stored reads the report of a sync."""

    name: str
    table: Table
    stream: Stream
    description: str
    stored: bool = True
    """Whether it reads the warehouse."""
    relations: tuple[Relation, ...] = ()

    @property
    def other_tables(self) -> tuple[str, ...]:
        """Tables that it reads besides its own."""
        below = tuple(table.name for table in self.stream.tables()[1:]) if self.name == DECLARED else ()
        return (*others(self.relations), *below)


@dataclass(frozen=True, slots=True)
class Checks:
    """The checks of a catalogue; failures are errors when `blocking`. `fresh_within` None leaves out freshness."""

    catalogue: Catalogue = CATALOGUE
    blocking: bool = False
    fresh_within: timedelta | None = timedelta(hours=36)

    def of(self, table: Table) -> Iterator[Check]:
        """The checks of a table."""
        stream = self.catalogue.stream(table.stream)
        yield Check(KEY, table, stream, f"Every row of {table.name} has its key ({', '.join(table.key)}), and no two rows share one.")
        if table.parent is None:
            yield from self._of_stream(table, stream)
        relations = RELATIONS.of(table, self.catalogue)
        if references := tuple(one for one in relations if isinstance(one, Reference)):
            conditions = ", ".join(
                f"{one.column} is in {one.target}{' (an unknown one is only counted)' if one.optional else ''}" for one in references
            )
            yield Check(REFERENCES, table, stream, f"{conditions}; archived and deleted records count as existing.", relations=references)
        for relation in relations:
            if not isinstance(relation, Reference):
                yield Check(relation.check, table, stream, _meaning(relation), relations=(relation,))

    def _of_stream(self, table: Table, stream: Stream) -> Iterator[Check]:
        rows = "Every record that Pleo served was inserted, updated, unchanged, a duplicate, or quarantined with a reason."
        yield Check(ROWS, table, stream, rows, stored=False)
        drift = (
            "No stored row and no record of this sync has a field, type or enum value that the catalogue does not declare, "
            "or lacks a required field. Undeclared values are stored all the same."
        )
        yield Check(DECLARED, table, stream, drift)
        if stream.paging is Paging.CURSOR:
            yield Check(
                TOTAL, table, stream, "Each newest complete sweep read as many records as Pleo reported, where Pleo reports a total."
            )
        if stream.window is not None:
            late = "Months that not every run reads had no changes. Where they had, a larger hot_days finds such changes sooner."
            yield Check(HOT, table, stream, late, stored=False)
        # Streams that are read for each record of another are read when that changes, however long ago that was.
        if self.fresh_within is not None and stream.parent is None:
            hours = self.fresh_within.total_seconds() / 3600
            yield Check(FRESH, table, stream, f"Each company was read to the end within {hours:g} hours.")

    def specs(self, table: Table, key: dg.AssetKey) -> list[dg.AssetCheckSpec]:
        """The declarations of a table's checks, on the asset `key`."""
        return [dg.AssetCheckSpec(one.name, asset=key, description=one.description, blocking=self.blocking) for one in self.of(table)]

    def reported(self, check: Check, report: "StreamReport", asset: dg.AssetKey) -> dg.AssetCheckResult:
        """A check of what one sync did."""
        if check.name == HOT:
            late = {f"rows_changed_{tier}": count for tier, count in report.found_late.items()}
            return self._result(check, asset, passed=not late, metadata=late)
        counts = (report.inserted, report.updated, report.unchanged, report.quarantined, report.duplicates)
        return self._balance(check, asset, report.served, dict(zip(_PARTS, counts, strict=True)))

    def remembered(self, check: Check, last: dg.AssetMaterialization | None, asset: dg.AssetKey) -> dg.AssetCheckResult:
        """The same from the metadata of the last materialisation, for a check that is run without a sync."""
        if last is None or "rows_served" not in last.metadata:
            return self._result(
                check, asset, passed=False, metadata={"reason": "Dagster has not synced this table yet; materialize it first."}
            )
        if check.name == HOT:
            late = last.metadata.get("rows_changed_outside_hot_window")
            rows = int(str(late.value)) if late is not None else 0
            return self._result(check, asset, passed=not rows, metadata={"rows_changed_outside_hot_window": rows})
        served, *parts = (int(str(last.metadata[name].value)) for name in ("rows_served", *_PARTS))
        return self._balance(check, asset, served, dict(zip(_PARTS, parts, strict=True)))

    def _balance(self, check: Check, asset: dg.AssetKey, served: int, parts: dict[str, int]) -> dg.AssetCheckResult:
        lost = served - sum(parts.values())
        return self._result(check, asset, passed=lost == 0, metadata={"rows_served": served, **parts, "rows_unaccounted_for": lost})

    def stored(
        self,
        wanted: Sequence[Check],
        transaction: "Transaction",
        keys: Mapping[str, dg.AssetKey],
        now: datetime | None = None,
        served: Mapping[str, Drifted] | None = None,
    ) -> list[dg.AssetCheckResult]:
        """Checks of the stored rows, in one query. `served` is the drift of a sync, by stream: not all of it shows in rows."""
        pairs = [(check, tally) for check in wanted for tally in self._tallies(check, now or datetime.now(UTC))]
        if not pairs:
            return []
        answers = queries.answers(transaction.scalar(queries.counted([tally for _, tally in pairs])))
        results = []
        for check in wanted:
            mine = [(tally, answer) for (one, tally), answer in zip(pairs, answers, strict=True) if one is check]
            if check.name == DECLARED:
                results.append(self._declared(check, keys[check.table.name], mine, (served or {}).get(check.stream.name, {})))
                continue
            metadata: dict[str, Any] = {tally.metric: answer.rows for tally, answer in mine}
            names = [answer.examples for tally, answer in mine if tally.fails and answer.examples]
            failing = any(answer.rows for tally, answer in mine if tally.fails)
            metadata |= _for_example([name for some in names for name in some.split(", ")])
            results.append(self._result(check, keys[check.table.name], passed=not failing, metadata=metadata))
        return results

    def _declared(
        self, check: Check, asset: dg.AssetKey, answers: Sequence[tuple[Tally, queries.Answer]], served: Drifted
    ) -> dg.AssetCheckResult:
        names = {kind: dict.fromkeys(paths) for kind, paths in served.items() if paths}
        rows: Counter[str] = Counter()
        for tally, answer in answers:
            if paths := queries.drift_names(tally, answer):
                names[tally.metric] = names.get(tally.metric, {}) | dict.fromkeys(paths)
                rows[tally.metric] += answer.rows if tally.metric != queries.UNKNOWN_FIELDS else len(paths)
        counts = {kind: max(rows[kind], len(paths)) for kind, paths in names.items()}
        return self._result(
            check, asset, passed=not names, metadata=counts | _for_example(path for paths in names.values() for path in paths)
        )

    def _tallies(self, check: Check, now: datetime) -> Iterator[Tally]:
        if check.name == KEY:
            yield from queries.key_tallies(check.table)
        elif check.name == TOTAL:
            yield queries.total_tally(check.stream)
        elif check.name == DECLARED:
            yield from queries.drift_tallies(check.stream)
        elif check.name == FRESH and self.fresh_within is not None:
            yield queries.freshness_tally(check.stream, self.fresh_within, now)
        for relation in check.relations:
            if isinstance(relation, Reference):
                yield from queries.reference_tallies(relation, check.table, self.catalogue.table(relation.target))
            elif isinstance(relation, AddsUp):
                yield queries.sum_tally(relation, check.table)
            elif isinstance(relation, NetAndTax):
                yield queries.tax_tally(relation, check.table)
            elif isinstance(relation, KnownValues):
                yield queries.value_tally(relation, check.table)
            else:
                yield queries.count_tally(relation, check.table)

    def _result(self, check: Check, asset: dg.AssetKey, *, passed: bool, metadata: Mapping[str, Any]) -> dg.AssetCheckResult:
        severity = dg.AssetCheckSeverity.ERROR if self.blocking else dg.AssetCheckSeverity.WARN
        return dg.AssetCheckResult(passed=passed, asset_key=asset, check_name=check.name, metadata=metadata, severity=severity)


def drift_of(report: "StreamReport") -> Drifted:
    """The drift of a sync."""
    return {kind.name: list(getattr(report.drift, kind.name)) for kind in fields(report.drift)}


def drift_of_last(stream: Stream, last: dg.AssetMaterialization | None) -> Drifted:
    """The same from the last materialisation, of the kinds that no stored row shows."""
    unseen = {"type_changes", *(() if stream.keeps_unknown else (queries.UNKNOWN_FIELDS,))}
    paths: dict[str, list[str]] = {}
    for one in getattr(last.metadata.get("drift") if last is not None else None, "records", ()):
        if (kind := str(one.data["finding"]).replace(" ", "_")) in unseen:
            paths.setdefault(kind, []).append(str(one.data["field"]))
    return paths


def _meaning(relation: AddsUp | NetAndTax | Counts | KnownValues) -> str:
    if isinstance(relation, KnownValues):
        return f"Each {relation.column} is one that this version knows. {relation.otherwise}"
    if isinstance(relation, AddsUp):
        return (
            f"The rows of each record add up exactly to the record in {relation.whole}, in every currency, where Pleo served all amounts."
        )
    if isinstance(relation, NetAndTax):
        return "Each line is its net amount plus its tax (under reverse charge also its net amount alone), in every currency."
    return f"Each ended record has as many {relation.parts} as it reports, in companies that have any."


def _for_example(names: Iterable[str]) -> dict[str, str]:
    shown = list(dict.fromkeys(names))[:SHOWN]
    return {"for_example": ", ".join(shown)} if shown else {}
