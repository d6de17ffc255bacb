"""Asset checks that follow from the catalogue: keys, rows accounted for, splits that add up.

Each warns and never stops anything, unless the definitions were built with `blocking_checks=True`. Metadata names
failing rows by key, at most ten; never by content.
"""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import dagster as dg

from pleo_connector.catalogue import Table
from pleo_connector.warehouses import Transaction

if TYPE_CHECKING:  # declaring checks needs nothing that reads or loads
    from pleo_connector.sync import StreamReport

KEY = "key_unique_and_present"
ROWS = "rows_accounted_for"
SPLITS = "splits_sum_to_entry"

SHOWN = 10
"""Failing rows that are named."""

ADD_UP = {"accounting_entry_splits": ("transaction_value", "total_bill_value")}
"""Child tables whose money must sum to the parent's, with the money columns that both have."""


def check_names(table: Table) -> Iterator[str]:
    """The checks of a table."""
    yield KEY
    if table.parent is None:
        yield ROWS
    if table.name in ADD_UP:
        yield SPLITS


def check_specs(table: Table, key: dg.AssetKey, *, blocking: bool) -> list[dg.AssetCheckSpec]:
    """Their declarations, on the asset `key`."""
    described = {
        KEY: f"Every row of {table.name} has its key ({', '.join(table.key)}), and no two rows share one.",
        ROWS: "Every record that Pleo served was inserted, updated, found unchanged, met twice, or set aside with a reason.",
        SPLITS: "The parts of each split entry sum to the entry, in payment currency and in company currency.",
    }
    return [dg.AssetCheckSpec(name, asset=key, description=described[name], blocking=blocking) for name in check_names(table)]


class Checker:
    """Evaluates checks; failures have this severity."""

    def __init__(self, *, blocking: bool) -> None:
        self._severity = dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN

    def key(self, transaction: Transaction, table: Table, asset: dg.AssetKey) -> dg.AssetCheckResult:
        """Whether keys are present and unique, over all rows, deleted ones included."""
        columns = ", ".join(f'"{name}"' for name in table.key)
        missing = " OR ".join(f'"{name}" IS NULL' for name in table.key)
        shown = " || ' / ' || ".join(f'CAST("{name}" AS VARCHAR)' for name in table.key)
        relation = _relation(table)
        nulls = _number(transaction, f"SELECT count(*) FROM {relation} WHERE {missing}")
        twice = f"SELECT {shown} AS shown FROM {relation} WHERE NOT ({missing}) GROUP BY {columns} HAVING count(*) > 1"
        doubles = _number(transaction, f"SELECT count(*) FROM ({twice}) AS doubles")
        metadata: dict[str, int | str] = {"rows_without_key": nulls, "keys_more_than_once": doubles}
        if doubles:
            metadata["for_example"] = _shown(transaction, twice)
        return self._result(KEY, asset, passed=not nulls and not doubles, metadata=metadata)

    def rows(self, report: "StreamReport", asset: dg.AssetKey) -> dg.AssetCheckResult:
        """Whether served rows equal those loaded, unchanged, quarantined and duplicate, in this run."""
        parts = {
            "rows_inserted": report.inserted,
            "rows_updated": report.updated,
            "rows_unchanged": report.unchanged,
            "rows_quarantined": report.quarantined,
            "rows_duplicate": report.duplicates,
        }
        lost = report.served - sum(parts.values())
        return self._result(ROWS, asset, passed=lost == 0, metadata={"rows_served": report.served, **parts, "rows_unaccounted_for": lost})

    def rows_of_last_sync(self, last: dg.AssetMaterialization | None, asset: dg.AssetKey) -> dg.AssetCheckResult:
        """The same from the metadata of the last materialisation, for a check that is run without a sync."""
        if last is None or "rows_served" not in last.metadata:
            return self._result(ROWS, asset, passed=False, metadata={"reason": "This table was not synced by Dagster yet."})
        names = ("rows_served", "rows_inserted", "rows_updated", "rows_unchanged", "rows_quarantined", "rows_duplicate")
        served, *parts = (int(str(last.metadata[name].value)) for name in names)
        metadata = dict(zip(names, (served, *parts), strict=True)) | {"rows_unaccounted_for": served - sum(parts)}
        return self._result(ROWS, asset, passed=served == sum(parts), metadata=metadata)

    def splits(self, transaction: Transaction, table: Table, asset: dg.AssetKey) -> dg.AssetCheckResult:
        """Whether the live parts of each live entry sum to it; an amount that Pleo left out on either side is not compared."""
        wrong = _unequal_sums(table)
        failing = _number(transaction, f"SELECT count(*) FROM ({wrong}) AS failing")
        metadata: dict[str, int | str] = {"entries_that_differ": failing}
        if failing:
            metadata["for_example"] = _shown(transaction, wrong)
        return self._result(SPLITS, asset, passed=not failing, metadata=metadata)

    def _result(self, name: str, asset: dg.AssetKey, *, passed: bool, metadata: Mapping[str, int | str]) -> dg.AssetCheckResult:
        return dg.AssetCheckResult(passed=passed, asset_key=asset, check_name=name, metadata=metadata, severity=self._severity)


def _unequal_sums(table: Table) -> str:
    """A query for the keys of parents whose live parts do not sum to them; minor units, so exact."""
    differs, grouped = [], []
    for money in ADD_UP[table.name]:
        minors, currency = f"{money}_minors", f"{money}_currency"
        grouped += [f"parent.{minors}", f"parent.{currency}"]
        differs.append(
            f"(parent.{minors} IS NOT NULL AND count(part.{minors}) = count(*) AND (sum(part.{minors}) <> parent.{minors} "
            f"OR min(part.{currency}) <> parent.{currency} OR max(part.{currency}) <> parent.{currency}))"
        )
    return (
        f"SELECT CAST(parent.id AS VARCHAR) AS shown FROM {{schema}}.{table.parent} AS parent "
        f"JOIN {_relation(table)} AS part ON part.{table.parent_key[0]} = parent.id "
        "WHERE parent._deleted_at IS NULL AND part._deleted_at IS NULL "
        f"GROUP BY parent.id, {', '.join(grouped)} HAVING {' OR '.join(differs)}"
    )


def _relation(table: Table) -> str:
    return f'{{schema}}."{table.name}"'


def _number(transaction: Transaction, sql: str) -> int:
    return int(str(transaction.scalar(sql)))


def _shown(transaction: Transaction, sql: str) -> str:
    return str(
        transaction.scalar(
            f"SELECT string_agg(shown, ', ') FROM (SELECT shown FROM ({sql}) AS failing ORDER BY shown LIMIT {SHOWN}) AS few"
        )
    )
