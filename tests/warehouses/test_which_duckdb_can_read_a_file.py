from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from pleo_connector.errors import ConfigurationError
from pleo_connector.settings import Settings
from pleo_connector.warehouses import Publishes, open_warehouse
from pleo_connector.warehouses.duckdb import STORAGE_VERSION
from tests.warehouses.rows import BILLS, LINES, bill, bills, lines

V1_4 = 67
"""The number of DuckDB 1.4's format in a file's header; DuckDB 1.5 writes 68 at most, DuckDB 2.0 says 999 to all that came before it."""


def load(file: Path, *numbers: int, **options: str) -> None:
    warehouse = open_warehouse(f"duckdb:///{file}", "spend", **options)  # type: ignore[arg-type]
    with warehouse.transaction() as work:
        work.ensure([BILLS, LINES])
        work.merge([BILLS, LINES], {"bills": bills(*map(bill, numbers)), "bill_lines": lines()})
    assert isinstance(warehouse, Publishes)
    warehouse.publish()


def format_of(file: Path) -> int:
    """What a DuckDB reads first: checksum, magic bytes, the number of the format."""
    header = file.read_bytes()[:20]
    assert header[8:12] == b"DUCK"
    return int.from_bytes(header[12:20], "little")


@pytest.mark.parametrize("name", ["spend", "memory", "temp"])  # the last two are names of DuckDB's own
def test_a_new_file_and_its_snapshot_are_for_duckdb_1_4_and_newer(tmp_path: Path, name: str) -> None:
    load(tmp_path / f"{name}.duckdb", 1, snapshot="on")
    load(tmp_path / f"{name}.duckdb", 1, 2, snapshot="on")
    assert format_of(tmp_path / f"{name}.duckdb") == V1_4
    assert format_of(tmp_path / f"{name}_snapshot.duckdb") == V1_4


@pytest.mark.parametrize("own", ["v1.0.0", "latest"])
def test_a_file_that_is_there_keeps_its_own(tmp_path: Path, own: str) -> None:
    file = tmp_path / "w.duckdb"
    with duckdb.connect() as shell:
        shell.execute(f"ATTACH '{file}' AS made (STORAGE_VERSION '{own}'); CREATE TABLE made.main.notes AS SELECT 1 AS note")
    before = format_of(file)
    load(file, 1)
    assert format_of(file) == before
    with duckdb.connect(str(file), read_only=True) as shell:
        assert shell.execute("SELECT note, (SELECT count(*) FROM spend.bills) FROM notes").fetchall() == [(1, 1)]


def test_a_newer_one_may_be_chosen(tmp_path: Path) -> None:
    with duckdb.connect(str(tmp_path / "newest.duckdb"), config={"storage_compatibility_version": "latest"}) as shell:
        shell.execute("CREATE TABLE notes AS SELECT 1 AS note")
    load(tmp_path / "w.duckdb", 1, storage_version="latest")
    assert format_of(tmp_path / "w.duckdb") == format_of(tmp_path / "newest.duckdb")


def test_a_file_is_moved_to_an_older_format_as_the_docs_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    load(tmp_path / "spend.duckdb", 1, 2, storage_version="latest")
    docs = (Path(__file__).parents[2] / "docs" / "warehouses.md").read_text(encoding="utf-8")
    (statements,) = (block.partition("```")[0] for block in docs.split("```sql\n") if "COPY FROM DATABASE" in block.partition("```")[0])
    with duckdb.connect() as shell:
        shell.execute(statements)
    Path("spend_new.duckdb").replace("spend.duckdb")
    load(tmp_path / "spend.duckdb", 2, 3)
    assert format_of(tmp_path / "spend.duckdb") == V1_4
    with duckdb.connect("spend.duckdb", read_only=True) as shell:
        assert shell.execute("SELECT count(*) FROM spend.spend.bills").fetchall() == [(3,)]


def test_one_that_duckdb_does_not_know_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"PLEO_STORAGE_VERSION is v9\.9\.9, which the DuckDB .* installed here does not know"):
        load(tmp_path / "w.duckdb", 1, storage_version="v9.9.9")
    assert not (tmp_path / "w.duckdb").exists()


def test_the_setting_s_default_is_the_warehouse_s() -> None:
    assert Settings().storage_version == STORAGE_VERSION
    assert Settings(storage_version="1.5.0").storage_version == "v1.5.0"
    with pytest.raises(ValueError, match="must be the oldest DuckDB that shall open the file"):
        Settings(storage_version="newest")
