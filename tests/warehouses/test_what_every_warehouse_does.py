from __future__ import annotations

import signal
import uuid
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal

import pandas as pd
import pyarrow as pa
import pytest

from pleo_connector.catalogue import CATALOGUE, SYSTEM_FIELDS, Field, Storage, Table
from pleo_connector.errors import WarehouseError
from pleo_connector.warehouses import MergeCounts, Scope, Warehouse, open_warehouse
from tests.warehouses.conftest import Start
from tests.warehouses.rows import BILLS, COMPANY, CURSORS, FIRST, LATER, LINES, OTHER_COMPANY, SEEN, bill, bills, frame, key, lines, seen

TABLES = [BILLS, LINES]


def load(warehouse: Warehouse, *rows: dict[str, object], children: pd.DataFrame | None = None) -> MergeCounts:
    with warehouse.transaction() as work:
        return work.merge(TABLES, {"bills": bills(*rows), "bill_lines": lines() if children is None else children})


def stored(warehouse: Warehouse, table: Table = BILLS) -> list[dict[str, object]]:
    with warehouse.transaction() as work:
        rows: list[dict[str, object]] = work.read(table).to_pylist()
    return sorted(rows, key=lambda row: [str(row[name]) for name in table.key])


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


@pytest.mark.parametrize(
    ("rows", "children", "message"),
    [
        ([bill(1), bill(2, id=None)], lines(), "1 rows for table bills lack their key"),
        ([bill(1), bill(1, note="other")], lines(), "1 keys .* more than once in one load of table bills"),
        ([bill(10), bill(10, id=key(10).upper())], lines(), "more than once"),
        ([bill(1)], lines((1, 1), (9, 2)), "2 rows of bill_lines belong to no row of bills"),
        ([bill(1)], pd.concat([lines((1, 1)), lines((1, 1))]), "more than once in one load of table bill_lines"),
        ([bill(1)], lines((1, 1), position=None), "1 rows for table bill_lines lack their key"),
        ([bill(1)], lines((1, 1), bill_id=None), "1 rows of bill_lines belong to no row of bills"),
        ([bill(1, id="not-a-uuid")], lines(), "not-a-uuid"),
        ([bill(1, details="{broken")], lines(), "(?i)json"),
    ],
)
def test_rows_that_cannot_be_told_apart_are_refused_and_nothing_stays(
    warehouse: Warehouse, rows: list[dict[str, object]], children: pd.DataFrame, message: str
) -> None:
    load(warehouse, bill(8), children=lines((8, 1)))
    with pytest.raises(WarehouseError, match=message):
        load(warehouse, bill(50), *rows, children=children)
    assert [row["id"] for row in stored(warehouse)] == [key(8)]


def test_frames_must_be_what_the_tables_declare(warehouse: Warehouse) -> None:
    with warehouse.transaction() as work:
        with pytest.raises(WarehouseError, match=r"missing, unknown or twice are \['note'\]"):
            work.merge(TABLES, {"bills": bills(bill(1)).drop(columns="note"), "bill_lines": lines()})
        with pytest.raises(WarehouseError, match="without those of bill_lines"):
            work.merge(TABLES, {"bills": bills(bill(1))})
        with pytest.raises(WarehouseError, match=r"bills, column amount: the values do not fit money"):
            work.merge(TABLES, {"bills": bills(bill(1)).assign(amount=["a lot"]), "bill_lines": lines()})
        with pytest.raises(WarehouseError, match=r"bills, column amount_minors: the values do not fit bigint"):
            work.merge(TABLES, {"bills": bills(bill(1)).assign(amount_minors=[0.5]), "bill_lines": lines()})
        # refusals before anything was written leave the transaction usable
        assert work.merge(TABLES, {"bills": bills(bill(1)), "bill_lines": lines((1, 1))}) == MergeCounts(inserted=1)
    assert len(stored(warehouse)) == 1


def test_plain_pandas_columns_load_too(warehouse: Warehouse) -> None:
    rows = pd.DataFrame([bill(1, note=None), bill(2)]).reindex(columns=BILLS.column_names)
    with warehouse.transaction() as work:
        work.merge(TABLES, {"bills": rows, "bill_lines": lines()})
    assert stored(warehouse) == [
        bill(n, **gone) | (dict.fromkeys(["_deleted_at", "_deleted_source", "_extra"])) for n, gone in ((1, {"note": None}), (2, {}))
    ]


def test_an_empty_load_is_a_load(warehouse: Warehouse) -> None:
    assert load(warehouse) == MergeCounts()
    with warehouse.transaction() as work:
        work.upsert(SEEN, seen("a"))
        assert work.count(SEEN) == 0


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
        assert work.scalar("SELECT id FROM {schema}.bills WHERE false") is None


def test_scalar_only_reads(warehouse: Warehouse) -> None:
    load(warehouse, bill(1))
    with warehouse.transaction() as work:
        for sql in ("DELETE FROM {schema}.bills", "SELECT 1; DELETE FROM {schema}.bills", "DROP TABLE {schema}.bills"):
            with pytest.raises(ValueError, match="one SELECT"):
                work.scalar(sql)
        assert work.count(BILLS) == 1


def test_rows_and_state_are_committed_together_or_not_at_all(warehouse: Warehouse) -> None:
    load(warehouse, bill(1), children=lines((1, 1)))
    before = stored(warehouse), stored(warehouse, LINES), stored(warehouse, SEEN)
    extra = Table("extra", "Never kept.", BILLS.fields, ("id",), "extra")
    with pytest.raises(KeyError, match="stop"), warehouse.transaction() as work:  # noqa: PT012 - all of it must be undone
        work.ensure([extra])
        work.merge(TABLES, {"bills": bills(bill(1, _row_hash="new"), bill(2)), "bill_lines": lines((1, 2))})
        work.upsert(SEEN, seen("a", 1, 2))
        work.delete(BILLS, id=key(1))
        raise KeyError("stop")
    assert (stored(warehouse), stored(warehouse, LINES), stored(warehouse, SEEN)) == before
    with pytest.raises(WarehouseError, match="extra"), warehouse.transaction() as work:
        work.count(extra)


def test_a_killed_writer_leaves_nothing_and_blocks_nobody(warehouse: Warehouse, url: str, start: Start) -> None:
    load(warehouse, bill(1), children=lines((1, 1)))
    before = stored(warehouse), stored(warehouse, LINES)
    process = start("hang", url)
    assert process.stdout is not None
    assert process.stdout.readline() == "inside\n"
    process.send_signal(signal.SIGKILL)
    process.wait()
    again = open_warehouse(url, "spend", wait=5)
    assert (stored(again), stored(again, LINES)) == before
    assert load(again, bill(77)) == MergeCounts(inserted=1)


def test_six_writers_at_once_all_succeed(warehouse: Warehouse, url: str, start: Start) -> None:
    writers = [start("load", url, number * 1000, 50, 4) for number in range(6)]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        out, err = writer.communicate(timeout=60)
        assert (out, writer.returncode) == ("done\n", 0), err
    with warehouse.transaction() as work:
        assert (work.count(BILLS), work.count(LINES)) == (300, 600)
        assert work.scalar("SELECT count(DISTINCT id) FROM {schema}.bills WHERE _row_hash = '3'") == 300


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


def test_a_column_of_another_type_is_refused_with_both_types(warehouse: Warehouse) -> None:
    other = Table(
        "bills",
        "What was billed.",
        tuple(Field(f.name, Storage.TEXT if f.name == "amount" else f.storage, f.description) for f in BILLS.fields),
        ("id",),
        "bills",
    )
    with (
        pytest.raises(
            WarehouseError, match=r"Column amount of table bills in .* is DECIMAL\(38,4\), and the connector needs VARCHAR; rename or drop"
        ),
        warehouse.transaction() as work,
    ):
        work.ensure([other])


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


def test_the_whole_catalogue_can_be_made_twice(url: str) -> None:
    warehouse = open_warehouse(url, "pleo")
    for _ in range(2):
        with warehouse.transaction() as work:
            work.ensure(CATALOGUE.tables())
            assert [work.count(table) for table in CATALOGUE.tables()] == [0] * len(CATALOGUE.tables())


def test_two_hundred_thousand_rows(warehouse: Warehouse) -> None:
    many = 200_000
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
        assert work.merge(TABLES, {"bills": rows, "bill_lines": children}) == MergeCounts(updated=200, unchanged=many - 200)
        assert (work.count(BILLS), work.count(LINES)) == (many, many)
        assert work.scalar("SELECT count(*) FROM {schema}.bill_lines WHERE text = 'new'") == 200
        assert work.scalar("SELECT count(DISTINCT id) FROM {schema}.bills") == many
