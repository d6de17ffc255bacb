"""DuckDB as our JSON reader: one level of JSON objects in, one temporary table of typed columns out."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import duckdb
import pyarrow as pa

from pleo_connector.frames import expressions as sql
from pleo_connector.frames.plan import MASK_BITS, SEPARATOR, Level, containers

EMPTY = "''"

_lock = threading.Lock()
_database: duckdb.DuckDBPyConnection | None = None


@contextmanager
def open_reader() -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection of its own to the process's in-memory DuckDB; temporary tables go when it closes."""
    global _database  # noqa: PLW0603 - one database per process: opening one costs more than reading a small page
    with _lock:
        if _database is None:
            _database = duckdb.connect(
                ":memory:",
                config={"threads": 2, "autoinstall_known_extensions": False, "python_enable_replacements": False},
            )
        cursor = _database.cursor()
    try:
        yield cursor
    finally:
        cursor.close()


@dataclass(slots=True)
class Unknown:
    """A field that the declaration does not know: where it is, and how to fetch it."""

    path: str
    """As reported, relative to the record: `supplier.newField`, `splitItems[].newField`."""
    local: str
    """Relative to the level's object: the key in `_extra`."""
    pointer: str
    column: str


@dataclass(slots=True)
class ReadLevel:
    """A level whose objects are read: its table's name, and what was met."""

    level: Level
    relation: str
    unknown: list[Unknown] = field(default_factory=list)
    broken: int = 0
    """Rows with an impossible value."""
    children: list[tuple[str, ReadLevel]] = field(default_factory=list)

    def walk(self) -> Iterator[ReadLevel]:
        """The level itself and all below, parents first."""
        yield self
        for _, child in self.children:
            yield from child.walk()


def read_level(con: duckdb.DuckDBPyConnection, level: Level, source: str, *, strict: bool) -> ReadLevel:
    """Type the objects of relation `source` (i, positions, rec) and, below, those of their lists.

    Raises duckdb.Error when a record is not JSON. With `strict` a changed type is an impossible value.
    """
    read = ReadLevel(level, f"typed_{level.table.name}", _unknown_fields(con, level, source))
    con.execute(f"CREATE OR REPLACE TEMP TABLE {read.relation} AS {_select(level, read.unknown, source, strict=strict, typed=level.typed)}")
    read.broken, *lengths = _summary(con, read)
    if level.careful and read.broken:
        complete = {**level.typed, **level.careful}
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE {read.relation} AS {_select(level, read.unknown, source, strict=strict, typed=complete)}"
        )
        read.broken, *lengths = _summary(con, read)
    handed = [*level.place, *([f"{sql.quoted(level.identity[0])} AS {sql.quoted(level.identity[1])}"] if level.identity else [])]
    keys = ", ".join(handed)
    for (column, child), length in zip(level.children, lengths, strict=True):
        if not length:
            continue
        below = f"source_{child.table.name}"
        con.execute(
            f"CREATE OR REPLACE TEMP TABLE {below} AS SELECT {keys}, generate_subscripts({column}, 1) AS p{child.depth},"
            f" unnest({column})::VARCHAR AS rec FROM {read.relation} WHERE len({column}) > 0"
        )
        read.children.append((column, read_level(con, child, below, strict=strict)))
    return read


def _unknown_fields(con: duckdb.DuckDBPyConnection, level: Level, source: str) -> list[Unknown]:
    """Keys met at any declared object of the level that the declaration does not have, in path order."""
    if level.is_scalar:
        return []
    paths = list(level.objects)
    rows = con.execute(
        "SELECT DISTINCT n, unnest(names) AS name FROM (SELECT DISTINCT generate_subscripts(per_object, 1) AS n, unnest(per_object) AS names"
        f" FROM (SELECT json_keys(rec, [{', '.join(map(sql.literal, paths))}]) AS per_object FROM {source}))"
    ).fetchall()
    met = sorted((paths[n - 1], name) for n, name in rows if name not in level.objects[paths[n - 1]])
    found = []
    for number, (where, name) in enumerate(met):
        parts = [*(where.removeprefix("$").replace('"', "").strip(".").split(".") if where != "$" else []), name]
        local = ".".join(parts)
        pointer = "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)
        found.append(Unknown(f"{level.path}.{local}" if level.path else local, local, pointer, f"x{number}"))
    return found


def _select(level: Level, unknown: Sequence[Unknown], source: str, *, strict: bool, typed: Mapping[str, str]) -> str:
    """Three nested selects: parse, type, judge; each value is computed once."""
    keys = ", ".join((*level.place, *(("page",) if level.depth == 0 else ())))
    lists = [raw for raw, _ in level.children]
    fixed = [raw for raw in level.raws if raw not in lists and raw not in level.free_form]
    if level.is_scalar:
        parsed = f"SELECT {keys}, rec, rec AS c0 FROM {source}"
    else:
        structure = sql.literal(json.dumps([level.structure])[1:-1])
        paths = ", ".join(sql.literal(path) for path, _ in containers(level))
        fetched = f", json_extract(rec, [{', '.join(sql.literal(u.pointer) for u in unknown)}]) AS x" if unknown else ""
        raws = ", ".join(f"{code} AS {raw}" for raw, code in level.raws.items())
        extra = "".join(f", x[{n}]::VARCHAR AS {u.column}" for n, u in enumerate(unknown, start=1))
        parsed = (
            f"SELECT {keys}, types, {raws}{extra} FROM (SELECT {keys}, from_json(rec, {structure}) AS r,"
            f" json_type(rec, [{paths}]) AS types{fetched} FROM {source})"
        )
    values = ", ".join(f"{code} AS {sql.quoted(name)}" for name, code in typed.items())
    members = [f"{sql.literal(json.dumps(u.local, ensure_ascii=False) + ':')} || {u.column}" for u in unknown]
    loose = [*(f"coalesce({raw}, '')" for raw in level.free_form), *members]
    chosen = [
        keys,
        *(sql.quoted(name) for name in typed),
        *lists,
        *(u.column for u in unknown),
        f"{_bad(level, strict=strict)} AS bad",
        *(f"{mask} AS changed_{n}" for n, mask in enumerate(_masks(level))),
        f"md5({_joined([f'coalesce({raw}, {EMPTY})' for raw in fixed])}) AS fixed",
        _joined(loose) + " AS loose",
        f"{_extra(members)} AS _extra",
    ]
    return f"SELECT {', '.join(chosen)} FROM (SELECT *, {values} FROM ({parsed}))"


def _joined(values: Sequence[str]) -> str:
    return f"concat_ws({SEPARATOR}, {', '.join(values)})" if values else "''"


def _extra(members: Sequence[str]) -> str:
    if not members:
        return "NULL::VARCHAR"
    return f"'{{' || nullif(concat_ws(',', {', '.join(members)}), '') || '}}'"


def _bad(level: Level, *, strict: bool) -> str:
    """The number of the first rule that a row breaks, or NULL; changed types come after the rules."""
    tests = [rule.test for rule in level.rules]
    if strict:
        tests += [test for _, test in level.changes]
    arms = " ".join(f"WHEN {test} THEN {number}" for number, test in enumerate(tests))
    return f"CASE {arms} END"


def _masks(level: Level) -> list[str]:
    """Bit n of a mask: the n-th text value was served as another scalar."""
    tests = [f"(CASE WHEN {test} THEN 1::BIGINT << {n % MASK_BITS} ELSE 0 END)" for n, (_, test) in enumerate(level.changes)]
    return [" | ".join(tests[start : start + MASK_BITS]) for start in range(0, len(tests), MASK_BITS)]


def arrow_of(con: duckdb.DuckDBPyConnection, query: str) -> pa.Table:
    """A query's whole answer as one Arrow table."""
    return con.sql(query).to_arrow_table()


def _summary(con: duckdb.DuckDBPyConnection, read: ReadLevel) -> list[int]:
    """Rows with an impossible value, then the elements in each child list."""
    sums = ["count(bad)", *(f"coalesce(sum(len({column})), 0)" for column, _ in read.level.children)]
    # fetchall, not fetchone: duckdb 2 refuses other work while a result is open.
    return [int(found) for found in con.execute(f"SELECT {', '.join(sums)} FROM {read.relation}").fetchall()[0]]
