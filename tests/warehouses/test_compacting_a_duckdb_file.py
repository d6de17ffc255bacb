"""A DuckDB file is written anew without losing anything that is in it, ours or a user's."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest

from pleo_connector.errors import WarehouseError, WarehouseLocked, WarehouseUnwritable
from pleo_connector.warehouses import duckdb_maintenance, open_warehouse
from pleo_connector.warehouses.duckdb import DuckDBWarehouse
from tests.warehouses.rows import BILLS, LINES, bill, bills, lines

ROWS = 3_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "books.duckdb"


def opened(path: Path, wait: float = 60.0) -> DuckDBWarehouse:
    warehouse = open_warehouse(f"duckdb:///{path}", "spend", wait=wait)
    assert isinstance(warehouse, DuckDBWarehouse)
    return warehouse


def load(path: Path, version: int, many: int = ROWS) -> None:
    with opened(path).transaction() as work:
        work.ensure([BILLS, LINES])
        rows = bills(*(bill(number, _row_hash=f"{version} {number}") for number in range(many)))
        work.merge([BILLS, LINES], {"bills": rows, "bill_lines": lines(*((number, 1) for number in range(many)))})


@pytest.fixture
def grown(path: Path, grown_once: Path) -> Path:
    """A file whose rows have all changed a few times, with objects of a user."""
    shutil.copy(grown_once, path)
    return path


@pytest.fixture(scope="module")
def grown_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("grown") / "books.duckdb"
    for version in range(4):
        load(path, version)
    with duckdb.connect(str(path)) as shell:
        shell.execute('CREATE SCHEMA "my own"')
        shell.execute('CREATE TABLE "my own".budgets (month DATE PRIMARY KEY, amount DECIMAL(18, 2) NOT NULL DEFAULT 0)')
        shell.execute("""INSERT INTO "my own".budgets VALUES ('2026-10-01', 10.25)""")
        shell.execute("""COMMENT ON TABLE "my own".budgets IS 'by hand'""")
        shell.execute('CREATE VIEW "my own".seen AS SELECT id FROM spend.bills')
        shell.execute('CREATE MACRO "my own".half(x) AS x / 2')
        shell.execute('CREATE INDEX by_amount ON "my own".budgets (amount)')
        shell.execute('CREATE SEQUENCE "my own".numbers')
        shell.execute("""SELECT nextval('"my own".numbers')""")
    path.chmod(0o640)
    return path


def content(path: Path) -> list[object]:
    """The rows of all tables, and everything that DuckDB knows of its objects."""
    with duckdb.connect(str(path), read_only=True) as shell:
        name = path.stem
        found: list[object] = [sorted(map(str, shell.execute(query, [name]).fetchall())) for query in duckdb_maintenance._OBJECTS]
        for schema, table in shell.execute("SELECT schema_name, table_name FROM duckdb_tables() ORDER BY ALL").fetchall():
            found.append(sorted(map(str, shell.execute(f'SELECT * FROM "{schema}"."{table}"').fetchall())))
        found.append(shell.execute("SELECT tags FROM duckdb_databases() WHERE database_name = current_database()").fetchall())
        return found


def test_a_file_is_smaller_and_holds_the_same(grown: Path) -> None:
    if os.geteuid() == 0:
        os.chown(grown, 65534, 65534)  # who runs it need not own the file
    owner = grown.stat().st_uid, grown.stat().st_gid
    before, size = content(grown), grown.stat().st_size
    done = opened(grown).compact()
    assert done is not None
    assert (grown.stat().st_uid, grown.stat().st_gid) == owner
    assert done.bytes_before == size > done.bytes_after == grown.stat().st_size
    assert content(grown) == before
    assert grown.stat().st_mode & 0o777 == 0o640
    with duckdb.connect(str(grown)) as shell:
        assert shell.execute("""SELECT nextval('"my own".numbers')""").fetchall() == [(2,)]
    assert not list(grown.parent.glob(".*")), "no copy is left"


def test_loads_go_on_in_the_new_file(grown: Path) -> None:
    opened(grown).compact()
    load(grown, 99, many=ROWS + 10)
    with duckdb.connect(str(grown), read_only=True) as shell:
        assert shell.execute("SELECT count(*), count(DISTINCT _row_hash) FROM spend.bills").fetchall() == [(ROWS + 10, ROWS + 10)]


def test_a_file_without_free_space_stays(path: Path) -> None:
    load(path, 0)
    opened(path).compact()
    inode, size = path.stat().st_ino, path.stat().st_size
    done = opened(path).compact()
    assert done is not None and (done.bytes_before, done.bytes_after) == (size, size)
    assert path.stat().st_ino == inode


def test_loads_and_compaction_take_turns(grown: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        work = [pool.submit(load, grown, 100 + number, ROWS + number) for number in range(3)]
        work.append(pool.submit(lambda: opened(grown).compact()))  # type: ignore[arg-type]
        work.append(pool.submit(load, grown, 200, ROWS + 3))
        for one in work:
            one.result()
    with duckdb.connect(str(grown), read_only=True) as shell:
        assert shell.execute("SELECT count(*) FROM spend.bills").fetchall() == [(ROWS + 3,)]


def test_a_file_that_a_shell_has_open_is_left_alone(grown: Path) -> None:
    code = "import duckdb, sys; shell = duckdb.connect(sys.argv[1], read_only=True); print('open', flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code, str(grown)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as shell:
        assert shell.stdout is not None
        assert shell.stdout.readline() == "open\n"
        with pytest.raises(WarehouseLocked, match="close it there, then run again"):
            opened(grown, wait=0.2).compact()
        shell.communicate("")
    with duckdb.connect(str(grown)), pytest.raises(WarehouseLocked, match="same process"):
        opened(grown, wait=0.2).compact()


def test_a_copy_that_differs_does_not_take_the_place(grown: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Numbers that DuckDB gives to objects differ in a copy.
    numbers = "SELECT 'macro', schema_name, function_name, function_oid::VARCHAR, '' FROM duckdb_functions() WHERE database_name = $1 AND NOT internal"
    monkeypatch.setattr(duckdb_maintenance, "_OBJECTS", (numbers,))
    before = grown.read_bytes()
    with pytest.raises(WarehouseError, match=r"its macro my own\.half would not be the same in the new file"):
        opened(grown).compact()
    assert grown.read_bytes() == before and not list(grown.parent.glob(".*"))


def test_what_a_killed_process_left_is_replaced(grown: Path) -> None:
    left = grown.with_name(f".{grown.name}._pleo_compacted")
    left.write_bytes(b"half a file")
    done = opened(grown).compact()
    assert done is not None and done.bytes_after < done.bytes_before and not left.exists()


def test_a_copy_that_cannot_be_made_is_one_sentence(grown: Path) -> None:
    grown.with_name(f".{grown.name}._pleo_compacted").mkdir()
    with pytest.raises(WarehouseUnwritable, match=r"could not be compacted \(.*\) and is as it was; give this user"):
        opened(grown).compact()


def test_a_link_to_the_file_stays_a_link(grown: Path) -> None:
    link = grown.with_name("link.duckdb")
    link.symlink_to(grown)
    done = opened(link).compact()
    assert done is not None and done.bytes_after < done.bytes_before
    assert link.is_symlink() and grown.stat().st_size == done.bytes_after
