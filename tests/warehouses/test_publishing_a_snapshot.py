from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import duckdb
import pytest

from pleo_connector.analytics import refresh
from pleo_connector.errors import ConfigurationError, WarehouseUnwritable
from pleo_connector.warehouses import Publishes, Warehouse, open_warehouse
from tests.warehouses.conftest import Start
from tests.warehouses.rows import BILLS, LINES, bill, bills, lines

COUNT = "SELECT count(*) FROM spend.bills"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "books.duckdb"


@pytest.fixture
def copy(path: Path) -> Path:
    return path.with_name("books_snapshot.duckdb")


def load(path: Path, version: int, many: int = 50, snapshot: str = "on") -> Warehouse:
    """A load as a run makes it: committed, then published."""
    warehouse = open_warehouse(f"duckdb:///{path}", "spend", snapshot=snapshot)
    with warehouse.transaction() as work:
        work.ensure([BILLS, LINES])
        rows = bills(*(bill(number, _row_hash=f"{version}") for number in range(many)))
        work.merge([BILLS, LINES], {"bills": rows, "bill_lines": lines(*((number, 2) for number in range(many)))})
    assert isinstance(warehouse, Publishes)
    warehouse.publish()
    return warehouse


def count(path: Path) -> int:
    with duckdb.connect(str(path), read_only=True) as shell:
        ((found,),) = shell.execute(COUNT).fetchall()
    return int(found)


@pytest.mark.slow
def test_readers_in_a_loop_never_meet_a_load(path: Path, copy: Path, start: Start) -> None:
    load(path, 0)
    readers = [start("look", copy) for _ in range(2)]
    for reader in readers:
        assert reader.stdout is not None
        assert reader.stdout.readline() == "looking\n"
    for version in range(1, 13):
        load(path, version)
    for reader in readers:
        out, err = reader.communicate("stop\n", timeout=30)
        assert reader.returncode == 0, err
        looks, versions = map(int, out.split())
        assert looks > versions > 1


def test_who_has_the_old_one_open_goes_on_with_it(path: Path, copy: Path, start: Start) -> None:
    load(path, 0, 3)
    reader = start("analyst", copy, 0)
    assert reader.stdout is not None
    assert reader.stdout.readline() == "holding\n"
    with duckdb.connect(str(copy), read_only=True) as shell:
        load(path, 1, 5)
        assert shell.execute(COUNT).fetchall() == [(3,)]
    assert count(copy) == 5
    assert reader.poll() is None


def test_the_copy_has_all_that_the_file_has_and_nothing_lies_beside_it(path: Path, copy: Path) -> None:
    copy.with_name(f".{copy.name}.new").write_bytes(b"left by a run that was killed")
    copy.with_name(f"{copy.name}.wal").write_bytes(b"left by somebody who wrote into it")
    load(path, 0)
    assert copy.read_bytes() == path.read_bytes()
    assert sorted(each.name for each in path.parent.iterdir()) == ["books.duckdb", "books.duckdb.lock", "books_snapshot.duckdb"]
    assert copy.stat().st_mode & 0o222 == 0


def test_off_copies_nothing_and_a_path_says_where(path: Path, tmp_path: Path) -> None:
    load(path, 0, snapshot="off")
    assert [each.name for each in tmp_path.glob("*.duckdb")] == ["books.duckdb"]
    (tmp_path / "shared").mkdir()
    load(path, 1, snapshot=str(tmp_path / "shared" / "for analysts.duckdb"))
    assert count(tmp_path / "shared" / "for analysts.duckdb") == 50


def test_a_snapshot_that_cannot_be_made_leaves_the_old_one_and_the_load(path: Path, tmp_path: Path) -> None:
    target = tmp_path / "shared" / "s.duckdb"
    with pytest.raises(
        WarehouseUnwritable, match=r"The rows are loaded, but the snapshot .*s\.duckdb could not be published \(No such file"
    ):
        load(path, 0, snapshot=str(target))
    assert count(path) == 50
    target.parent.mkdir()
    load(path, 1, snapshot=str(target))
    blocked = target.with_name(f".{target.name}.new")
    blocked.mkdir()
    with pytest.raises(WarehouseUnwritable, match="its readers still see the copy before"):
        load(path, 2, 60, snapshot=str(target))
    assert (count(target), count(path)) == (50, 60)


@pytest.mark.parametrize(
    ("url", "snapshot", "message"),
    [
        ("duckdb:///{0}/books.duckdb", "{0}/books.duckdb", "a file other than the warehouse's own"),
        ("duckdb:///{0}/books.duckdb", "{0}", "must name a file"),
        ("md:spend", "on", "with a DuckDB file only"),
        ("postgresql://u@h/d", "/somewhere", "with a DuckDB file only"),
    ],
)
def test_a_snapshot_that_cannot_be_meant_is_refused(tmp_path: Path, url: str, snapshot: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        open_warehouse(url.format(tmp_path), "spend", snapshot=snapshot.format(tmp_path))


def test_the_file_stays_locked_while_it_is_copied(path: Path, copy: Path) -> None:
    """Closing a second handle of a file drops its process's locks; so another process copies."""
    warehouse = load(path, 0)
    assert isinstance(warehouse, Publishes)
    with duckdb.connect(str(path)):  # a notebook in this process
        warehouse.publish()
        opening = [sys.executable, "-c", "import duckdb, sys; duckdb.connect(sys.argv[1])", str(path)]
        refused = subprocess.run(opening, capture_output=True, text=True, check=False)
    assert "Conflicting lock is held" in refused.stderr


def test_views_are_made_though_the_snapshot_cannot_be_published(path: Path, tmp_path: Path) -> None:
    warehouse = open_warehouse(f"duckdb:///{path}", "spend", snapshot=str(tmp_path / "unmounted" / "s.duckdb"))
    warnings: list[str] = []
    assert "live_accounting_entries" in refresh(warehouse, warn=warnings.append)
    assert len(warnings) == 1
    assert "could not be published" in warnings[0]
    assert refresh(warehouse, warn=warnings.append) == ()
