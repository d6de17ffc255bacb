"""Writes a generated table into a Markdown file, between its two markers."""

from __future__ import annotations

import re
from pathlib import Path


def write(file: Path, name: str, text: str) -> None:
    """Replace what stands between `<!-- NAME -->` and `<!-- /NAME -->`."""
    before = file.read_text(encoding="utf-8")
    after, found = re.subn(
        rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", lambda marks: f"{marks[1]}\n{text.strip()}\n\n{marks[2]}", before, flags=re.DOTALL
    )
    if found != 1:
        raise SystemExit(f"{file} has no section {name}")
    file.write_text(after, encoding="utf-8")
