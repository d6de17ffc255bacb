"""`pleo-connector sync` into Iceberg tables: all streams, nothing, edits and deletions."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pyiceberg.catalog.sql import SqlCatalog

from pleo_connector.catalogue import CATALOGUE
from pleo_connector.warehouses import open_warehouse
from tests.cli.local import Local, local


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    return tmp_path / "lake"


@pytest.fixture
def pleo(tmp_path: Path, lake: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Local]:
    with local(tmp_path, capsys) as made:
        made.connect()
        made.environ["PLEO_WAREHOUSE"] = f"iceberg:///{lake}"
        yield made


def contents(lake: Path) -> dict[str, list[str]]:
    """Every row of every table of the catalogue, as PyIceberg reads it."""
    with SqlCatalog("pleo", uri=f"sqlite:///{lake}/catalog.db") as catalogue:
        tables = {table.name: catalogue.load_table(("pleo", table.name)).scan().to_arrow() for table in CATALOGUE.tables()}
    return {name: sorted(map(str, rows.to_pylist())) for name, rows in tables.items()}


def test_all_streams_then_nothing_then_an_edit_and_a_deletion(pleo: Local, lake: Path) -> None:
    first = pleo.run("sync")
    assert first.code == 0, first.err
    before = contents(lake)
    assert (len(before["accounting_entries"]), len(before["vendors"])) == (2000, 21)

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
