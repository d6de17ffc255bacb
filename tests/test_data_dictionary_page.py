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
