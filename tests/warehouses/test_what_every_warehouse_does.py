"""Part of the contract that every warehouse in conftest.py keeps."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pytest

from pleo_connector.catalogue import CATALOGUE, SYSTEM_FIELDS, Field, Storage, Table
from pleo_connector.warehouses import MergeCounts, Scope, Warehouse, open_warehouse
from tests.warehouses.descriptions import described
from tests.warehouses.rows import (
    BILLS,
    FIRST,
    LATER,
    LINES,
    SEEN,
    TABLES,
    bill,
    bills,
    frame,
    key,
    lines,
    load,
    seen,
    stored,
)


def test_every_value_comes_back_exactly(warehouse: Warehouse) -> None:
    row = bill(1, _extra='{"colour": "blå"}')
    assert load(warehouse, row, bill(2, **dict.fromkeys(set(BILLS.column_names) - {"id", "_row_hash", "_synced_at"}))) == MergeCounts(
        inserted=2
    )
    full, empty = stored(warehouse)
    assert full == row | {"_deleted_at": None, "_deleted_source": None}
    assert full["amount"] == Decimal("9999999999999999999999999999999998.9999")
    assert full["amount_minors"] == 9_223_372_036_854_775_806
    assert full["performed_at"] == datetime(2026, 1, 31, 23, 59, 59, 999_999, tzinfo=UTC)
    assert full["due_on"] == date(2026, 2, 28)
    assert {name for name, value in empty.items() if value is not None} == {"id", "_row_hash", "_synced_at"}


def test_types_read_back_are_the_declared_ones(warehouse: Warehouse) -> None:
    load(warehouse, bill(1))
    with warehouse.transaction() as work:
        rows = work.read(BILLS, ["performed_at", "amount", "rate", "details", "id", "due_on"])
    assert rows.schema.types == [
        pa.timestamp("us", tz="UTC"), pa.decimal128(38, 4), pa.decimal128(18, 9), pa.string(), pa.string(), pa.date32(),
    ]  # fmt: skip


def test_times_are_utc_whatever_the_frame_says(warehouse: Warehouse) -> None:
    rows = bills(bill(1))
    rows["performed_at"] = pd.Series([pd.Timestamp("2026-02-01T00:59:59.999999+01:00")])
    with warehouse.transaction() as work:
        work.merge(TABLES, {"bills": rows, "bill_lines": lines()})
    assert stored(warehouse)[0]["performed_at"] == FIRST
    with warehouse.transaction() as work:
        moment = work.scalar("SELECT performed_at FROM {schema}.bills")
    assert moment == FIRST
    assert isinstance(moment, datetime)
    assert moment.utcoffset() == timedelta(0)


def test_the_same_rows_again_write_nothing(warehouse: Warehouse) -> None:
    load(warehouse, bill(1), bill(2), children=lines((1, 2), (2, 1)))
    before = stored(warehouse), stored(warehouse, LINES)
    again = load(warehouse, bill(1, _synced_at=LATER), bill(2, _synced_at=LATER), children=lines((1, 2), (2, 1), _synced_at=LATER))
    assert again == MergeCounts(unchanged=2)
    assert (stored(warehouse), stored(warehouse, LINES)) == before


def test_only_changed_rows_are_written(warehouse: Warehouse) -> None:
    load(warehouse, bill(1), bill(2), children=lines((1, 2), (2, 2)))
    later = {"_synced_at": LATER, "_sweep_id": "sweep-2"}
    counts = load(
        warehouse, bill(1, **later), bill(2, note="new", _row_hash="new", **later), bill(3, **later),
        children=lines((1, 2), (2, 1), (3, 1), text="later", _synced_at=LATER),
    )  # fmt: skip
    assert counts == MergeCounts(inserted=1, updated=1, unchanged=1)
    assert [(row["note"] == "new", row["_synced_at"], row["_sweep_id"]) for row in stored(warehouse)] == [
        (False, FIRST, "sweep-1"), (True, LATER, "sweep-2"), (False, LATER, "sweep-2"),
    ]  # fmt: skip
    assert [(row["bill_id"], row["position"], row["text"]) for row in stored(warehouse, LINES)] == [
        (key(1), 1, "line 1"), (key(1), 2, "line 2"), (key(2), 1, "later 1"), (key(3), 1, "later 1"),
    ]  # fmt: skip


def test_children_are_replaced_with_their_parent_even_by_none(warehouse: Warehouse) -> None:
    load(warehouse, bill(1), bill(2), children=lines((1, 3), (2, 1)))
    load(warehouse, bill(1, _row_hash="new"))
    assert [row["bill_id"] for row in stored(warehouse, LINES)] == [key(2)]


def test_bytes_are_kept_as_they_are(url: str) -> None:
    blobs = Table("blobs", "Bytes.", (Field("id", Storage.TEXT, "Key."), Field("content", Storage.BYTES, "Bytes.")), ("id",), "blobs")
    every = bytes(range(256))
    contents = {"every": every, "none": b"", "null": None, "long": every * 20_000}
    warehouse = open_warehouse(url, "spend")
    for _ in range(2):
        with warehouse.transaction() as work:
            work.ensure([blobs])
            work.upsert(blobs, frame(blobs, [{"id": name, "content": content} for name, content in contents.items()]))
    with warehouse.transaction() as work:
        rows = work.read(blobs)
        assert rows.schema.field("content").type == pa.binary()
        assert {row["id"]: row["content"] for row in rows.to_pylist()} == contents
        assert work.read(blobs, ["id"], content=every).to_pylist() == [{"id": "every"}]
        assert work.delete(blobs, content=every) == 1


def test_plain_pandas_columns_load_too(warehouse: Warehouse) -> None:
    rows = pd.DataFrame([bill(1, note=None), bill(2)]).reindex(columns=BILLS.column_names)
    with warehouse.transaction() as work:
        work.merge(TABLES, {"bills": rows, "bill_lines": lines()})
    assert stored(warehouse) == [
        bill(n, **gone) | (dict.fromkeys(["_deleted_at", "_deleted_source", "_extra"])) for n, gone in ((1, {"note": None}), (2, {}))
    ]


def test_lists_come_back_whole_and_in_order(warehouse: Warehouse) -> None:
    listed = '[3, 1, 2, [], [null, "æ"], 0.10]'
    load(warehouse, bill(1, details=listed), bill(2, details="[]"), children=lines((1, 12), (2, 1)))
    assert [json.loads(str(row["details"])) for row in stored(warehouse)] == [[3, 1, 2, [], [None, "æ"], 0.1], []]
    with warehouse.transaction() as work:
        mine = work.read(LINES, ["position", "text"], bill_id=key(1)).to_pylist()
    assert sorted((row["position"], row["text"]) for row in mine) == [(place, f"line {place}") for place in range(1, 13)]


def test_an_empty_load_is_a_load(warehouse: Warehouse) -> None:
    assert load(warehouse) == MergeCounts()
    with warehouse.transaction() as work:
        work.upsert(SEEN, seen("a"))
        assert work.count(SEEN) == 0


def test_a_new_column_is_added_and_old_rows_have_null_in_it(warehouse: Warehouse) -> None:
    load(warehouse, bill(1))
    wider = Table("bills", "What was billed, and why.", (*BILLS.fields, Field("reason", Storage.TEXT, "Why; it's new.")), ("id",), "bills")
    with warehouse.transaction() as work:
        work.ensure([wider])
        work.ensure([wider])
        work.merge([wider], {"bills": frame(wider, [bill(1), bill(2, reason="lunch")])})
        assert work.read(wider, ["reason", "_synced_at"], id=key(1)).to_pylist() == [{"reason": None, "_synced_at": FIRST}]
        assert work.read(wider, ["reason"], id=key(2)).to_pylist() == [{"reason": "lunch"}]
        # a connector that knows fewer columns still loads
        work.ensure([BILLS])
        assert work.merge(TABLES, {"bills": bills(bill(3)), "bill_lines": lines()}).inserted == 1


def test_odd_names_are_only_names(url: str) -> None:
    odd = Table(
        'select "from"; DROP',
        "Isn't it odd? \N{PILE OF POO}\n-- \\ ; $1 {schema}",
        (
            Field("order", Storage.UUID, "Key; it's reserved."),
            Field("group", Storage.TEXT, ""),
            Field('a "quoted" name', Storage.TEXT, "Quoted."),
            Field("æøå ß.x", Storage.BIGINT, "Letters."),
            *SYSTEM_FIELDS,
        ),
        ("order",),
        "odd's",
    )
    child = Table(
        "table",
        "Child.",
        (Field("user", Storage.UUID, "Parent."), Field("position", Storage.BIGINT, "Place."), *SYSTEM_FIELDS),
        ("user", "position"),
        "odd's",
        parent=odd.name,
        parent_key=("user",),
    )
    for schema in ('order "1"', "select", "pleo", "main", "Mixed Case; --"):
        warehouse = open_warehouse(url, schema)
        rows = {
            odd.name: frame(odd, [{"order": key(1), "group": "x", 'a "quoted" name': "'", "æøå ß.x": 7, "_row_hash": "h"}]),
            child.name: frame(child, [{"user": key(1), "position": 1, "_row_hash": "h"}]),
        }
        for expected in (MergeCounts(inserted=1), MergeCounts(unchanged=1)):
            with warehouse.transaction() as work:
                work.ensure([odd, child, SEEN])
                assert work.merge([odd, child], rows) == expected
        with warehouse.transaction() as work:
            assert work.tombstone([odd, child], Scope(), ["none"], LATER) == 1
            assert (work.count(odd), work.count(child)) == (0, 0)
            assert work.scalar('SELECT "æøå ß.x" FROM {schema}."select ""from""; DROP"') == 7
            assert work.scalar(f"SELECT count(*) FROM {warehouse.relation(odd)}") == 1


def test_the_relation_is_what_an_analyst_writes(url: str) -> None:
    for schema in ("spend", "pleo", "order", 'we"ird', "Upper"):
        warehouse = open_warehouse(url, schema)
        with warehouse.transaction() as work:
            work.ensure([BILLS])
            assert work.scalar(f"SELECT count(*) FROM {warehouse.relation(BILLS)}") == 0
    assert open_warehouse(url, "spend").relation(BILLS) == "spend.bills"


def test_tables_and_columns_say_what_they_hold(warehouse: Warehouse) -> None:
    renamed = replace(BILLS, description="Bills' new \\ words.", fields=(replace(BILLS.fields[0], description="Ключ."), *BILLS.fields[1:]))
    for table in (BILLS, LINES, renamed):
        with warehouse.transaction() as work:
            work.ensure([table])
        assert described(warehouse, "spend", table) == (table.description, {field.name: field.description for field in table.fields})


def test_the_whole_catalogue_can_be_made_twice(url: str) -> None:
    warehouse = open_warehouse(url, "pleo")
    for _ in range(2):
        with warehouse.transaction() as work:
            work.ensure(CATALOGUE.tables())
            assert work.counts(CATALOGUE.tables()) == {table.name: 0 for table in CATALOGUE.tables()}
            assert work.counts([]) == {}


@pytest.mark.parametrize("many", [200_000, pytest.param(1_000_000, marks=[pytest.mark.slow, pytest.mark.timeout(300)])])
def test_a_million_rows_load_and_only_the_changed_are_written_again(warehouse: Warehouse, many: int) -> None:
    ids = pa.array([key(number) for number in range(many)])
    one = bills(bill(0))
    rows = one.loc[one.index.repeat(many)].reset_index(drop=True)
    rows["id"] = pd.Series(ids, dtype=pd.ArrowDtype(pa.string()))
    children = lines((0, 1)).loc[lambda it: it.index.repeat(many)].reset_index(drop=True)
    children["bill_id"] = rows["id"]
    with warehouse.transaction() as work:
        assert work.merge(TABLES, {"bills": rows, "bill_lines": children}) == MergeCounts(inserted=many)
    rows.loc[::1000, "_row_hash"] = "changed"
    children["text"] = pd.Series(["new"] * many, dtype=pd.ArrowDtype(pa.string()))
    with warehouse.transaction() as work:
        assert work.merge(TABLES, {"bills": rows, "bill_lines": children}) == MergeCounts(
            updated=many // 1000, unchanged=many - many // 1000
        )
        assert work.counts(TABLES) == {"bills": many, "bill_lines": many}
        assert work.scalar("SELECT count(*) FROM {schema}.bill_lines WHERE text = 'new'") == many // 1000
        assert work.scalar("SELECT count(DISTINCT id) FROM {schema}.bills") == many
