"""Views as every SQL warehouse keeps them: made once, remade when they change, never somebody else's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest

from pleo_connector.analytics import refresh, views
from pleo_connector.catalogue import CATALOGUE, Storage, View, ViewColumn
from pleo_connector.errors import WarehouseError
from pleo_connector.warehouses import Warehouse, open_warehouse
from pleo_connector.warehouses.dialect import DUCKDB, Dialect
from pleo_connector.warehouses.postgres_dialect import POSTGRES
from tests.place import Place, sandbox
from tests.postgres_server import new_database

Ask = Callable[[str], list[tuple[Any, ...]]]


@contextmanager
def _asking(url: str) -> Iterator[Ask]:
    if url.startswith("postgresql"):
        with psycopg.connect(url, autocommit=True, options="-c search_path=pleo") as server:
            yield lambda sql: server.execute(sql).fetchall()
    else:
        with closing(duckdb.connect(url.removeprefix("duckdb:///"))) as file:
            file.execute("USE pleo; SET TimeZone = 'UTC'")
            yield lambda sql: file.execute(sql).fetchall()


@pytest.fixture(params=["duckdb", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return f"duckdb:///{tmp_path}/books.duckdb" if request.param == "duckdb" else new_database()


@pytest.fixture
def warehouse(url: str) -> Warehouse:
    return open_warehouse(url, "pleo")


NUMBER = View(
    "number", "One number.", "SELECT count(*) AS n FROM companies", (ViewColumn("n", Storage.BIGINT, "How many."),), ("companies",)
)
DOUBLED = View("doubled", "Twice it.", "SELECT n * 2 AS n FROM number", (ViewColumn("n", Storage.BIGINT, "How many."),), ("number",))


def _define(warehouse: Warehouse, *made: View) -> tuple[str, ...]:
    with warehouse.transaction() as transaction:
        transaction.ensure(CATALOGUE.tables())
        return transaction.define(made)


def _run(url: str, statement: str) -> None:
    """A statement of a person's own."""
    if url.startswith("postgresql"):
        with psycopg.connect(url, autocommit=True, options="-c search_path=pleo") as server:
            server.execute(statement)
    else:
        with closing(duckdb.connect(url.removeprefix("duckdb:///"))) as file:
            file.execute("USE pleo")
            file.execute(statement)


def test_views_are_made_once_and_dropped_ones_come_back(url: str, warehouse: Warehouse) -> None:
    names = tuple(view.name for view in views())
    assert refresh(warehouse) == names
    assert refresh(warehouse) == ()
    _run(url, "DROP VIEW missing_receipts")
    assert refresh(warehouse) == ("missing_receipts",)


def test_tables_that_no_sync_made_are_made_empty_and_their_views_over_them(url: str) -> None:
    assert refresh(open_warehouse(url, "pleo")) == tuple(view.name for view in views())
    with _asking(url) as ask:
        assert {ask(f"SELECT count(*) FROM {view.name}")[0][0] for view in views()} == {0}


def test_a_changed_view_is_remade_with_those_that_read_it(url: str, warehouse: Warehouse) -> None:
    assert _define(warehouse, NUMBER, DOUBLED) == ("number", "doubled")
    changed = View(
        "number",
        "Seven.",
        "SELECT 7 AS n, 'x' AS x",
        (ViewColumn("n", Storage.BIGINT, "Seven."), ViewColumn("x", Storage.TEXT, "New.")),
        (),
    )
    assert _define(warehouse, changed, DOUBLED) == ("number", "doubled")
    with _asking(url) as ask:
        assert ask("SELECT n FROM doubled") == [(14,)]
        assert ask("SELECT x FROM number") == [("x",)]


def test_a_view_of_somebody_else_is_left_alone(url: str, warehouse: Warehouse) -> None:
    _define(warehouse)
    _run(url, "CREATE VIEW number AS SELECT 42 AS mine")
    with pytest.raises(WarehouseError, match="has a view number that the connector did not make: rename it"):
        _define(warehouse, NUMBER)
    with _asking(url) as ask:
        assert ask("SELECT mine FROM number") == [(42,)]


def test_a_view_of_somebody_s_own_over_ours_stops_only_what_it_stands_on(url: str, warehouse: Warehouse) -> None:
    other = View("other", "Another.", "SELECT 1 AS n", (ViewColumn("n", Storage.BIGINT, "One."),), ())
    _define(warehouse, NUMBER, DOUBLED, other)
    _run(url, "CREATE SCHEMA reports")
    _run(url, "CREATE VIEW reports.mine AS SELECT n + 1 AS more FROM pleo.doubled")
    anew = [
        View(one.name, one.description, f"SELECT 'x' AS x, n FROM ({one.sql}) AS before", (text, *one.columns), one.reads)
        for text in [ViewColumn("x", Storage.TEXT, "New.")]
        for one in (NUMBER, DOUBLED, other)
    ]
    new = [View("tripled", "Thrice it.", f"SELECT {column} AS n FROM number", NUMBER.columns, ("number",)) for column in ("n * 3", "x")]
    anew += [new[0], View("odd", "Needs what is new.", new[1].sql, (ViewColumn("n", Storage.TEXT, "New."),), new[1].reads)]
    result: list[str] = []
    for _ in range(2):  # nothing changes until the person does something
        result.clear()
        with warehouse.transaction() as transaction:
            made = transaction.define(anew, result.append)
        if url.startswith("duckdb"):
            break
        assert made in (("other", "tripled"), ())
        (sentence,) = result
        assert "The view number in postgresql://" in sentence
        assert (
            "was not changed, with doubled, tripled, odd: view reports.mine depends on view doubled. Drop what depends on it, run"
            in sentence
        )
    else:
        with _asking(url) as ask:
            assert ask("SELECT n FROM doubled") == [(0,)] and ask("SELECT x FROM other") == [("x",)]
            assert ask("SELECT more FROM reports.mine") == [(1,)]
        _run(url, "DROP VIEW reports.mine")
        result.clear()
        with warehouse.transaction() as transaction:
            made = transaction.define(anew, result.append)
    assert not result and {"number", "doubled"} <= set(made)
    with _asking(url) as ask:
        assert ask("SELECT x, n FROM doubled") == [("x", 0)]


def test_a_view_that_keeps_its_columns_is_renewed_under_somebody_s_own(url: str, warehouse: Warehouse) -> None:
    _define(warehouse, NUMBER, DOUBLED)
    _run(url, "CREATE VIEW mine AS SELECT n + 1 AS more FROM doubled")
    result: list[str] = []
    described = View("number", "Now seven.", "SELECT 7::BIGINT AS n", NUMBER.columns, ())
    with warehouse.transaction() as transaction:
        assert transaction.define([described, DOUBLED], result.append) == ("number", "doubled")
    assert not result
    with _asking(url) as ask:
        assert ask("SELECT more FROM mine") == [(15,)]


def test_a_new_view_below_an_old_one_is_no_reason_to_drop_it(url: str, warehouse: Warehouse) -> None:
    first = View("number", "One.", "SELECT 1 AS n", (ViewColumn("n", Storage.BIGINT, "One."),), ())
    _define(warehouse, first)
    _run(url, "CREATE VIEW mine AS SELECT n FROM number")
    below = View("below", "Two.", "SELECT CAST(2 AS INTEGER) AS n", (ViewColumn("n", Storage.BIGINT, "Two."),), ())
    over = View("number", "Two.", "SELECT n FROM below", (ViewColumn("n", Storage.BIGINT, "Two."),), ("below",))
    assert _define(warehouse, below, over) == ("below", "number")
    with _asking(url) as ask:
        assert ask("SELECT n FROM mine") == [(2,)]


def test_types_and_comments_are_the_declared_ones(url: str, warehouse: Warehouse) -> None:
    refresh(warehouse)
    dialect: Dialect = POSTGRES if url.startswith("postgresql") else DUCKDB
    with _asking(url) as ask:
        for view in views():
            found = (
                ask(
                    "SELECT attname::text, format_type(atttypid, atttypmod), col_description(attrelid, attnum) FROM pg_attribute "
                    f"WHERE attrelid = '{view.name}'::regclass AND attnum > 0 ORDER BY attnum"
                )
                if dialect is POSTGRES
                else ask(
                    f"SELECT column_name, data_type, comment FROM duckdb_columns() WHERE table_name = '{view.name}' ORDER BY column_index"
                )
            )
            for (name, kind, comment), column in zip(found, view.columns, strict=True):
                declared = dialect.catalogue_types[column.storage]
                # PostgreSQL forgets precision and scale in sums and unions; the values keep theirs.
                bare = kind == "numeric" and column.storage in (Storage.MONEY, Storage.RATE)
                assert (name, declared if bare else kind, comment) == (column.name, declared, column.description), view.name


@pytest.mark.slow
def test_every_warehouse_gives_the_same_figures(tmp_path: Path) -> None:
    figures: dict[str, dict[str, list[tuple[Any, ...]]]] = {}
    with sandbox() as pleo:
        for url in (f"duckdb:///{tmp_path}/books.duckdb", new_database()):
            place = Place(tmp_path, pleo, url)
            assert not place.run().failures
            refresh(place.warehouse)
            with _asking(url) as ask:
                marts = [view.name for view in views() if not view.name.startswith("live_")]
                figures[url] = {name: sorted(ask(f"SELECT * FROM {name}"), key=repr) for name in marts}
                (total,) = ask("SELECT sum(amount) FROM spend WHERE currency = 'EUR'")
                for name in marts:
                    if name.startswith("spend_by_") and name != "spend_by_tag":
                        assert ask(f"SELECT sum(spend) FROM {name} WHERE currency = 'EUR'") == [total], name
    one, other = figures.values()
    assert one == other
    assert all(one.values())
