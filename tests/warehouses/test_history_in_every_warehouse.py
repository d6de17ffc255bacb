"""Part of the contract that every warehouse in conftest.py keeps: versions of rows."""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest

from pleo_connector.catalogue import Field, Storage, Table, history_of, known_view
from pleo_connector.warehouses import MergeCounts, Scope, Transaction, Warehouse, open_warehouse
from tests.warehouses.rows import BILLS, LINES, SEEN, bill, frame, key, lines, seen, stored

CHANGING = Table("bills", BILLS.description, (*BILLS.fields, Field("updated_at", Storage.TIMESTAMP, "Last change.")), ("id",), "bills")
TABLES = [CHANGING, LINES]
VERSIONS, LINE_VERSIONS = history_of(CHANGING), history_of(LINES)


def day(number: int, hour: int = 12) -> datetime:
    return datetime(2026, 1, number, hour, tzinfo=UTC)


@pytest.fixture
def kept(warehouse: Warehouse) -> Warehouse:
    """A warehouse that keeps the history of bills and their lines."""
    switch_on(warehouse)
    return warehouse


def switch_on(warehouse: Warehouse) -> None:
    with warehouse.transaction() as work:
        work.ensure(TABLES)
        work.keep_history(TABLES)


def write(
    work: Transaction, at: datetime, *rows: dict[str, object], children: Iterable[tuple[int, int]] = (), history: bool = True
) -> MergeCounts:
    """Merge bills that were served at a moment."""
    served = frame(CHANGING, [row | {"_synced_at": at} for row in rows])
    deleted: dict[object, dict[str, Any]] = {
        row["id"]: {name: row.get(name) for name in ("_deleted_at", "_deleted_source")} for row in rows
    }
    of = [lines((number, many), _synced_at=at, **deleted[key(number)]) for number, many in children]
    return work.merge(TABLES, {"bills": served, "bill_lines": pd.concat([lines(), *of])}, history=history)


def load(
    warehouse: Warehouse, at: datetime, *rows: dict[str, object], children: Iterable[tuple[int, int]] = (), history: bool = True
) -> MergeCounts:
    with warehouse.transaction() as work:
        return write(work, at, *rows, children=children, history=history)


def sweep(warehouse: Warehouse, at: datetime, *present: int) -> None:
    """End a complete sweep that met these bills."""
    with warehouse.transaction() as work:
        work.upsert(SEEN, seen(str(at), *present))
        work.tombstone(TABLES, Scope(), [str(at)], at, history=True)


def versions(warehouse: Warehouse, number: int) -> list[tuple[object, ...]]:
    """(valid from, observed, note, deleted) of each version of a bill, oldest first."""
    return [
        (row["valid_from"], row["observed_at"], row["note"], row["_deleted_source"])
        for row in sorted(stored(warehouse, VERSIONS), key=lambda row: row["observed_at"])  # type: ignore[arg-type,return-value]
        if row["id"] == key(number)
    ]


def test_each_change_is_a_version_with_both_its_times(kept: Warehouse) -> None:
    load(kept, day(5), bill(1, note="a", updated_at=day(2)), bill(2, note="x", updated_at=day(3)))
    load(kept, day(7), bill(1, note="b", updated_at=day(6), _row_hash="b"), bill(2, note="x", updated_at=day(3)))
    assert versions(kept, 1) == [(day(2), day(5), "a", None), (day(6), day(7), "b", None)]
    assert versions(kept, 2) == [(day(3), day(5), "x", None)]


def test_a_time_that_pleo_does_not_say_or_did_not_move_is_when_the_change_was_seen(kept: Warehouse) -> None:
    load(kept, day(5), bill(1, updated_at=None, note="a"), bill(2, updated_at=day(2), note="a"), bill(3, updated_at=day(9), note="a"))
    load(kept, day(7), *(bill(n, updated_at=day(2), note="b", _row_hash="b") for n in (1, 2, 3)))
    assert versions(kept, 1) == [(day(5), day(5), "a", None), (day(7), day(7), "b", None)]
    assert versions(kept, 2) == [(day(2), day(5), "a", None), (day(7), day(7), "b", None)]
    assert versions(kept, 3) == [(day(5), day(5), "a", None), (day(7), day(7), "b", None)]  # a clock that is ahead of ours


def test_a_clock_that_was_set_back_does_not_turn_versions_around(kept: Warehouse) -> None:
    load(kept, day(7), bill(1, note="a"))
    load(kept, day(6), bill(1, note="b", _row_hash="b"))
    (first, second) = versions(kept, 1)
    assert (first[2], second[2]) == ("a", "b")
    assert second[1] == day(7) + timedelta(microseconds=1)


def test_a_page_that_is_loaded_again_adds_nothing(kept: Warehouse) -> None:
    page = bill(1, updated_at=day(2)), bill(2, updated_at=day(3))
    load(kept, day(5), *page, children=[(1, 2)])
    before = stored(kept, VERSIONS), stored(kept, LINE_VERSIONS)
    assert load(kept, day(6), *page, children=[(1, 2)]) == MergeCounts(unchanged=2)
    switch_on(kept)
    assert (stored(kept, VERSIONS), stored(kept, LINE_VERSIONS)) == before
    assert [len(rows) for rows in before] == [2, 2]


def test_a_load_that_fails_leaves_no_version(kept: Warehouse) -> None:
    load(kept, day(5), bill(1), children=[(1, 1)])
    with pytest.raises(KeyError, match="stop"), kept.transaction() as work:  # noqa: PT012 - all of it must be undone
        write(work, day(6), bill(1, _row_hash="b"), bill(2), children=[(1, 2)])
        raise KeyError("stop")
    assert (len(stored(kept, VERSIONS)), len(stored(kept, LINE_VERSIONS))) == (1, 1)


def test_deletions_are_versions_and_so_is_coming_back(kept: Warehouse) -> None:
    load(kept, day(5), bill(1, note="a", updated_at=day(2)), bill(2, note="a", updated_at=day(2)), children=[(2, 2)])
    load(kept, day(7), bill(1, note="a", updated_at=day(2), _deleted_at=day(6), _deleted_source="api_flag"))
    sweep(kept, day(8), 1)
    sweep(kept, day(9), 1)
    load(kept, day(10), bill(2, note="a", updated_at=day(2)), children=[(2, 2)])
    assert versions(kept, 1) == [(day(2), day(5), "a", None), (day(6), day(7), "a", "api_flag")]
    assert versions(kept, 2) == [
        (day(2), day(5), "a", None), (day(8), day(8), "a", "sweep_absent"), (day(10), day(10), "a", None),
    ]  # fmt: skip
    assert sorted((row["observed_at"], row["position"], row["_deleted_source"]) for row in stored(kept, LINE_VERSIONS)) == [
        (day(5), 1, None), (day(5), 2, None), (day(8), 1, "sweep_absent"), (day(8), 2, "sweep_absent"), (day(10), 1, None), (day(10), 2, None),
    ]  # fmt: skip


def test_a_version_carries_its_children_even_none(kept: Warehouse) -> None:
    load(kept, day(5), bill(1, updated_at=day(2)), bill(2), children=[(1, 2), (2, 1)])
    load(kept, day(7), bill(1, updated_at=day(6), _row_hash="b"), bill(2), children=[(2, 1)])
    load(kept, day(8), bill(1, updated_at=day(8), _row_hash="c"), children=[(1, 1)])
    found = [(row["valid_from"], row["observed_at"], row["position"]) for row in stored(kept, LINE_VERSIONS) if row["bill_id"] == key(1)]
    assert sorted(found) == [(day(2), day(5), 1), (day(2), day(5), 2), (day(8), day(8), 1)]


def test_switched_on_later_it_starts_with_the_present_rows_and_gaps_are_caught_up(warehouse: Warehouse) -> None:
    with warehouse.transaction() as work:
        work.ensure(TABLES)
    load(warehouse, day(5), bill(1, note="a", updated_at=day(2)), bill(2, note="a"), children=[(1, 2)], history=False)
    switch_on(warehouse)
    assert versions(warehouse, 1) == [(day(2), day(5), "a", None)]
    assert [row["observed_at"] for row in stored(warehouse, LINE_VERSIONS)] == [day(5)] * 2
    load(warehouse, day(6), bill(1, note="b", updated_at=day(6), _row_hash="b"), children=[(1, 1)], history=False)
    switch_on(warehouse)
    switch_on(warehouse)
    assert versions(warehouse, 1) == [(day(2), day(5), "a", None), (day(6), day(6), "b", None)]
    assert versions(warehouse, 2) == [(day(5), day(5), "a", None)]
    assert len(stored(warehouse, LINE_VERSIONS)) == 3


def test_what_was_known_on_closing_day_is_one_query(kept: Warehouse) -> None:
    load(kept, day(5), bill(1, note="a", amount_minors=100, updated_at=day(2)), bill(2, note="x", amount_minors=10), children=[(1, 2)])
    load(kept, day(12), bill(1, note="b", amount_minors=300, updated_at=day(9), _row_hash="b"), children=[(1, 3)])
    sweep(kept, day(14), 1)
    load(kept, day(20), bill(3, amount_minors=1000, updated_at=day(4)))

    def known(on: int, view: str, what: str) -> object:
        moment = f"CAST('2026-01-{on:02} 23:59:59+00' AS TIMESTAMPTZ)"
        with kept.transaction() as work:
            return work.scalar(
                f"SELECT CAST({what} AS BIGINT) FROM {{schema}}.{view} WHERE observed_at <= {moment} "
                f"AND (observed_until IS NULL OR observed_until > {moment}) AND _deleted_at IS NULL"
            )

    bills_known, lines_known = known_view(CHANGING), known_view(LINES)
    total = "sum(amount_minors)"
    assert [known(on, bills_known, total) for on in (4, 5, 11, 12, 14, 20)] == [None, 110, 110, 310, 300, 1300]
    assert [known(on, lines_known, "count(*)") for on in (4, 5, 11, 12, 14, 20)] == [0, 2, 2, 3, 3, 3]
    with kept.transaction() as work:
        assert work.scalar(f"SELECT valid_to FROM {{schema}}.{bills_known} WHERE note = 'a'") == day(9)
        assert work.scalar(f"SELECT count(*) FROM {{schema}}.{bills_known} WHERE observed_until IS NULL") == 3


def test_a_new_column_reaches_the_history_and_its_view(kept: Warehouse) -> None:
    load(kept, day(5), bill(1))
    wider = Table("bills", "Wider.", (CHANGING.fields[0], Field("reason", Storage.TEXT, "Why."), *CHANGING.fields[1:]), ("id",), "bills")
    with kept.transaction() as work:
        work.ensure([wider, LINES])
        work.keep_history([wider, LINES])
        served = frame(wider, [bill(1, reason="lunch", _row_hash="b", _synced_at=day(6))])
        work.merge([wider, LINES], {"bills": served, "bill_lines": lines()}, history=True)
        view = known_view(wider)
        assert work.scalar(f"SELECT reason FROM {{schema}}.{view} WHERE observed_until IS NULL") == "lunch"
        assert work.scalar(f"SELECT count(*) FROM {{schema}}.{view} WHERE reason IS NULL") == 1


def test_a_duckdb_file_may_bear_the_name_of_its_schema(tmp_path: Path) -> None:
    file = tmp_path / "books.duckdb"
    warehouse = open_warehouse(f"duckdb:///{file}", "books")
    switch_on(warehouse)
    load(warehouse, day(5), bill(1, note="first"), children=[(1, 2)])
    load(warehouse, day(6), bill(1, note="second", _row_hash="b"), children=[(1, 1)])
    shutil.copy(file, tmp_path / "copy.duckdb")
    for name in ("books", "copy"):
        with duckdb.connect(str(tmp_path / f"{name}.duckdb"), read_only=True) as reader:
            assert reader.execute(f"SELECT count(*) FROM {name}.books.{known_view(CHANGING)}").fetchall() == [(2,)]
            assert reader.execute(f"SELECT count(*) FROM {name}.books.{known_view(LINES)}").fetchall() == [(3,)]
