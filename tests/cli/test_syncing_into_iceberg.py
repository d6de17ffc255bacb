"""`pleo-connector sync` into Iceberg tables: all streams, nothing, edits and deletions."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from pyiceberg.catalog.sql import SqlCatalog

from pleo_connector.catalogue import CATALOGUE
from pleo_connector.warehouses import open_warehouse
from tests.cli.local import Local, local
from tests.warehouses.rest_catalogue import named_catalogue


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


@pytest.fixture
def pleo(tmp_path: Path, lake: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Local]:
    with local(tmp_path, capsys) as made:
        made.connect()
        made.environ["PLEO_WAREHOUSE"] = f"iceberg:///{lake}"
        yield made


def warehouse_of(pleo: Local, code: int, **environ: str) -> dict[str, str]:
    ended = pleo.run("doctor", "--json", **environ)
    assert ended.code == code, ended.out
    found: dict[str, str] = {check["check"]: check["found"] for check in json.loads(ended.out)["checks"]}
    return found


def test_the_doctor_looks_at_the_folder_and_its_disk(pleo: Local, lake: Path, tmp_path: Path) -> None:
    assert "does not exist yet; the first sync makes it" in warehouse_of(pleo, 0)["warehouse"]
    assert pleo.run("sync", "companies").code == 0
    found = warehouse_of(pleo, 0)
    assert found["warehouse"].startswith("iceberg (PyIceberg ")
    assert f"{lake}, " in found["warehouse"]
    assert found["warehouse"].endswith("opens for writing")
    assert "GB free" in found["disk space"]
    (tmp_path / "file").write_text("x")
    assert "is not a folder" in warehouse_of(pleo, 1, PLEO_WAREHOUSE=f"iceberg:///{tmp_path}/file")["warehouse"]


def test_maintain_says_what_became_of_the_folder(pleo: Local, lake: Path) -> None:
    for _ in range(2):
        assert pleo.run("sync", "companies", "vendors").code == 0
    before = contents_of(lake, "vendors")
    told = json.loads(pleo.run("maintain", "--days", "0", "--json").out)
    assert told["done"]
    assert told["snapshots_forgotten"] > 0
    assert told["bytes_after"] < told["bytes_before"]
    assert contents_of(lake, "vendors") == before
    assert "snapshots older than 0 days forgotten" in pleo.run("maintain", "--days", "0").out


def contents_of(lake: Path, table: str) -> list[str]:
    with SqlCatalog("pleo", uri=f"sqlite:///{lake}/catalog.db") as catalogue:
        return sorted(map(str, catalogue.load_table(("pleo", table)).scan().to_arrow().to_pylist()))


def contents(lake: Path) -> dict[str, list[str]]:
    """Every row of every table of the catalogue, as PyIceberg reads it."""
    return {table.name: contents_of(lake, table.name) for table in CATALOGUE.tables()}


@pytest.mark.slow
def test_all_streams_then_nothing_then_an_edit_and_a_deletion(pleo: Local, lake: Path) -> None:
    first = pleo.run("sync")
    assert first.code == 0, first.err
    before = contents(lake)
    assert (len(before["accounting_entries"]), len(before["vendors"])) == (2150, 21)

    second = pleo.run("sync", "--mode", "full")
    assert second.code == 0, second.err
    assert "Nothing changed: all " in second.out
    assert contents(lake) == before

    one, other, *_ = pleo.sandbox.state.records("vendors")
    pleo.sandbox.state.put("vendors", one | {"name": "Renamed ApS"})
    pleo.sandbox.state.remove("vendors", str(other["id"]))
    third = pleo.run("sync", "vendors")
    assert third.out.splitlines()[1].split()[:6] == ["vendors", "20", "0", "1", "19", "1"]
    with open_warehouse(f"iceberg:///{lake}", "pleo").transaction() as work:
        assert work.scalar(f"SELECT name FROM {{schema}}.vendors WHERE id = '{one['id']}'") == "Renamed ApS"
        assert work.scalar(f"SELECT _deleted_source FROM {{schema}}.vendors WHERE id = '{other['id']}'") == "sweep_absent"
    changed = {name for name, rows in contents(lake).items() if rows != before[name]}
    assert changed == {"vendors"}


@pytest.mark.slow
def test_a_rest_catalogue_is_examined_synced_into_and_maintained(pleo: Local, tmp_path: Path) -> None:
    pleo.environ["PLEO_WAREHOUSE"] = url = named_catalogue(tmp_path / "rest")
    assert warehouse_of(pleo, 0)["warehouse"].endswith(f"the catalogue {url} answers")
    assert "which PyIceberg's configuration does not have" in warehouse_of(pleo, 1, PLEO_WAREHOUSE="iceberg://nowhere")["warehouse"]
    for _ in range(2):
        ended = pleo.run("sync", "companies", "vendors")
        assert ended.code == 0, ended.err
    told = json.loads(pleo.run("maintain", "--days", "0", "--json").out)
    assert told["snapshots_forgotten"] > 0
    assert told["bytes_before"] is None
    with open_warehouse(url, "pleo").transaction() as work:
        assert work.count(CATALOGUE.stream("vendors").tables()[0]) == 21
