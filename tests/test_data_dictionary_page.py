"""docs/data-dictionary.md says what the catalogue and the marts say."""

from __future__ import annotations

import runpy
from pathlib import Path

from pleo_connector.analytics import marts
from pleo_connector.catalogue import CATALOGUE

ROOT = Path(__file__).parents[1]


def test_the_dictionary_is_what_the_script_writes() -> None:
    page = (ROOT / "docs" / "data-dictionary.md").read_text(encoding="utf-8")
    assert page == runpy.run_path(str(ROOT / "scripts" / "data-dictionary"))["dictionary"](), "run scripts/data-dictionary"
    names = [table.name for table in CATALOGUE.tables()] + [mart.name for mart in marts()]
    assert all(f"### {name}\n" in page for name in names)


def test_values_of_entries_are_listed_with_their_meaning() -> None:
    page = (ROOT / "docs" / "data-dictionary.md").read_text(encoding="utf-8")
    table = CATALOGUE.table("accounting_entries")
    for column in CATALOGUE.stream("accounting_entries").columns:
        if column.name in ("family", "sub_family", "status", "review_status", "export_status"):
            (field,) = (field for field in table.fields if field.name == column.name)
            assert dict(column.meanings).keys() == set(column.values) and column.values
            for value, meaning in column.meanings:
                assert f"{value} ({meaning})" in field.description, "the comment in the database is the field's description"
                assert f"{value} ({meaning})" in page


def test_every_open_set_is_listed() -> None:
    for stream in CATALOGUE:
        for column in stream.columns:
            description = column.fields()[0].description
            assert all(value in description for value in column.values), f"{stream.name}.{column.name}"
