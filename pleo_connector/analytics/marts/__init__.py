"""Marts: a SQL file each, whose leading comment declares what it shows.

The comment's first paragraph describes the view. Then one line for each column, in order:

    -- name storage: What it says. [table.column, table.column]

with the columns that its values come from in brackets. A new mart is a new file here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from graphlib import TopologicalSorter
from importlib.resources import files

from pleo_connector.catalogue import Storage, View, ViewColumn

_COLUMN = re.compile(r"(?P<name>\w+) (?P<storage>[a-z]+): (?P<description>.+?)(?: \[(?P<sources>[^\]]+)\])?")
_READ = re.compile(r"(?<!DISTINCT )\b(?:FROM|JOIN)\s+([a-z_]+)")
_DEFINED = re.compile(r"\b([a-z_]+) AS \(")


@cache
def marts() -> tuple[View, ...]:
    """Every mart, those that others read first. ValueError names the file and line of a header that cannot be read."""
    marts_by_name = {}
    for file in files(__name__).iterdir():
        if file.name.endswith(".sql"):
            view = parse(file.name.removesuffix(".sql"), file.read_text("utf-8"))
            marts_by_name[view.name] = view
    return tuple(_ordered(marts_by_name.values()))


def parse(name: str, text: str) -> View:
    """The view that a SQL file declares."""
    lines = text.splitlines()
    header = [line[2:].strip() for line in lines if line.startswith("--")]
    if "" not in header or not lines[0].startswith("--"):
        raise ValueError(f"{name}.sql: begins with a description, an empty comment line, and a line for each column")
    blank = header.index("")
    sql = "\n".join(line for line in lines[len(header) :] if line.strip())
    reads = sorted(set(_READ.findall(sql)) - set(_DEFINED.findall(sql)))
    return View(name, " ".join(header[:blank]), sql, tuple(_columns(name, header[blank + 1 :])), tuple(reads))


def _columns(name: str, lines: Iterable[str]) -> Iterator[ViewColumn]:
    for line in lines:
        match = _COLUMN.fullmatch(line)
        if match is None:
            raise ValueError(f"{name}.sql: this is not 'column storage: description. [table.column]': {line}")
        sources = tuple(
            (table, column) for table, _, column in (part.strip().partition(".") for part in (match["sources"] or "").split(",") if part)
        )
        yield ViewColumn(match["name"], Storage(match["storage"]), match["description"], sources)


def _ordered(views: Iterable[View]) -> Iterator[View]:
    by_name = {view.name: view for view in views}
    order = TopologicalSorter({name: {read for read in view.reads if read in by_name} for name, view in sorted(by_name.items())})
    return (by_name[name] for name in order.static_order())
