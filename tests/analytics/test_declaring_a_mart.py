from __future__ import annotations

import pytest
from sqlglot import exp, parse_one
from sqlglot.lineage import lineage

from pleo_connector.analytics import CATEGORIES, live_views, marts, views
from pleo_connector.analytics.marts import parse
from pleo_connector.catalogue import CATALOGUE, Catalogue, View

_TABLES = (*CATALOGUE.tables(), CATEGORIES)
_KNOWN = {table.name: dict.fromkeys(table.column_names, "text") for table in _TABLES} | {
    mart.name: {column.name: "text" for column in mart.columns} for mart in marts()
}


@pytest.mark.parametrize("mart", marts(), ids=lambda mart: str(mart.name))
def test_the_declared_sources_are_those_of_the_sql(mart: View) -> None:
    for column in mart.columns:
        node = lineage(column.name, mart.sql, schema=_KNOWN, dialect="postgres")
        found = {(leaf.source.name, leaf.name.split(".")[-1].strip('"')) for leaf in node.walk() if isinstance(leaf.source, exp.Table)}
        assert set(column.sources) == found, f"{mart.name}.{column.name}"


@pytest.mark.parametrize("mart", marts(), ids=lambda mart: str(mart.name))
def test_the_declared_columns_are_those_of_the_sql(mart: View) -> None:
    assert [column.name for column in mart.columns] == parse_one(mart.sql, dialect="postgres").named_selects  # type: ignore[attr-defined]
    assert set(mart.reads) <= set(_KNOWN)


def test_views_come_after_what_they_read() -> None:
    made: set[str] = {table.name for table in _TABLES}
    for view in views():
        assert made.issuperset(view.reads), view.name
        assert view.name not in made
        made.add(view.name)


def test_a_catalogue_without_entries_has_no_marts_of_them() -> None:
    few = Catalogue(CATALOGUE.stream("companies"), CATALOGUE.stream("employees"))
    assert views(few) == live_views(few)


GOOD = "-- One row for each company.\n--\n-- n bigint: How many. [companies.id]\nSELECT count(id) AS n\nFROM companies\n"


def test_a_file_is_a_description_its_columns_and_a_query() -> None:
    view = parse("number", GOOD)
    assert (view.description, view.reads, view.sql) == (
        "One row for each company.",
        ("companies",),
        "SELECT count(id) AS n\nFROM companies",
    )
    assert [(column.name, column.storage.value, column.sources) for column in view.columns] == [("n", "bigint", (("companies", "id"),))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (GOOD.replace("--\n", ""), "number.sql: begins with a description, an empty comment line"),
        (GOOD.replace("n bigint:", "n bigint"), "number.sql: this is not 'column storage: description. .table.column.': n bigint How many"),
        (GOOD.replace("bigint", "number"), "'number' is not a valid Storage"),
        (GOOD.replace("[companies.id]", "[vendors.id]"), r"view number: columns come from \['vendors'\], which it does not read"),
    ],
)
def test_a_header_that_says_something_else_is_refused(text: str, expected: str) -> None:
    with pytest.raises(ValueError, match=expected):
        parse("number", text)
