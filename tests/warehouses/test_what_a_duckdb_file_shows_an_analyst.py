from __future__ import annotations

import hashlib
from pathlib import Path

import duckdb
import pytest

from pleo_connector.catalogue import CATALOGUE, Field, Storage, Table
from pleo_connector.warehouses import MergeCounts, Warehouse, open_warehouse
from tests.warehouses.rows import BILLS, CURSORS, LATER, LINES, SEEN, bill, bills, lines


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "spend.duckdb"


@pytest.fixture
def warehouse(path: Path) -> Warehouse:
    opened = open_warehouse(f"duckdb:///{path}", "pleo")
    with opened.transaction() as work:
        work.ensure([BILLS, LINES, SEEN, CURSORS])
        work.merge([BILLS, LINES], {"bills": bills(bill(1), bill(2)), "bill_lines": lines((1, 2))})
    return opened


def ask(path: Path, sql: str) -> list[tuple[object, ...]]:
    with duckdb.connect(str(path), read_only=True) as shell:
        rows: list[tuple[object, ...]] = shell.execute(sql).fetchall()
    return rows


def fingerprint(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_every_table_and_column_is_described(path: Path) -> None:
    with open_warehouse(f"duckdb:///{path}", "pleo").transaction() as work:
        work.ensure(CATALOGUE.tables())
    tables = {table: comment for table, comment in ask(path, "SELECT table_name, comment FROM duckdb_tables()")}  # noqa: C416 - typed
    found = ask(path, "SELECT table_name, column_name, comment FROM duckdb_columns() WHERE schema_name = 'pleo'")
    columns = {(table, column): comment for table, column, comment in found}
    assert tables == {table.name: table.description for table in CATALOGUE.tables()}
    assert columns == {(table.name, field.name): field.description for table in CATALOGUE.tables() for field in table.fields}


def test_columns_have_the_types_people_expect(warehouse: Warehouse, path: Path) -> None:
    types = ask(
        path, "SELECT column_name, data_type, is_nullable FROM duckdb_columns() WHERE table_name = 'bills' ORDER BY column_index LIMIT 10"
    )
    assert types == [
        ("id", "UUID", False), ("company_id", "UUID", True), ("note", "VARCHAR", True), ("paid", "BOOLEAN", True), ("amount_minors", "BIGINT", True),
        ("amount", "DECIMAL(38,4)", True), ("rate", "DECIMAL(18,9)", True), ("performed_at", "TIMESTAMP WITH TIME ZONE", True),
        ("due_on", "DATE", True), ("details", "JSON", True),
    ]  # fmt: skip
    assert ask(path, "SELECT details->'nested'->>3, epoch_us(performed_at) % 1000000 FROM pleo.bills LIMIT 1") == [("æ", 999_999)]


def test_a_changed_description_is_stored(warehouse: Warehouse, path: Path) -> None:
    fields = (Field("id", Storage.UUID, "Renamed."), *BILLS.fields[1:])
    with warehouse.transaction() as work:
        work.ensure([Table("bills", "Anew.", fields, ("id",), "bills")])
    assert ask(path, "SELECT comment FROM duckdb_tables() WHERE table_name = 'bills'") == [("Anew.",)]
    assert ask(path, "SELECT comment FROM duckdb_columns() WHERE table_name = 'bills' AND column_name = 'id'") == [("Renamed.",)]


def test_nothing_new_leaves_every_byte_of_the_file(warehouse: Warehouse, path: Path) -> None:
    before = fingerprint(path)
    with warehouse.transaction() as work:
        work.ensure([BILLS, LINES, SEEN, CURSORS])
        same = {"bills": bills(bill(1, _synced_at=LATER), bill(2)), "bill_lines": lines((1, 2))}
        assert work.merge([BILLS, LINES], same) == MergeCounts(unchanged=2)
    assert fingerprint(path) == before
    with warehouse.transaction() as work:
        work.merge([BILLS, LINES], {"bills": bills(bill(3)), "bill_lines": lines()})
    assert fingerprint(path) != before


def test_a_failed_load_leaves_every_byte_of_the_file(warehouse: Warehouse, path: Path) -> None:
    before = fingerprint(path)
    with pytest.raises(KeyboardInterrupt), warehouse.transaction() as work:  # noqa: PT012 - all of it must be undone
        work.merge([BILLS, LINES], {"bills": bills(bill(1, _row_hash="x"), bill(3)), "bill_lines": lines((3, 2))})
        raise KeyboardInterrupt
    assert fingerprint(path) == before


def test_a_file_named_like_its_schema_needs_three_parts(tmp_path: Path) -> None:
    path = tmp_path / "pleo.duckdb"
    warehouse = open_warehouse(f"duckdb:///{path}", "pleo")
    with warehouse.transaction() as work:
        work.ensure([BILLS])
    assert warehouse.relation(BILLS) == "pleo.pleo.bills"
    assert ask(path, f"SELECT count(*) FROM {warehouse.relation(BILLS)}") == [(0,)]
    assert open_warehouse(f"duckdb:///{tmp_path}/spend.duckdb", "pleo").relation(BILLS) == "pleo.bills"


@pytest.mark.parametrize("name", ["temp", "system", "main", "memory", "my-file.v2", 'a"b', "2026"])
def test_any_file_name_will_do(tmp_path: Path, name: str) -> None:
    path = tmp_path / f"{name}.duckdb"
    warehouse = open_warehouse(f"duckdb:///{path}", "pleo")
    with warehouse.transaction() as work:
        work.ensure([BILLS, LINES])
        assert work.merge([BILLS, LINES], {"bills": bills(bill(1)), "bill_lines": lines((1, 1))}) == MergeCounts(inserted=1)
    assert ask(path, f"SELECT count(*) FROM {warehouse.relation(LINES)}") == [(1,)]
