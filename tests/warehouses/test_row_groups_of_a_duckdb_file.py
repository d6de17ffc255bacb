from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from pleo_connector.warehouses import MergeCounts, open_warehouse
from pleo_connector.warehouses.duckdb_opening import ROW_GROUP
from tests.warehouses.rows import BILLS, LINES, bill, bills, lines


def load(file: Path, *numbers: int) -> MergeCounts:
    with open_warehouse(f"duckdb:///{file}", "spend").transaction() as work:
        work.ensure([BILLS, LINES])
        return work.merge([BILLS, LINES], {"bills": bills(*map(bill, numbers)), "bill_lines": lines()})


def groups(file: Path) -> dict[int, int]:
    """Rows by row group of the table `bills`, as a DuckDB without our packages sees them."""
    with duckdb.connect(str(file), read_only=True) as connection:
        found = connection.execute(
            "SELECT row_group_id, sum(count) FROM pragma_storage_info('spend.bills') WHERE column_id = 0 AND segment_type <> 'VALIDITY' GROUP BY 1"
        ).fetchall()
    return {int(group): int(rows) for group, rows in found}


def test_a_load_does_not_write_again_what_earlier_loads_filled(tmp_path: Path) -> None:
    file = tmp_path / "w.duckdb"
    for first in range(0, 3 * ROW_GROUP, ROW_GROUP // 2):
        load(file, *range(first, first + ROW_GROUP // 2))
    found = groups(file)
    assert len(found) >= 3
    assert max(found.values()) <= ROW_GROUP
    assert sum(found.values()) == 3 * ROW_GROUP


def test_a_file_of_large_row_groups_is_gone_on_with(tmp_path: Path) -> None:
    file = tmp_path / "w.duckdb"
    load(file, *range(2 * ROW_GROUP))
    with duckdb.connect(str(file)) as connection:
        connection.execute(
            "CREATE TABLE copied AS FROM spend.bills; TRUNCATE spend.bills; INSERT INTO spend.bills FROM copied; DROP TABLE copied"
        )
    assert max(groups(file).values()) > ROW_GROUP
    assert load(file, *range(3 * ROW_GROUP)) == MergeCounts(inserted=ROW_GROUP, unchanged=2 * ROW_GROUP)
    assert sum(groups(file).values()) == 3 * ROW_GROUP


@pytest.mark.parametrize("name", ["memory", "temp", 'it\'s "odd"'])
def test_files_with_names_that_duckdb_uses_itself(tmp_path: Path, name: str) -> None:
    file = tmp_path / f"{name}.duckdb"
    assert load(file, 1).inserted == 1
    assert load(file, 1, 2) == MergeCounts(inserted=1, unchanged=1)
    assert file.is_file()


def test_a_notebook_that_has_the_file_open_itself_shares_it(tmp_path: Path) -> None:
    file = tmp_path / "w.duckdb"
    load(file, 1)
    with duckdb.connect(str(file)) as notebook:
        assert load(file, 1, 2).inserted == 1
        assert notebook.execute("SELECT count(*) FROM spend.bills").fetchone() == (2,)


def test_nothing_is_drawn_while_a_long_query_runs(tmp_path: Path) -> None:
    with open_warehouse(f"duckdb:///{tmp_path / 'w.duckdb'}", "spend").transaction() as work:
        assert work.scalar("SELECT current_setting('enable_progress_bar')") is False


def test_a_large_load_leaves_its_row_groups_and_a_later_small_one_merges_them(tmp_path: Path) -> None:
    file = tmp_path / "w.duckdb"
    for first in (0, 200):
        many = bills(*(bill(number, note="n" * 50_000) for number in range(first, first + 200)))
        with open_warehouse(f"duckdb:///{file}", "spend").transaction() as work:
            work.ensure([BILLS, LINES])
            work.merge([BILLS, LINES], {"bills": many, "bill_lines": lines()})
    assert list(groups(file).values()) == [200, 200]
    load(file, 400)
    assert list(groups(file).values()) == [401]


def test_what_is_written_has_all_memory_again(tmp_path: Path) -> None:
    limit = "SELECT current_setting('memory_limit')"
    with open_warehouse(f"duckdb:///{tmp_path / 'w.duckdb'}", "spend").transaction() as work:
        before = work.scalar(limit)
        work.ensure([BILLS, LINES])
        work.merge([BILLS, LINES], {"bills": bills(bill(1)), "bill_lines": lines((1, 2))})
        assert work.count(BILLS) == 1
        assert work.scalar(limit) == before


def test_settings_of_a_notebook_that_has_the_file_open_stay(tmp_path: Path) -> None:
    file = tmp_path / "w.duckdb"
    load(file, 1)
    with duckdb.connect(str(file)) as notebook:
        settings = "SELECT name, value FROM duckdb_settings() WHERE name IN ('memory_limit', 'max_vacuum_tasks')"
        notebook.execute("SET memory_limit = '1GiB'")
        before = notebook.execute(settings).fetchall()
        assert load(file, 1, 2).inserted == 1
        assert notebook.execute(settings).fetchall() == before
