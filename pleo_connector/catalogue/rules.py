"""A catalogue under the rules that were chosen for its columns: what is hashed, what is dropped."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from pleo_connector.catalogue.hash_key import HashKey
from pleo_connector.catalogue.options import check_options
from pleo_connector.catalogue.registry import Catalogue
from pleo_connector.catalogue.stream import Child, Column, Stream
from pleo_connector.catalogue.types import LogicalType
from pleo_connector.column_rules import ColumnRule
from pleo_connector.errors import ConfigurationError
from pleo_connector.stream_options import StreamOptions

Rules = Mapping[str, ColumnRule]


def under_rules(catalogue: Catalogue, options: Mapping[str, StreamOptions], key: str | None = None) -> Catalogue:
    """The catalogue with its columns as they will be stored: a hashed one is text, a dropped one is there and always NULL.

    With a key (`PLEO_HASH_KEY`) its streams can be synced; without one (None) they only say what the tables are like.
    ConfigurationError when something is hashed and the key is empty or too short, and for a rule that cannot be kept.
    """
    check_options(options, catalogue)
    ruled = {
        name: {column: rule for column, rule in chosen.columns.items() if rule is not ColumnRule.KEEP} for name, chosen in options.items()
    }
    if not any(ruled.values()):
        return catalogue
    return Catalogue(*(_stream(stream, ruled[stream.name], key) if ruled.get(stream.name) else stream for stream in catalogue))


def _stream(stream: Stream, rules: Rules, key: str | None) -> Stream:
    hashes = ColumnRule.HASH in rules.values()
    if hashes and key == "":
        raise ConfigurationError(
            f"Columns of {stream.name} are to be hashed and PLEO_HASH_KEY is not set; set it to a secret of at least 32 bytes, and keep it: "
            "another key gives other hashes."
        )
    return replace(
        stream,
        columns=_columns(stream.columns, rules, ""),
        children=_children(stream.children, rules),
        hash_key=HashKey(key) if hashes and key is not None else None,
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
    told = f"{column.description} Hashed by choice: HMAC-SHA-256."
    return replace(column, rule=rule, type=LogicalType.TEXT, values=(), description=told)
