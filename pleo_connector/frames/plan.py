"""A stream's declaration compiled to SQL, once per stream and policy.

A `Level` reads one kind of JSON object: the record itself, or the elements of one list in it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from pleo_connector.catalogue import Child, Column, LogicalType, Stream, Table
from pleo_connector.catalogue.types import NIL_UUID
from pleo_connector.frames import expressions as sql

NORMALISER_VERSION = 1
"""Part of every row hash: raise it when the same bytes give other rows, and all rows are written anew."""

SEPARATOR = "chr(31)"
"""Between hashed values. JSON text never holds it unescaped, so two records cannot run together."""

TEXT_LIKE = (LogicalType.TEXT, LogicalType.COUNTRY, LogicalType.CURRENCY)
MASK_BITS = 60


@dataclass(frozen=True, slots=True)
class Rule:
    """One way in which a value is impossible: `test` is SQL over a level's raw and typed columns."""

    test: str
    path: str
    reason: str


@dataclass(slots=True)
class Level:
    """SQL to read one list of JSON objects. Relations have columns `i` (record), `p1`..`pn` (positions), `rec`."""

    table: Table
    path: str
    """Where these objects are in the record: "" for records, `splitItems[]` for elements."""
    depth: int
    columns: tuple[Column, ...]
    structure: dict[str, object] = field(default_factory=dict)
    raws: dict[str, str] = field(default_factory=dict)
    """Raw column name -> SQL for its JSON text."""
    typed: dict[str, str] = field(default_factory=dict)
    """Output column name -> SQL over the raw columns."""
    careful: dict[str, str] = field(default_factory=dict)
    """The same for columns with a slower, complete reading, used when the quick one finds a value impossible."""
    rules: list[Rule] = field(default_factory=list)
    changes: list[tuple[str, str]] = field(default_factory=list)
    """(path, SQL test) of each text value that may be served as another scalar."""
    objects: dict[str, frozenset[str]] = field(default_factory=dict)
    """JSON path of each declared object -> its declared keys."""
    children: list[tuple[str, Level]] = field(default_factory=list)
    """(raw column holding the list, level of its elements)."""
    carried: tuple[str, ...] = ()
    """Columns repeated from the elements above (`split_id`)."""
    identity: tuple[str, str] | None = None
    """(own column, name under which the elements below repeat it)."""
    free_form: list[str] = field(default_factory=list)
    """Raw columns whose key order must not change the hash."""

    @property
    def positions(self) -> tuple[str, ...]:
        """Names of the position columns, outermost first."""
        return tuple(f"p{n}" for n in range(1, self.depth + 1))

    @property
    def place(self) -> tuple[str, ...]:
        """Columns that say where a row is: record, positions, and what it repeats from above."""
        return ("i", *self.positions, *(sql.quoted(name) for name in self.carried))

    @property
    def is_scalar(self) -> bool:
        """Whether elements are bare values (`receiptIds`)."""
        return any(column.source == "" for column in self.columns)

    def walk(self) -> Iterator[Level]:
        """The level itself and all below, parents first."""
        yield self
        for _, child in self.children:
            yield from child.walk()


@dataclass(frozen=True, slots=True)
class Plan:
    """A compiled stream."""

    stream: Stream
    top: Level
    fingerprint: str


@lru_cache(maxsize=64)
def compile_plan(stream: Stream) -> Plan:
    """The stream's levels and the fingerprint of its declaration."""
    tables = {table.name: table for table in stream.tables()}
    top = _level(tables[stream.name], "", 0, stream.columns, stream.children, tables)
    key = next(column for column in stream.columns if column.name == stream.key)
    top.rules.append(Rule(f"{sql.quoted(stream.key)} IS NULL", key.source, "the record's key is missing"))
    said = [NORMALISER_VERSION, _declared(stream.columns), _declared_children(stream.children), stream.deleted_flag, stream.key]
    return Plan(stream, top, hashlib.md5(json.dumps(said).encode(), usedforsecurity=False).hexdigest())


def _declared(columns: Sequence[Column]) -> list[list[str]]:
    return [[column.source, column.name, column.type.value] for column in columns]


def _declared_children(children: Sequence[Child]) -> list[object]:
    return [[child.name, child.source, child.identity, _declared(child.columns), _declared_children(child.children)] for child in children]


def _level(table: Table, path: str, depth: int, columns: tuple[Column, ...], children: Sequence[Child], tables: dict[str, Table]) -> Level:
    level = Level(table, path, depth, columns)
    if level.is_scalar:
        level.raws["c0"] = "rec"
        _read(level, columns[0], "c0")
        level.rules.append(Rule("c0 IS NULL", path, "null where a value belongs"))
        return level
    level.objects["$"] = frozenset()
    level.rules.append(Rule("types[1] IS DISTINCT FROM 'OBJECT'", path or "$", "not an object"))
    for number, column in enumerate(columns):
        name = f"c{number}"
        if column.type is LogicalType.MONEY:
            _declare(level, (*column.source.split("."), "currency"), f"{name}_currency")
            _declare(level, (*column.source.split("."), "minors"), f"{name}_minors")
            _read_money(level, column, name)
        else:
            _declare(level, tuple(column.source.split(".")), name)
            _read(level, column, name)
    for number, child in enumerate(children):
        _declare(level, tuple(child.source.split(".")), f"l{number}")
        below = f"{path}.{child.source}[]" if path else f"{child.source}[]"
        lower = _level(tables[child.name], below, depth + 1, child.columns, child.children, tables)
        _carry(level, lower, child)
        level.children.append((f"l{number}", lower))
    _container_rules(level)
    return level


def _carry(above: Level, level: Level, child: Child) -> None:
    """Hand down what elements repeat of the lists above them."""
    level.carried = (*above.carried, *((above.identity[1],) if above.identity else ()))
    level.identity = (child.identity, f"{child.record}_{child.identity}") if child.identity and child.children else None
    for (_, lower), grandchild in zip(level.children, child.children, strict=True):
        _carry(level, lower, grandchild)


def _declare(level: Level, parts: tuple[str, ...], raw: str) -> None:
    """Add a leaf to the structure, its objects to the known objects, and its raw column."""
    node, where = level.structure, "$"
    for part in parts[:-1]:
        level.objects[where] |= {part}
        where = f"{where}.{sql.quoted(part)}"
        level.objects.setdefault(where, frozenset())
        below = node.setdefault(part, {})
        if not isinstance(below, dict):
            raise TypeError(f"{level.table.name}: {'.'.join(parts)} runs through a field that is declared as a value")
        node = below
    level.objects[where] |= {parts[-1]}
    node[parts[-1]] = ["JSON"] if raw.startswith("l") else "JSON"
    reach = "r" + "".join(f".{sql.quoted(part)}" for part in parts)
    level.raws[raw] = reach if raw.startswith("l") else f"({reach})::VARCHAR"


def _path(level: Level, source: str) -> str:
    return ".".join(part for part in (level.path, source) if part)


def _read(level: Level, column: Column, raw: str) -> None:
    """Typed columns and rules of a column that is one JSON value."""
    path, name = _path(level, column.source), column.name
    if column.type is LogicalType.JSON:
        level.typed[name] = raw
        level.free_form.append(raw)
        return
    value = sql.SIMPLE[column.type](raw)
    if column.type is LogicalType.UUID_OR_UNKNOWN:
        level.typed[name] = sql.nil_to_null(value)
        level.typed[f"{name}_unknown"] = f"({value}) = {sql.literal(NIL_UUID)}"
        test = f"{raw} IS NOT NULL AND {sql.quoted(name + '_unknown')} IS NULL"
    else:
        level.typed[name] = value
        if column.type is LogicalType.TIMESTAMP:
            level.careful[name] = sql.any_timestamp(raw)
        test = f"{raw} IS NOT NULL AND {sql.quoted(name)} IS NULL"
    if column.type in TEXT_LIKE:
        _text_rules(level, path, raw)
    else:
        level.rules.append(Rule(test, path, f"not {sql.WANTED[column.type]}"))


def _text_rules(level: Level, path: str, raw: str) -> None:
    level.rules.append(Rule(sql.is_container(raw), path, "an object or a list where text is wanted"))
    level.changes.append((path, f"{raw} IS NOT NULL AND NOT starts_with({raw}, '\"')"))


def _read_money(level: Level, column: Column, raw: str) -> None:
    currency, minors, path, name = f"{raw}_currency", f"{raw}_minors", _path(level, column.source), column.name
    # The amount itself is computed in Arrow (see assembly): 178 currency codes in SQL cost more to plan than to run.
    level.typed[f"{name}_minors"] = sql.integer(minors)
    level.typed[f"{name}_currency"] = sql.known(currency)
    level.rules.append(Rule(f"{minors} IS NOT NULL AND {sql.quoted(name + '_minors')} IS NULL", f"{path}.minors", "not a 64-bit integer"))
    _text_rules(level, f"{path}.currency", currency)


def _container_rules(level: Level) -> None:
    """Rules that need the JSON type of an object or a list: from_json gives NULL for a wrong one."""
    for number, (where, wanted) in enumerate(containers(level), start=1):
        if where == "$":
            continue
        path = _path(level, where.removeprefix("$.").replace('"', ""))
        said = "not an object" if wanted == "OBJECT" else "not a list"
        level.rules.append(Rule(f"types[{number}] NOT IN ('{wanted}', 'NULL')", path, said))


def containers(level: Level) -> list[tuple[str, str]]:
    """(JSON path, wanted type) of the level's objects and lists; the level itself first."""
    lists = [
        (
            "$" + "".join(f".{sql.quoted(part)}" for part in child.path.removeprefix(level.path).strip(".").removesuffix("[]").split(".")),
            "ARRAY",
        )
        for _, child in level.children
    ]
    return [*((where, "OBJECT") for where in level.objects), *lists]
