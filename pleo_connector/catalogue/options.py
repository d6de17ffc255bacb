"""Stream options against the catalogue: which streams and columns they may name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pleo_connector.catalogue.registry import CATALOGUE, Catalogue
from pleo_connector.catalogue.stream import Stream
from pleo_connector.errors import ConfigurationError
from pleo_connector.stream_options import DEFAULT_FILE, ColumnRule, StreamOptions, near_miss, parsed_options, read_options


def options_of(path: str, catalogue: Catalogue = CATALOGUE) -> dict[str, StreamOptions]:
    """The options in the file at `path` (`PLEO_CONFIG`; empty: `pleo.toml` where there is one), checked."""
    found = read_options(path, {stream.name: columns_of(stream) for stream in catalogue})
    check_options(found, catalogue, path or DEFAULT_FILE)
    return found


def options_from(document: dict[str, Any], source: str, catalogue: Catalogue = CATALOGUE) -> dict[str, StreamOptions]:
    """The options in a document with the tables of such a file (`defaults`, `streams`), checked."""
    found = parsed_options(document, source, {stream.name: columns_of(stream) for stream in catalogue})
    check_options(found, catalogue, source)
    return found


def check_options(options: Mapping[str, StreamOptions], catalogue: Catalogue, source: str = "options") -> None:
    """ConfigurationError for a stream or column that is not there, and for a column that a sync cannot do without."""
    for name, chosen in options.items():
        stream = catalogue.stream(name)
        known = columns_of(stream)
        for column, rule in chosen.columns.items():
            if column not in known:
                raise ConfigurationError(f"{source}: [streams.{name}.columns] there is no column {column!r}; {near_miss(column, known)}")
            if rule is not ColumnRule.KEEP and column in _needed(stream):
                raise ConfigurationError(f"{source}: [streams.{name}.columns] {column} must be kept: the sync itself goes by it.")


def columns_of(stream: Stream) -> tuple[str, ...]:
    """The columns that rules may name: those of the stream's table, and `table.column` of the tables below it."""
    names = [column.name for column in stream.columns]
    below = list(stream.children)
    while below:
        child = below.pop(0)
        names += [f"{child.name}.{column.name}" for column in child.columns]
        below += child.children
    return tuple(names)


def _needed(stream: Stream) -> set[str]:
    parent = stream.parent.column if stream.parent is not None else None
    needed = {stream.key, "company_id", stream.newest, stream.deleted_flag, parent, *stream.windowed_by}
    return {name for name in needed if name is not None}
