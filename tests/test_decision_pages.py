"""docs/decisions: pages are numbered without gaps, the index lists each with its title, and every link to a page leads somewhere."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[1]
DECISIONS = ROOT / "docs" / "decisions"
PAGES = sorted(DECISIONS.glob("0*.md"))


def test_pages_are_numbered_without_gaps() -> None:
    assert [int(page.name[:4]) for page in PAGES] == list(range(1, len(PAGES) + 1))


def test_the_index_lists_each_page_with_its_title() -> None:
    rows = [
        f"| [{int(page.name[:4])}]({page.name}) | {page.read_text(encoding='utf-8').splitlines()[0].removeprefix('# ')} |" for page in PAGES
    ]
    lines = (DECISIONS / "README.md").read_text(encoding="utf-8").splitlines()
    assert [line for line in lines if line.startswith("| [")] == rows


def test_every_link_to_a_page_leads_somewhere() -> None:
    names = {page.name for page in PAGES}
    for file in [ROOT / "CHANGELOG.md", ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]:
        linked = set(re.findall(r"\b0\d{3}-[a-z0-9-]+\.md", file.read_text(encoding="utf-8")))
        assert linked <= names, f"{file.name}: {linked - names}"
