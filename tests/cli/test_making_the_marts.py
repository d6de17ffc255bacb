"""`pleo-connector marts`, and the views that a sync keeps in step."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pleo_connector.analytics import marts, views
from tests.cli.local import Local, local


@pytest.fixture
def pleo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Local]:
    with local(tmp_path, capsys) as made:
        made.connect()
        yield made


def _ask(pleo: Local, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(pleo.warehouse)) as connection:
        connection.execute(f'USE "{pleo.warehouse.stem}".pleo')
        return connection.execute(sql).fetchall()


def _views(pleo: Local) -> set[str]:
    return {name for (name,) in _ask(pleo, "SELECT view_name FROM duckdb_views() WHERE schema_name = 'pleo'")}


def test_a_sync_makes_the_views_and_marts_says_that_they_are_there(pleo: Local) -> None:
    assert pleo.run("sync", "companies").code == 0
    assert _views(pleo) == {view.name for view in views()}
    ended = pleo.run("marts")
    assert ended.code == 0
    assert "All views are up to date in" in ended.out
    assert all(mart.name in ended.out for mart in marts())


def test_a_warehouse_without_views_is_not_said_to_have_them(pleo: Local, tmp_path: Path) -> None:
    assert pleo.run("sync", "companies", PLEO_WAREHOUSE=f"iceberg:///{tmp_path}/lake").code == 0
    ended = pleo.run("marts", PLEO_WAREHOUSE=f"iceberg:///{tmp_path}/lake")
    assert ended.code == 0
    assert "lake keeps no views; its table _categories is there" in " ".join(ended.out.split())


def test_without_marts_a_sync_makes_none_and_the_command_makes_them_now(pleo: Local) -> None:
    assert pleo.run("sync", "companies", PLEO_MARTS="off").code == 0
    assert _views(pleo) == set()
    document = json.loads(pleo.run("marts", "--json").out)
    assert document["made"] == [view.name for view in views()]
    assert {mart["view"] for mart in document["marts"]} == {mart.name for mart in marts()}


def test_listing_opens_no_warehouse(pleo: Local) -> None:
    assert "spend_by_month" in pleo.run("marts", "--list").out
    assert not pleo.warehouse.exists()


def test_a_view_in_the_way_warns_and_the_rows_are_loaded(pleo: Local) -> None:
    pleo.run("sync", "companies", PLEO_MARTS="off")
    _ask(pleo, "CREATE VIEW spend AS SELECT 42 AS mine")
    ended = pleo.run("sync", "vendors")
    assert ended.code == 0
    assert "Warning: The rows are loaded; the views for analysts are as they were: " in ended.err
    assert "has a view spend that the connector did not make" in ended.err
    assert _ask(pleo, "SELECT count(*) FROM vendors") == [(21,)]
    assert _ask(pleo, "SELECT mine FROM spend") == [(42,)]
