from __future__ import annotations

import os
import re
import struct
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pytest

from pleo_connector.errors import WarehouseUnwritable
from pleo_connector.warehouses import Warehouse, open_warehouse
from tests.warehouses.conftest import Start
from tests.warehouses.rows import BILLS

NOBODY = 65534


def at(path: Path) -> Warehouse:
    return open_warehouse(f"duckdb:///{path}", "spend", wait=1)


def refused(path: Path) -> str:
    with pytest.raises(WarehouseUnwritable) as caught, at(path).transaction():
        pass
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def test_one_missing_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "data" / "pleo.duckdb"
    with at(path).transaction() as work:
        work.ensure([BILLS])
    assert path.is_file()


def test_two_missing_folders_are_an_error(tmp_path: Path) -> None:
    assert "create the folder" in refused(tmp_path / "no" / "data" / "pleo.duckdb")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("content", [b"", b"hello", b"PAR1" * 4000])
def test_a_file_of_something_else_is_left_as_it_was(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "notes.duckdb"
    path.write_bytes(content)
    assert "is not a DuckDB database, or is damaged; it was left as it was" in refused(path)
    assert path.read_bytes() == content


def test_a_folder_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "folder.duckdb").mkdir()
    assert "folder.duckdb is a folder; set PLEO_WAREHOUSE to a file" in refused(tmp_path / "folder.duckdb")


def test_a_file_where_a_folder_should_be(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("no folder")
    refused(tmp_path / "data" / "pleo.duckdb")


def test_a_damaged_file_is_left_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "pleo.duckdb"
    with at(path).transaction() as work:
        work.ensure([BILLS])
    content = bytearray(path.read_bytes())
    content[4096:12288] = os.urandom(8192)  # both copies of the database header
    path.write_bytes(content)
    refused(path)
    assert path.read_bytes() == content


def test_a_file_of_a_newer_duckdb_says_upgrade(tmp_path: Path) -> None:
    path = tmp_path / "pleo.duckdb"
    with at(path).transaction() as work:
        work.ensure([BILLS])
    content = bytearray(path.read_bytes())
    content[12:20] = struct.pack("<Q", 9999)  # after checksum and magic bytes: the storage version
    path.write_bytes(content)
    try:
        duckdb.connect(str(path)).close()
    except duckdb.Error as error:
        if found := re.search(r"computed checksum (\d+)", str(error)):
            content[0:8] = struct.pack("<Q", int(found[1]))
            path.write_bytes(content)
    assert f"was written by a newer DuckDB than the {duckdb.__version__}" in refused(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize("mode", [0o555, 0o000])
def test_a_folder_without_write_access(start: Start, mode: int) -> None:
    user = NOBODY if os.getuid() == 0 else 0  # root may write anywhere, so it steps down
    with TemporaryDirectory() as open_to_all:  # pytest's own folders are closed to other users
        Path(open_to_all).chmod(0o755)
        closed = Path(open_to_all) / "closed"
        closed.mkdir()
        closed.chmod(mode)
        out, err = start("attempt", f"duckdb:///{closed}/pleo.duckdb", user, 0, 3).communicate(timeout=60)
        closed.chmod(0o755)
        assert list(closed.iterdir()) == []
    assert out.startswith("WarehouseUnwritable: "), err
    assert "give this user write access" in out


def test_a_full_disk_keeps_what_was_there(tmp_path: Path, start: Start) -> None:
    path = tmp_path / "pleo.duckdb"
    out, err = start("attempt", f"duckdb:///{path}", 0, 0, 100).communicate(timeout=60)
    assert out == "written\n", err
    limit = path.stat().st_size + 100_000
    out, err = start("attempt", f"duckdb:///{path}", 0, limit, 20_000).communicate(timeout=60)
    assert out.startswith("WarehouseUnwritable: "), err
    assert "free some space" in out
    with at(path).transaction() as work:
        assert work.count(BILLS) == 100
    out, err = start("attempt", f"duckdb:///{path}", 0, 0, 2000).communicate(timeout=60)
    assert out == "written\n", err
