"""What other programs find in the folder of the Iceberg warehouse, and what a load does to its files."""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.sql import SqlCatalog
from pyiceberg.manifest import DataFile, DataFileContent, FileFormat
from pyiceberg.table import StaticTable, Table
from pyiceberg.types import TimestamptzType

from pleo_connector.catalogue import CATALOGUE, Field, Storage
from pleo_connector.catalogue import Table as Declared
from pleo_connector.errors import WarehouseError, WarehouseUnwritable
from pleo_connector.warehouses import MergeCounts, Warehouse, open_warehouse
from pleo_connector.warehouses.iceberg import IcebergWarehouse
from pleo_connector.warehouses.iceberg_deletes import deleted_rows, write_deletes
from pleo_connector.warehouses.iceberg_maintenance import keep_up
from tests.warehouses.conftest import Start
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
    bills,
    key,
    lines,
    load,
    seen,
    stored,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "my lake æ%20"


@pytest.fixture
def warehouse(folder: Path) -> Warehouse:
    opened = open_warehouse(f"iceberg:///{folder}", "pleo")
    with opened.transaction() as work:
        work.ensure([BILLS, LINES, SEEN, CURSORS])
    return opened


@pytest.fixture
def catalogue(folder: Path, warehouse: Warehouse) -> Iterator[Catalog]:
    """The folder's catalogue as any PyIceberg opens it."""
    with SqlCatalog("pleo", uri=f"sqlite:///{quote(str(folder))}/catalog.db") as opened:
        yield opened


def files(table: Table) -> set[str]:
    return {task.file.file_path for task in table.scan().plan_files()}


def everything(folder: Path) -> dict[str, int]:
    return {str(file): file.stat().st_mtime_ns for file in folder.rglob("*") if file.is_file() and "catalog.db" not in file.name}


def test_any_pyiceberg_reads_rows_types_and_descriptions(warehouse: Warehouse, catalogue: Catalog) -> None:
    load(warehouse, bill(1), bill(2, company_id=None), children=lines((1, 2)))
    table = catalogue.load_table("pleo.bills")
    row = table.scan(row_filter=f"company_id == '{COMPANY}'").to_arrow().to_pylist()[0]
    assert (row["id"], row["amount"], row["performed_at"]) == (key(1), Decimal("9999999999999999999999999999999998.9999"), FIRST)
    fields = {field.name: field for field in table.schema().fields}
    assert {name: str(fields[name].field_type) for name in ("id", "amount", "rate", "due_on", "details")} == {
        "id": "string", "amount": "decimal(38, 4)", "rate": "decimal(18, 9)", "due_on": "date", "details": "string",
    }  # fmt: skip
    assert fields["performed_at"].field_type == TimestamptzType()
    assert {name: field.doc for name, field in fields.items()} == {field.name: field.description for field in BILLS.fields}
    assert table.properties["comment"] == BILLS.description
    assert table.schema().identifier_field_names() == {"id"}


def test_the_metadata_file_alone_is_a_valid_table(warehouse: Warehouse, catalogue: Catalog) -> None:
    load(warehouse, bill(1), bill(2), children=lines((1, 2), (2, 1)))
    load(warehouse, bill(1, _row_hash="new"), children=lines((1, 3)))
    for name, rows in (("bills", 2), ("bill_lines", 4)):
        location = catalogue.load_table(("pleo", name)).metadata_location
        static = StaticTable.from_metadata(location)
        assert static.scan().to_arrow().num_rows == rows
        summary = static.current_snapshot().summary  # type: ignore[union-attr]
        assert summary is not None
        assert (summary["total-records"], summary["total-delete-files"]) == (str(rows), "0")


def test_duckdb_reads_what_pyiceberg_scans(warehouse: Warehouse, catalogue: Catalog) -> None:
    load(warehouse, bill(1), bill(2, _deleted_at=LATER), children=lines((1, 2)))
    lines_of = catalogue.load_table("pleo.bill_lines").scan().to_arrow()  # noqa: F841 - DuckDB finds it by its name
    with duckdb.connect() as shell:
        assert shell.execute("SELECT count(*), max(position) FROM lines_of").fetchall() == [(2, 2)]


def test_rows_lie_by_company_and_month_and_a_changed_month_leaves_the_others(warehouse: Warehouse, catalogue: Catalog) -> None:
    rows = [bill(1), bill(2, performed_at=LATER), bill(3, company_id=OTHER_COMPANY, performed_at=LATER), bill(4, performed_at=None)]
    load(warehouse, *rows)
    table = catalogue.load_table("pleo.bills")
    before = {task.file.file_path: tuple(task.file.partition[n] for n in (0, 1)) for task in table.scan().plan_files()}
    january = (2026 - 1970) * 12
    assert sorted(before.values(), key=str) == sorted(
        [(COMPANY, january), (COMPANY, january + 1), (OTHER_COMPANY, january + 1), (COMPANY, None)], key=str
    )
    load(warehouse, *rows[:1], bill(2, performed_at=LATER, _row_hash="new"), *rows[2:])
    left = files(table.refresh()) & set(before)
    assert [before[path] for path in set(before) - left] == [(COMPANY, january + 1)]
    snapshots = table.metadata.snapshots
    assert len(snapshots) == 2
    assert snapshots[-1].summary is not None
    assert len(snapshots[-1].summary["pleo.load"] or "") == 32


def test_a_row_that_moves_to_another_month_is_there_once(warehouse: Warehouse) -> None:
    load(warehouse, bill(1), bill(2))
    assert load(warehouse, bill(1, performed_at=LATER, _row_hash="new")) == MergeCounts(updated=1)
    assert [(row["id"], row["performed_at"]) for row in stored(warehouse)] == [(key(1), LATER), (key(2), FIRST)]


def test_nothing_new_writes_no_file(warehouse: Warehouse, folder: Path) -> None:
    load(warehouse, bill(1), bill(2), children=lines((1, 2)))
    before = everything(folder)
    with warehouse.transaction() as work:
        work.ensure([BILLS, LINES, SEEN, CURSORS])
        same = {"bills": bills(bill(1, _synced_at=LATER), bill(2)), "bill_lines": lines((1, 2))}
        assert work.merge(TABLES, same) == MergeCounts(unchanged=2)
    assert everything(folder) == before


def test_a_new_column_keeps_the_ids_of_the_others(warehouse: Warehouse, catalogue: Catalog) -> None:
    load(warehouse, bill(1))
    ids = {field.name: field.field_id for field in catalogue.load_table("pleo.bills").schema().fields}
    fields = (Field("reason", Storage.TEXT, "Why."), *BILLS.fields)
    with warehouse.transaction() as work:
        work.ensure([Declared("bills", "Anew.", fields, ("id",), "bills")])
    table = catalogue.load_table("pleo.bills")
    assert {field.name: field.field_id for field in table.schema().fields} == ids | {"reason": max(ids.values()) + 1}
    assert table.properties["comment"] == "Anew."


def test_old_snapshots_show_what_was(warehouse: Warehouse, catalogue: Catalog) -> None:
    load(warehouse, bill(1))
    first = catalogue.load_table("pleo.bills").metadata.current_snapshot_id
    load(warehouse, bill(1, note="new", _row_hash="new"))
    notes = [catalogue.load_table("pleo.bills").scan(snapshot_id=one).to_arrow()["note"].to_pylist() for one in (first, None)]
    assert notes == [[bill(1)["note"]], ["new"]]


@pytest.mark.parametrize("moved", [pytest.param(0, marks=pytest.mark.slow), 1, pytest.param(2, marks=pytest.mark.slow), 3])
def test_a_writer_killed_while_it_publishes_leaves_all_or_nothing(warehouse: Warehouse, folder: Path, start: Start, moved: int) -> None:
    url = f"iceberg:///{folder}"
    spend = open_warehouse(url, "spend", wait=5)
    with spend.transaction() as work:
        work.ensure([BILLS, LINES, SEEN, CURSORS])
        work.merge(TABLES, {"bills": bills(bill(1)), "bill_lines": lines((1, 1))})
        work.upsert(SEEN, seen("z", 1))
    before = stored(spend), stored(spend, LINES), stored(spend, SEEN)
    process = start("cut", url, moved)
    out, err = process.communicate(timeout=60)
    assert (out, process.returncode) == ("", -signal.SIGKILL), err
    assert (stored(spend), stored(spend, LINES), stored(spend, SEEN)) == before
    assert load(spend, bill(77)) == MergeCounts(inserted=1)


def test_a_reader_is_never_blocked_and_sees_a_load_whole(warehouse: Warehouse, catalogue: Catalog) -> None:
    load(warehouse, bill(1), children=lines((1, 1)))
    reader = catalogue.load_table("pleo.bills")
    with warehouse.transaction() as work:
        work.merge(TABLES, {"bills": bills(bill(1, _row_hash="new"), bill(2)), "bill_lines": lines((1, 2), (2, 2))})
        seen_now: list[int] = []
        other = threading.Thread(target=lambda: seen_now.append(catalogue.load_table("pleo.bills").scan().to_arrow().num_rows))
        other.start()
        other.join(timeout=30)
    assert seen_now == [1]
    assert reader.scan().to_arrow().num_rows == 1  # what was opened before stays readable
    assert catalogue.load_table("pleo.bills").scan().to_arrow().num_rows == 2


def test_another_programs_change_is_never_overwritten(warehouse: Warehouse, catalogue: Catalog) -> None:
    load(warehouse, bill(1))
    with pytest.raises(WarehouseError, match="changed by another program"), warehouse.transaction() as work:  # noqa: PT012
        work.merge(TABLES, {"bills": bills(bill(1, _row_hash="new")), "bill_lines": lines((1, 4))})
        catalogue.load_table("pleo.bills").delete(f"id == '{key(1)}'")
    assert (stored(warehouse), stored(warehouse, LINES)) == ([], [])


def test_small_files_are_gathered_as_they_come(warehouse: Warehouse, catalogue: Catalog) -> None:
    for number in range(20):
        load(warehouse, bill(number), children=lines((number, 1)))
    table = catalogue.load_table("pleo.bills")
    assert table.scan().to_arrow().num_rows == 20
    assert len(files(table)) <= 9
    snapshot = table.current_snapshot()
    assert snapshot is not None
    assert len(snapshot.manifests(table.io)) <= 11


def test_the_connectors_own_tables_keep_few_files(warehouse: Warehouse, folder: Path) -> None:
    for number in range(12):
        with warehouse.transaction() as work:
            work.upsert(SEEN, seen(f"sweep-{number}", *range(5)))
            work.delete(SEEN, sweep_id=f"sweep-{number - 1}")
    assert len(list((folder / "pleo" / "_seen_keys" / "data").rglob("*.parquet"))) <= 3
    assert len(list((folder / "pleo" / "_seen_keys" / "metadata").rglob("*.avro"))) <= 12
    assert len(stored(warehouse, SEEN)) == 5


def test_keeping_up_forgets_gathers_and_deletes_and_keeps_every_row(warehouse: Warehouse, catalogue: Catalog, folder: Path) -> None:
    for number in range(6):
        load(warehouse, *(bill(n, _row_hash=str(number) if n == number else "x") for n in range(number + 1)), children=lines((number, 2)))
    orphan = folder / "pleo" / "bills" / "data" / "left-by-a-killed-writer.parquet"
    young = orphan.with_name("being-written.parquet")
    for file in (orphan, young):
        file.write_bytes(b"x")
    os.utime(orphan, (0, 0))
    before = stored(warehouse), stored(warehouse, LINES)
    snapshots = len(catalogue.load_table("pleo.bills").metadata.snapshots)
    assert isinstance(warehouse, IcebergWarehouse)
    kept = keep_up(warehouse, days=7)
    assert (kept.snapshots, orphan.exists(), young.exists()) == (0, False, True)
    done = keep_up(warehouse, days=0)
    assert done.snapshots > snapshots
    assert done.bytes_before is not None
    assert done.bytes_after is not None
    assert done.bytes_after < done.bytes_before
    assert (stored(warehouse), stored(warehouse, LINES)) == before
    table = catalogue.load_table("pleo.bills")
    assert (len(table.metadata.snapshots), len(files(table))) == (1, 1)
    assert load(warehouse, bill(1, _row_hash="new")) == MergeCounts(updated=1)
    again = keep_up(open_warehouse(f"iceberg:///{folder}", "nothing here"), days=0)  # type: ignore[arg-type]
    assert (again.snapshots, again.gathered, again.deleted) == (0, 0, 0)


def test_the_whole_catalogue_is_partitioned_as_declared(folder: Path) -> None:
    with open_warehouse(f"iceberg:///{folder}", "all").transaction() as work:
        work.ensure(CATALOGUE.tables())
    with SqlCatalog("pleo", uri=f"sqlite:///{quote(str(folder))}/catalog.db") as opened:
        entries = opened.load_table("all.accounting_entries").spec()
        assert [field.name for field in entries.fields] == ["company_id", "performed_at_month"]
        assert [field.name for field in opened.load_table("all.accounting_entry_splits").spec().fields] == ["_company_id"]


def test_a_folder_that_cannot_be_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "catalog.db").write_text("this is no database" * 100)
    for name, message in (
        ("file/lake", "what should be its folder is a file"),
        ("no/such/lake", "neither its folder"),
        ("bad", "is no SQLite database"),
    ):
        with pytest.raises(WarehouseUnwritable, match=message), open_warehouse(f"iceberg:///{tmp_path}/{name}", "pleo").transaction():
            pass
    assert (tmp_path / "bad" / "catalog.db").read_text().startswith("this is no database")


def many_bills(count: int, changed: range = range(0)) -> list[dict[str, object]]:
    return [bill(number, _row_hash="new" if number in changed else "old") for number in range(count)]


def delete_files(table: Table) -> list[int]:
    """Rows that each delete file marks as gone."""
    return [one.record_count for task in table.scan().plan_files() for one in task.delete_files]


def test_few_changed_rows_of_a_large_file_are_marked_and_the_file_stays(warehouse: Warehouse, catalogue: Catalog) -> None:
    load(warehouse, *many_bills(3000))
    table = catalogue.load_table("pleo.bills")
    (first,) = files(table)
    assert load(warehouse, *many_bills(3000, range(10, 20))) == MergeCounts(updated=10, unchanged=2990)
    table.refresh()
    assert (first in files(table), delete_files(table)) == (True, [10])
    assert load(warehouse, *many_bills(3000, range(10, 25))) == MergeCounts(updated=5, unchanged=2995)
    table.refresh()
    assert (first in files(table), delete_files(table)) == (True, [15])  # one file for all that are gone
    hashes = table.scan().to_arrow()["_row_hash"].to_pylist()
    assert (len(hashes), hashes.count("new")) == (3000, 15)
    assert StaticTable.from_metadata(table.metadata_location).scan(row_filter="_row_hash == 'old'").to_arrow().num_rows == 2985
    summary = table.current_snapshot().summary  # type: ignore[union-attr]
    assert summary is not None
    assert [summary[f"total-{name}"] for name in ("delete-files", "position-deletes", "records")] == ["1", "15", "3015"]
    with warehouse.transaction() as work:
        assert work.count(BILLS) == 3000
        assert work.read(BILLS, ["id"], id=key(12)).num_rows == 1


def test_a_file_that_lost_many_rows_is_written_anew_and_keeping_up_leaves_no_marks(warehouse: Warehouse, catalogue: Catalog) -> None:
    load(warehouse, *many_bills(3000))
    load(warehouse, *many_bills(3000, range(10)))
    table = catalogue.load_table("pleo.bills")
    large = max(table.scan().plan_files(), key=lambda task: task.file.record_count).file.file_path
    load(warehouse, *many_bills(3000, range(400)))
    table.refresh()
    assert (delete_files(table), large in files(table)) == ([], False)
    load(warehouse, *many_bills(3000, range(405)))
    table.refresh()
    assert sum(delete_files(table)) > 0
    assert isinstance(warehouse, IcebergWarehouse)
    keep_up(warehouse, days=0)
    table.refresh()
    assert (delete_files(table), table.scan().to_arrow().num_rows) == ([], 3000)
    assert not list(Path(table.location().removeprefix("file://")).rglob("*-deletes.parquet"))


def test_another_programs_delete_file_about_several_files_counts_for_each(warehouse: Warehouse, catalogue: Catalog) -> None:
    load(warehouse, *many_bills(3000), *(bill(number, company_id=OTHER_COMPANY) for number in range(3000, 6000)))
    table = catalogue.load_table("pleo.bills")
    data = [task.file for task in table.scan().plan_files()]
    rows = pa.table({"file_path": [data[0].file_path, data[0].file_path, data[1].file_path], "pos": pa.array([1, 7, 2998])})
    place = f"{table.location()}/theirs.parquet"
    with table.io.new_output(place).create() as stream:
        pq.write_table(rows, stream)
    theirs = DataFile.from_args(content=DataFileContent.POSITION_DELETES, file_path=place, file_format=FileFormat.PARQUET, record_count=3)
    ours = write_deletes(table.io, data[0], np.arange(data[0].record_count) == 40)
    gone = [deleted_rows(table.io, data[0], [theirs, ours]), deleted_rows(table.io, data[1], [theirs])]
    assert [None if one is None else np.flatnonzero(one).tolist() for one in gone] == [[1, 7, 40], [2998]]
    assert deleted_rows(table.io, data[1], []) is None


@pytest.mark.slow
def test_rows_are_those_of_the_last_load_whatever_was_marked_before(warehouse: Warehouse, catalogue: Catalog) -> None:
    chance, hashes = random.Random(7), ["old"] * 2500
    marked = 0
    for turn in range(12):
        for number in chance.sample(range(2500), chance.choice([1, 40, 300])):
            hashes[number] = f"turn {turn}"
        load(warehouse, *(bill(number, _row_hash=one) for number, one in enumerate(hashes)))
        table = catalogue.load_table("pleo.bills")
        found = dict(zip(*(table.scan().to_arrow()[name].to_pylist() for name in ("id", "_row_hash")), strict=True))
        assert found == {key(number): one for number, one in enumerate(hashes)}
        assert table.scan().to_arrow().num_rows == 2500
        marked += sum(delete_files(table))
    assert marked
