"""Part of the contract that every warehouse in conftest.py keeps."""

from __future__ import annotations

import signal

import pandas as pd
import pytest

from pleo_connector.catalogue import Field, Storage, Table
from pleo_connector.errors import WarehouseError
from pleo_connector.warehouses import MergeCounts, Warehouse, open_warehouse
from tests.warehouses.conftest import DIALECTS, Start
from tests.warehouses.rows import (
    BILLS,
    LINES,
    SEEN,
    TABLES,
    bill,
    bills,
    key,
    lines,
    load,
    seen,
    stored,
)


@pytest.mark.parametrize(
    ("rows", "children", "message"),
    [
        ([bill(1), bill(2, id=None)], lines(), "1 rows for table bills lack their key"),
        ([bill(1), bill(1, note="other")], lines(), "1 keys .* more than once in one load of table bills"),
        ([bill(10), bill(10, id=key(10).upper())], lines(), "more than once"),
        ([bill(1)], lines((1, 1), (9, 2)), "2 rows of bill_lines belong to no row of bills"),
        ([bill(1)], pd.concat([lines((1, 1)), lines((1, 1))]), "more than once in one load of table bill_lines"),
        ([bill(1)], lines((1, 1), position=None), "1 rows for table bill_lines lack their key"),
        ([bill(1)], lines((1, 1), bill_id=None), "1 rows for table bill_lines lack their key"),
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


@pytest.mark.slow
def test_twelve_writers_at_once_all_succeed(warehouse: Warehouse, url: str, start: Start) -> None:
    if url.startswith("iceberg://rest"):
        pytest.skip("without a lock, who loses to another writer's change of the same rows is refused and runs again")
    out, err = start("fleet", url, 12, 50, 4).communicate(timeout=400)
    assert out == "12 of 12 done\n", err
    with warehouse.transaction() as work:
        assert (work.count(BILLS), work.count(LINES)) == (600, 1200)
        assert work.scalar("SELECT count(DISTINCT id) FROM {schema}.bills WHERE _row_hash = '3'") == 600


def test_a_reader_beside_a_writer_sees_whole_loads(warehouse: Warehouse, url: str, start: Start) -> None:
    if url.startswith("iceberg://rest"):
        pytest.skip("a REST catalogue shows one table after the other")
    load(warehouse, *(bill(number, _row_hash="start") for number in range(30)), children=lines(*((number, 2) for number in range(30))))
    reader = start("peek", url)
    assert reader.stdout is not None
    assert reader.stdout.readline() == "looking\n"
    for turn in range(6):
        many = 30 + turn
        rows = [bill(number, _row_hash=f"{turn}") for number in range(many)]
        assert load(warehouse, *rows, children=lines(*((number, 2) for number in range(many)))).updated >= 30
    out, err = reader.communicate("stop\n", timeout=60)
    assert reader.returncode == 0, err
    looks, versions = map(int, out.split())
    assert looks >= versions > 1


def test_a_column_of_another_type_is_refused_with_both_types(warehouse: Warehouse) -> None:
    other = Table(
        "bills",
        "What was billed.",
        tuple(Field(f.name, Storage.TEXT if f.name == "amount" else f.storage, f.description) for f in BILLS.fields),
        ("id",),
        "bills",
    )
    dialect = DIALECTS[warehouse.kind]
    stored, needed = dialect.catalogue_types[Storage.MONEY], dialect.catalogue_types[Storage.TEXT]
    with pytest.raises(WarehouseError) as caught, warehouse.transaction() as work:
        work.ensure([other])
    assert f"Column amount of table bills in {warehouse.location} is {stored}, and the connector needs {needed}; rename or drop" in str(
        caught.value
    )
