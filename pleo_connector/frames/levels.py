"""A stream's declaration as levels, once per stream: what to read of each kind of JSON object, and where.

A `Level` is one kind of JSON object: the record itself, or the elements of one list in it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TypeAlias

from pleo_connector.catalogue import Child, Column, LogicalType, Stream, Table

NORMALISER_VERSION = 2
"""Part of every row hash: raise it when the same bytes give other rows, and all rows are written anew."""

TEXT_LIKE = (LogicalType.TEXT, LogicalType.COUNTRY, LogicalType.CURRENCY)

Parts: TypeAlias = tuple[str, ...]
"""Where a value is in its level's object; () is the object, or the bare element, itself."""
JsonShape: TypeAlias = "dict[str, JsonShape] | list[JsonShape] | str"
"""A JSON structure as DuckDB reports it: objects and lists of structures, down to the names of types."""

_NUMBERS = frozenset({"BIGINT", "UBIGINT", "DOUBLE", "HUGEINT"})
SERVED_AS = {
    LogicalType.BOOLEAN: frozenset({"BOOLEAN"}),
    LogicalType.INTEGER: _NUMBERS,
    LogicalType.RATE: _NUMBERS,
    LogicalType.MONEY_TIMES_100: _NUMBERS,
}
"""The JSON types of a logical type, where it is not a string; JSON takes any."""
_STRING = frozenset({"VARCHAR"})


@dataclass(frozen=True, slots=True)
class Leaf:
    """One JSON value and the column it becomes."""

    name: str
    parts: Parts
    type: LogicalType
    path: str
    """As reported, from the record: `splitItems[].transactionValue.minors`."""

    @property
    def served_as(self) -> frozenset[str]:
        """JSON types, as DuckDB names them, that the value may have."""
        return SERVED_AS.get(self.type, _STRING)

    def may_be(self, shape: JsonShape) -> bool:
        """Whether values of this structure, or none, are as declared."""
        return self.type is LogicalType.JSON or shape == "NULL" or (isinstance(shape, str) and shape in self.served_as)


@dataclass(frozen=True, slots=True)
class Level:
    """One kind of JSON object; `depth` counts the lists above it."""

    table: Table
    path: str
    """Where these objects are in the record: "" for records, `splitItems[]` for elements."""
    depth: int
    columns: tuple[Column, ...]
    leaves: tuple[Leaf, ...]
    lists: tuple[tuple[Parts, Level], ...]
    identity: tuple[str, str] | None
    """(own column, name under which the elements below repeat it)."""
    objects: dict[Parts, frozenset[str]]
    """Each declared object -> its declared and dropped keys; empty where elements are bare values."""
    sparse: bool = False
    """Whether objects may be null, and then leave no row."""
    keeps_unknown: bool = True
    """Whether undeclared fields go to `_extra`; their names are reported in both cases."""
    key: str = ""
    """The column without which a record has no key."""

    def walk(self) -> Iterator[Level]:
        """The level itself and all below, parents first."""
        yield self
        for _, level in self.lists:
            yield from level.walk()

    def path_to(self, source: str) -> str:
        """A place in this level's object as a path from the record."""
        return ".".join(part for part in (self.path, source) if part)

    @property
    def structure(self) -> dict[str, object] | str:
        """For DuckDB's `from_json`, lists included: values as text, free-form ones as JSON."""
        if not self.objects:
            return "VARCHAR"
        tree: dict[str, object] = {}
        for leaf in self.leaves:
            put(tree, leaf.parts, "JSON" if leaf.type is LogicalType.JSON else "VARCHAR")
        for parts, level in self.lists:
            put(tree, parts, [level.structure])
        return tree

    def suspects(self, shape: JsonShape) -> Iterator[Level]:
        """The levels whose objects may differ from the declaration; `shape` is the structure of all objects in one."""
        odd = any(_odd(shape, parts, keys) for parts, keys in self.objects.items())
        if odd or any(not leaf.may_be(_at(shape, leaf.parts)) for leaf in self.leaves):
            yield self
        for parts, level in self.lists:
            below = _at(shape, parts)
            if isinstance(below, list):
                yield from level.suspects(below[0])
            elif below != "NULL":
                yield from (self, *level.walk())


def put(tree: dict[str, object], parts: Parts, value: object) -> None:
    """Set a value deep in nested dicts."""
    for part in parts[:-1]:
        below = tree.setdefault(part, {})
        if not isinstance(below, dict):
            raise TypeError(f"{'.'.join(parts)} runs through a field that is declared as a value")
        tree = below
    tree[parts[-1]] = value


def _at(shape: JsonShape, parts: Parts) -> JsonShape:
    """The structure at a place; a structure that is no object is returned as it is."""
    for part in parts:
        if not isinstance(shape, dict):
            return shape
        shape = shape.get(part, "NULL")
    return shape


def _odd(shape: JsonShape, parts: Parts, keys: frozenset[str]) -> bool:
    inner = _at(shape, parts)
    return not inner.keys() <= keys if isinstance(inner, dict) else inner != "NULL"


@dataclass(frozen=True, slots=True)
class StreamLevels:
    """A compiled stream."""

    top: Level
    structure: str
    fingerprint: str


@lru_cache(maxsize=64)
def compile_levels(stream: Stream) -> StreamLevels:
    """The stream's levels, their structure as JSON, and the fingerprint of its declaration."""
    tables = {table.name: table for table in stream.tables()}
    within = stream.parent.within if stream.parent is not None else None
    key = next((column.name for column in stream.columns if column.source == within), stream.key)
    drops = _Drops(tuple(path for path, _ in stream.ignored), stream.keeps_unknown)
    top = replace(_level(tables[stream.name], "", 0, stream.columns, stream.children, tables, drops), key=key)
    declaration = [
        NORMALISER_VERSION,
        _declared(stream.columns),
        _declared_children(stream.children),
        stream.deleted_flag,
        stream.key,
        *((stream.parent.column, within) if stream.parent else ()),
    ]
    return StreamLevels(top, json.dumps(top.structure), hashlib.md5(json.dumps(declaration).encode(), usedforsecurity=False).hexdigest())


def _declared(columns: Sequence[Column]) -> list[list[str]]:
    return [[column.source, column.name, column.type.value] for column in columns]


def _declared_children(children: Sequence[Child]) -> list[object]:
    return [[child.name, child.source, child.identity, _declared(child.columns), _declared_children(child.children)] for child in children]


@dataclass(frozen=True, slots=True)
class _Drops:
    """What a stream drops: paths from a level's objects, and whether it keeps undeclared fields."""

    paths: tuple[str, ...]
    keeps_unknown: bool

    def below(self, source: str) -> _Drops:
        """The same for the elements of a list."""
        inside = (path.removeprefix(f"{source}.") for path in self.paths if path.startswith(f"{source}."))
        return _Drops(tuple(inside), self.keeps_unknown)

    def outside(self, children: Sequence[Child]) -> Iterator[Parts]:
        """The paths that run through none of the lists."""
        for path in self.paths:
            if not any(path.startswith(f"{child.source}.") for child in children):
                yield tuple(path.split("."))


def _level(
    table: Table,
    path: str,
    depth: int,
    columns: tuple[Column, ...],
    children: Sequence[Child],
    tables: dict[str, Table],
    drops: _Drops,
    identity: tuple[str, str] | None = None,
) -> Level:
    leaves = tuple(leaf for column in columns for leaf in _leaves(column, path))
    lists: list[tuple[Parts, Level]] = []
    for child in children:
        below = f"{path}.{child.source}[]" if path else f"{child.source}[]"
        named = (child.identity, f"{child.record}_{child.identity}") if child.identity and child.children else None
        level = _level(tables[child.name], below, depth + 1, child.columns, child.children, tables, drops.below(child.source), named)
        lists.append((tuple(child.source.split(".")), replace(level, sparse=child.sparse)))
    objects: dict[Parts, frozenset[str]] = {}
    for parts in (*(leaf.parts for leaf in leaves), *(parts for parts, _ in lists), *drops.outside(children)):
        for length in range(len(parts)):
            objects[parts[:length]] = objects.get(parts[:length], frozenset()) | {parts[length]}
    return Level(table, path, depth, columns, leaves, tuple(lists), identity, objects, keeps_unknown=drops.keeps_unknown)


def _leaves(column: Column, path: str) -> Iterator[Leaf]:
    source, name = column.source, column.name
    currency = (f"{name}_currency", f"{source}.currency", LogicalType.CURRENCY)
    if column.type is LogicalType.MONEY:
        wanted = [(f"{name}_minors", f"{source}.minors", LogicalType.INTEGER), currency]
    elif column.type is LogicalType.MONEY_TIMES_100:
        wanted = [(f"{name}_value", f"{source}.value", LogicalType.MONEY_TIMES_100), currency]
    else:
        wanted = [(name, source, column.type)]
    for name, at, kind in wanted:
        yield Leaf(name, tuple(at.split(".")) if at else (), kind, ".".join(part for part in (path, at) if part))
