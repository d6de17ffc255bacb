"""A catalogue under the rules that were chosen for its columns and for undeclared fields: what is hashed, what is dropped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pleo_connector.catalogue.hash_key import HashKey
from pleo_connector.catalogue.options import check_options, named_columns, ruled, sources_of
from pleo_connector.catalogue.registry import Catalogue
from pleo_connector.catalogue.stream import Child, Column, Stream
from pleo_connector.catalogue.types import LogicalType
from pleo_connector.column_rules import ColumnRule, plain_name
from pleo_connector.errors import ConfigurationError
from pleo_connector.stream_options import StreamOptions

Rules = Mapping[str, ColumnRule]


def under_rules(catalogue: Catalogue, options: Mapping[str, StreamOptions], key: str | None = None) -> Catalogue:
    """The catalogue with its columns as they will be stored: a hashed one is text, a dropped one is there and always NULL.

    Every stream also learns what becomes of undeclared fields: those that a rule names by path, and all that are named like a column
    with a rule, in whatever stream. With a key (`PLEO_HASH_KEY`) the streams can be synced; without one (None) they only say what the
    tables are like. ConfigurationError when something is hashed and the key is empty or too short, and for a rule that is not possible.
    """
    check_options(options, catalogue)
    columns: dict[str, dict[str, ColumnRule]] = {stream.name: {} for stream in catalogue}
    paths: dict[str, dict[str, ColumnRule]] = {stream.name: {} for stream in catalogue}
    for stream in catalogue:
        for name, rule in options[stream.name].columns.items() if stream.name in options else ():
            column, path = ruled(stream, name)
            (columns if path is None else paths)[stream.name][path or column] = rule
    for stream in catalogue:
        for name, column_ in named_columns(stream):
            source, _, other = column_.same_as.partition(".")
            if other in columns.get(source, {}):
                columns[stream.name].setdefault(name, columns[source][other])
    if not any(rule is not ColumnRule.KEEP for rules in (*columns.values(), *paths.values()) for rule in rules.values()):
        return catalogue
    hashes = [name for name in columns if ColumnRule.HASH in (*columns[name].values(), *paths[name].values())]
    if hashes and key == "":
        raise ConfigurationError(
            f"Columns of {hashes[0]} are to be hashed and PLEO_HASH_KEY is not set; set it to a secret of at least 32 bytes, and keep it: "
            "another key gives other hashes."
        )
    hash_key = HashKey(key) if hashes and key is not None else None
    names = _names(catalogue, columns, paths)
    return Catalogue(*(_stream(stream, columns[stream.name], paths[stream.name], names, hash_key) for stream in catalogue))


def _names(catalogue: Catalogue, columns: Mapping[str, Rules], paths: Mapping[str, Rules]) -> dict[str, ColumnRule]:
    """Field name -> rule. The name is that of the column, or of the field that the column is read from. Drop wins over hash."""
    rules: dict[str, ColumnRule] = {}
    for stream in catalogue:
        sources = dict(sources_of(stream))
        ruled_names = [
            *((name, rule) for column, rule in columns[stream.name].items() for name in (column, sources[column])),
            *paths[stream.name].items(),
        ]
        for name, rule in ruled_names:
            plain = plain_name(name.rpartition(".")[2])
            if rule is not ColumnRule.KEEP and rules.get(plain) is not ColumnRule.DROP:
                rules[plain] = rule
    return rules


def _stream(stream: Stream, columns: Rules, paths: Rules, names: Rules, hash_key: HashKey | None) -> Stream:
    return replace(
        stream,
        columns=_columns(stream.columns, columns, ""),
        children=_children(stream.children, columns),
        hash_key=hash_key,
        path_rules=tuple(paths.items()),
        name_rules=tuple(names.items()),
    )


def _children(children: tuple[Child, ...], rules: Rules) -> tuple[Child, ...]:
    return tuple(
        replace(child, columns=_columns(child.columns, rules, f"{child.name}."), children=_children(child.children, rules))
        for child in children
    )


def _columns(columns: tuple[Column, ...], rules: Rules, prefix: str) -> tuple[Column, ...]:
    return tuple(_column(column, rules.get(f"{prefix}{column.name}", ColumnRule.KEEP)) for column in columns)


def _column(column: Column, rule: ColumnRule) -> Column:
    if rule is ColumnRule.KEEP or column.rule is rule:
        return column
    if rule is ColumnRule.DROP:
        return replace(
            column,
            rule=rule,
            required=False,
            values=(),
            personal=False,
            description=f"{column.description} Dropped by choice: always NULL.",
        )
    description = f"{column.description} Hashed by choice: HMAC-SHA-256."
    return replace(column, rule=rule, type=LogicalType.TEXT, values=(), description=description)
