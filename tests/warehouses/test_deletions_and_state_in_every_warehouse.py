"""Part of the contract that every warehouse in conftest.py keeps."""

from __future__ import annotations

import uuid
from datetime import datetime, timedelta

import pandas as pd
import pytest

from pleo_connector.errors import WarehouseError
from pleo_connector.warehouses import MergeCounts, Scope, Warehouse
from tests.warehouses.rows import (
    BILLS,
    COMPANY,
    CURSORS,
    FIRST,
    LATER,
    LINES,
    OTHER_COMPANY,
    SEEN,
    TABLES,
    bill,
    frame,
    key,
    lines,
    load,
    seen,
    stored,
)


def test_a_flagged_deletion_is_counted_once_and_undone(warehouse: Warehouse) -> None:
    gone: dict[str, object] = {"_deleted_at": LATER, "_deleted_source": "api_flag"}
    load(warehouse, bill(1), children=lines((1, 1)))
    assert load(warehouse, bill(1, **gone), bill(2, **gone), children=lines((1, 1), _deleted_at=LATER)) == MergeCounts(
        inserted=1, updated=1, deleted=2
    )
    assert load(warehouse, bill(1, **gone), bill(2, **gone)) == MergeCounts(unchanged=2)
    with warehouse.transaction() as work:
        assert (work.count(BILLS), work.count(LINES), work.scalar("SELECT count(*) FROM {schema}.bills")) == (0, 0, 2)
    assert load(warehouse, bill(1), bill(2)) == MergeCounts(updated=2)
    with warehouse.transaction() as work:
        assert work.count(BILLS) == 2


def test_a_deletion_without_a_source_is_a_change_too(warehouse: Warehouse) -> None:
    load(warehouse, bill(1))
    assert load(warehouse, bill(1, _deleted_at=LATER)) == MergeCounts(updated=1, deleted=1)
    assert load(warehouse, bill(1, _deleted_at=LATER)) == MergeCounts(unchanged=1)


def test_a_deletion_at_another_time_is_no_change_even_among_changed_and_unchanged_rows(warehouse: Warehouse) -> None:
    gone: dict[str, object] = {"_deleted_source": "api_flag"}
    first = [bill(number) for number in range(1, 5)]
    load(warehouse, *first, bill(5, _deleted_at=FIRST, **gone), bill(6), children=lines(*((number, 2) for number in range(1, 7))))
    served = [*first, bill(5, _deleted_at=LATER, **gone), bill(6, note="new", _row_hash="new"), bill(7)]
    children = lines(*((number, 3) for number in range(1, 8)), text="new")
    assert load(warehouse, *served, children=children) == MergeCounts(inserted=1, updated=1, unchanged=5)
    found = stored(warehouse)
    assert [(row["id"], row["note"], row["_deleted_at"]) for row in found] == [
        (row["id"], row["note"], FIRST if row["id"] == key(5) else None) for row in served
    ]
    texts = [(row["bill_id"], row["text"]) for row in stored(warehouse, LINES)]
    assert texts == [
        (key(number), f"{text} {position}")
        for number in range(1, 8)
        for text, many in [("new", 3) if number > 5 else ("line", 2)]
        for position in range(1, many + 1)
    ]


def test_rows_that_a_sweep_did_not_see_become_tombstones_and_come_back(warehouse: Warehouse) -> None:
    rows = [
        bill(1), bill(2), bill(3, performed_at=LATER), bill(4, company_id=OTHER_COMPANY),
        bill(5, _deleted_at=FIRST, _deleted_source="api_flag"), bill(6, performed_at=None),
    ]  # fmt: skip
    load(warehouse, *rows, children=lines((1, 2), (2, 2), (3, 1), (4, 1)))
    scope = Scope(COMPANY, "performed_at", FIRST, LATER)
    with warehouse.transaction() as work:
        work.upsert(SEEN, pd.concat([seen("a", 1), seen("a", 2, stream="others"), seen("elsewhere", 2)]))
        assert work.absent(BILLS, scope, ["a"]) == (2, 1)
        assert work.absent(BILLS, scope, ["a", "elsewhere"]) == (2, 0)
        assert work.absent(BILLS, Scope(COMPANY), ["a"]) == (4, 3)
        assert work.absent(BILLS, Scope(), ["a"]) == (5, 4)
        assert work.tombstone(TABLES, scope, ["a"], LATER) == 1
        assert work.tombstone(TABLES, scope, ["a"], LATER + timedelta(days=1)) == 0
    marked = [(row["id"], row["_deleted_at"], row["_deleted_source"], row["_synced_at"]) for row in stored(warehouse)]
    assert marked == [
        (key(1), None, None, FIRST), (key(2), LATER, "sweep_absent", LATER), (key(3), None, None, FIRST),
        (key(4), None, None, FIRST), (key(5), FIRST, "api_flag", FIRST), (key(6), None, None, FIRST),
    ]  # fmt: skip
    children = [(row["bill_id"], row["_deleted_at"], row["_deleted_source"], row["_synced_at"]) for row in stored(warehouse, LINES)]
    assert children == [
        *[(key(1), None, None, FIRST)] * 2, *[(key(2), LATER, "sweep_absent", LATER)] * 2,
        (key(3), None, None, FIRST), (key(4), None, None, FIRST),
    ]  # fmt: skip
    assert load(warehouse, *rows, children=lines((1, 2), (2, 2), (3, 1), (4, 1))) == MergeCounts(updated=1, unchanged=5)
    with warehouse.transaction() as work:
        assert (work.count(BILLS), work.count(LINES)) == (5, 6)


def test_absence_needs_a_sweep_and_a_time_with_its_zone(warehouse: Warehouse) -> None:
    load(warehouse, bill(1))
    with warehouse.transaction() as work, pytest.raises(ValueError, match="without a sweep"):
        work.absent(BILLS, Scope(), [])
    with warehouse.transaction() as work, pytest.raises(ValueError, match="zone"):
        work.tombstone(TABLES, Scope(), ["a"], datetime(2026, 1, 1))  # noqa: DTZ001 - the point


def test_state_is_replaced_by_key_read_and_deleted(warehouse: Warehouse) -> None:
    def cursors(*rows: tuple[str, str, str]) -> pd.DataFrame:
        return frame(CURSORS, [{"stream": stream, "window": window, "cursor": cursor} for stream, window, cursor in rows])

    with warehouse.transaction() as work:
        work.upsert(CURSORS, cursors(("bills", "2026-01", "A"), ("bills", "2026-02", "B"), ("tags", "", "C")))
        work.upsert(CURSORS, cursors(("bills", "2026-02", "B2"), ("tags", "it's", "D")))
        assert {row["cursor"] for row in work.read(CURSORS, ["cursor"], stream="bills").to_pylist()} == {"A", "B2"}
        assert work.read(CURSORS, stream="tags", window="it's").to_pylist() == [{"stream": "tags", "window": "it's", "cursor": "D"}]
        assert work.delete(CURSORS, stream="bills", window="2026-01") == 1
        assert work.delete(CURSORS, stream="nobody") == 0
        with pytest.raises(WarehouseError, match="more than once"):
            work.upsert(CURSORS, cursors(("x", "y", "1"), ("x", "y", "2")))
        with pytest.raises(ValueError, match="no column 'colour'"):
            work.read(CURSORS, colour="red")
        with pytest.raises(ValueError, match="at least one column"):
            work.delete(CURSORS)
        assert work.count(CURSORS) == 3
    assert {row["cursor"] for row in stored(warehouse, CURSORS)} == {"B2", "C", "D"}


def test_reading_by_key_null_and_time(warehouse: Warehouse) -> None:
    load(warehouse, bill(1), bill(2, note=None, performed_at=LATER))
    with warehouse.transaction() as work:
        assert work.read(BILLS, ["id"], id=key(1))["id"].to_pylist() == [key(1)]
        assert work.read(BILLS, ["id"], id=uuid.UUID(key(1)))["id"].to_pylist() == [key(1)]
        assert work.read(BILLS, ["id"], note=None)["id"].to_pylist() == [key(2)]
        assert work.read(BILLS, ["id"], performed_at=LATER)["id"].to_pylist() == [key(2)]
        assert work.read(BILLS, ["id"], id=[]).num_rows == 0
        assert work.read(BILLS, ["id"], id=[key(1), key(7)], note=[None, "x", bill(1)["note"]])["id"].to_pylist() == [key(1)]
        assert work.scalar("SELECT id FROM {schema}.bills WHERE false") is None
        assert work.delete(BILLS, id=[key(1), key(2), key(3)], company_id=COMPANY) == 2


def test_scalar_only_reads(warehouse: Warehouse) -> None:
    load(warehouse, bill(1))
    with warehouse.transaction() as work:
        for sql in ("DELETE FROM {schema}.bills", "SELECT 1; DELETE FROM {schema}.bills", "DROP TABLE {schema}.bills"):
            with pytest.raises(ValueError, match="one SELECT"):
                work.scalar(sql)
        assert work.count(BILLS) == 1
