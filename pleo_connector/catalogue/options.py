"""Stream options against the catalogue: which streams and columns they may name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pleo_connector.catalogue.registry import CATALOGUE, Catalogue
from pleo_connector.catalogue.stream import Child, Column, LogicalType, Stream
from pleo_connector.column_rules import ColumnRule
from pleo_connector.errors import ConfigurationError
from pleo_connector.file_options import FILES_OF
from pleo_connector.settings_folder import OPTIONS_FILE
from pleo_connector.stream_options import StreamOptions, is_path, no_column, parsed_options, read_options

HASHABLE = frozenset(
    {
        LogicalType.TEXT,
        LogicalType.UUID,
        LogicalType.COUNTRY,
        LogicalType.CURRENCY,
        LogicalType.DATE,
        LogicalType.TIMESTAMP,
        LogicalType.JSON,
    }
)
"""Types of which a hash means something: two values are the same, or not."""


_MONEY = (LogicalType.MONEY, LogicalType.MONEY_TIMES_100)


def options_of(path: str, catalogue: Catalogue = CATALOGUE) -> dict[str, StreamOptions]:
    """The options in the file at `path` (`PLEO_CONFIG`; empty: `pleo.toml` where there is one), checked."""
    options = read_options(path, {stream.name: columns_of(stream) for stream in catalogue})
    check_options(options, catalogue, path or OPTIONS_FILE)
    return options


def options_from(document: dict[str, Any], source: str, catalogue: Catalogue = CATALOGUE) -> dict[str, StreamOptions]:
    """The options in a document with the tables of such a file (`defaults`, `streams`), checked."""
    options = parsed_options(document, source, {stream.name: columns_of(stream) for stream in catalogue})
    check_options(options, catalogue, source)
    return options


def check_options(options: Mapping[str, StreamOptions], catalogue: Catalogue, source: str = "options") -> None:
    """ConfigurationError for a stream or column that is not there, and for a column that a sync cannot do without."""
    for name, chosen in options.items():
        stream = catalogue.stream(name)
        needed = _needed(stream)
        if chosen.files is not None:
            if name != FILES_OF:
                raise ConfigurationError(
                    f"{source}: [streams.{name}] files can be fetched for {FILES_OF} alone; move it to [streams.{FILES_OF}]."
                )
            needed |= {"accounting_entry_id", "file_type"}
        for given, rule in chosen.columns.items():
            try:
                column, path = ruled(stream, given)
            except ValueError as error:
                raise ConfigurationError(f"{source}: [streams.{name}.columns] {error}") from None
            if path is not None:
                continue
            # A column that is hashed already is text by now: under_rules may be applied twice.
            if rule is ColumnRule.HASH and (kind := _column(stream, column).type) not in HASHABLE:
                raise ConfigurationError(
                    f"{source}: [streams.{name}.columns] {column} is of type {kind.value} and cannot be hashed; keep or drop it."
                )
            if rule is not ColumnRule.KEEP and column in needed:
                raise ConfigurationError(f"{source}: [streams.{name}.columns] {column} must be kept, because the sync itself uses it.")


def ruled(stream: Stream, name: str) -> tuple[str, str | None]:
    """What a rule names: (column, None), or ("", path of an undeclared field). ValueError with a sentence for anything else.

    A path is dotted as Pleo nests the fields; lists leave no trace in it, and `$.` before it makes a path of a field of the record itself.
    """
    known = columns_of(stream)
    if name in known:
        return name, None
    if not is_path(name, known):
        raise ValueError(no_column(name, known))
    path = name.removeprefix("$.").replace("[]", "")
    sources = dict(sources_of(stream))
    column = next((column for column, source in sources.items() if source == path), None)
    if column is not None:
        return column, None
    below = [column for column, source in sources.items() if source.startswith(f"{path}.")]
    if below:
        raise ValueError(f"{name!r} holds declared columns; name each that is meant: {', '.join(below)}.")
    whole = next((name for name, one in named_columns(stream) if one.type in _MONEY and path.startswith(f"{sources[name]}.")), None)
    if whole is not None:
        raise ValueError(f"{name!r} is a part of {whole}; name that column to drop it.")
    if any(path == dropped or path.startswith(f"{dropped}.") for dropped, _ in stream.ignored):
        raise ValueError(f"{name!r} is never kept, with or without a rule; take the rule out.")
    return "", path


def sources_of(stream: Stream) -> Iterator[tuple[str, str]]:
    """The columns that rules may name, each with the path of its field from the record."""
    yield from ((column.name, column.source) for column in stream.columns)
    yield from _sources_below(stream.children, "")


def _sources_below(children: Iterable[Child], above: str) -> Iterator[tuple[str, str]]:
    for child in children:
        path = f"{above}{child.source}"
        yield from ((f"{child.name}.{column.name}", f"{path}.{column.source}".rstrip(".")) for column in child.columns)
        yield from _sources_below(child.children, f"{path}.")


def columns_of(stream: Stream) -> tuple[str, ...]:
    """The columns that rules may name: those of the stream's table, and `table.column` of the tables below it."""
    return tuple(name for name, _ in named_columns(stream))


def named_columns(stream: Stream) -> Iterator[tuple[str, Column]]:
    """The columns by the names that rules know them by."""
    yield from ((column.name, column) for column in stream.columns)
    for child in _below(stream.children):
        yield from ((f"{child.name}.{column.name}", column) for column in child.columns)


def _column(stream: Stream, name: str) -> Column:
    return dict(named_columns(stream))[name]


def _below(children: Iterable[Child]) -> Iterator[Child]:
    for child in children:
        yield child
        yield from _below(child.children)


def _needed(stream: Stream) -> set[str]:
    parent = stream.parent.column if stream.parent is not None else None
    within = next((one.name for one in stream.columns if stream.parent is not None and one.source == stream.parent.within), None)
    identities = {f"{child.name}.{child.identity}" for child in _below(stream.children) if child.identity is not None}
    needed = {stream.key, "company_id", stream.newest, stream.deleted_flag, parent, within, *stream.windowed_by, *identities}
    return {name for name in needed if name is not None}
