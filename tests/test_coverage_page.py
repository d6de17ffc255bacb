"""docs/coverage.md says what the catalogue says."""

from __future__ import annotations

import runpy
from pathlib import Path

from pleo_connector.catalogue import CATALOGUE
from pleo_connector.catalogue.left_out import LEFT_OUT

ROOT = Path(__file__).parents[1]


def test_the_coverage_page_is_what_the_script_writes() -> None:
    page = (ROOT / "docs" / "coverage.md").read_text(encoding="utf-8")
    assert page == runpy.run_path(str(ROOT / "scripts" / "coverage"))["coverage"](), "run scripts/coverage"
    assert all(f"| {stream.name} |" in page for stream in CATALOGUE)
    assert all(f"| {name} |" in page for name in LEFT_OUT)


def test_nothing_is_left_for_later() -> None:
    assert [name for name, reason in LEFT_OUT.items() if "planned" in reason or "later" in reason] == []
