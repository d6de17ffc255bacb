"""DuckDB as the JSON reader: record texts in, one nested Arrow column of texts out; details of levels where they are needed."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from pleo_connector.frames.levels import JsonShape, Level, Parts, StreamLevels, put

BLOCK = 2_000
"""Records per query for their structure; a larger number only needs more memory."""

_lock = threading.Lock()
_database: duckdb.DuckDBPyConnection | None = None


@contextmanager
def open_reader() -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection of its own to the process's in-memory DuckDB; what is registered in it goes when it closes."""
    global _database  # noqa: PLW0603 - one database per process: opening one costs more than reading a small page
    with _lock:
        if _database is None:
            _database = duckdb.connect(
                ":memory:",
                config={"threads": 1, "autoinstall_known_extensions": False, "python_enable_replacements": False},
            )
        cursor = _database.cursor()
    try:
        yield cursor
    finally:
        cursor.close()


def select(con: duckdb.DuckDBPyConnection, value: str, texts: pa.Array) -> pa.Array:
    """An SQL expression over a column of texts, named `rec`, as one array."""
    con.register("texts", pa.table({"rec": texts}))
    column = con.sql(f"SELECT {value} FROM texts").to_arrow_table().column(0)
    con.unregister("texts")
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays([*column.chunks, pa.array([], column.type)])


def literal(value: str) -> str:
    """An SQL string."""
    return "'" + value.replace("'", "''") + "'"


@dataclass(slots=True)
class Unknown:
    """A field that the declaration does not know, and its values as JSON text."""

    path: str
    """As reported, relative to the record: `supplier.newField`, `splitItems[].newField`."""
    local: str
    """Relative to the level's object: the key in `_extra`."""
    values: pa.Array


@dataclass(slots=True)
class LevelDetails:
    """The JSON types and undeclared fields of a level's objects."""

    types: dict[Parts, pa.Array]
    """JSON type by place, of every declared value, object and list."""
    unknown: list[Unknown] = field(default_factory=list)


class Reader:
    """Reads one batch of records. Raises duckdb.Error when a record is not JSON."""

    def __init__(self, con: duckdb.DuckDBPyConnection, levels: StreamLevels, texts: pa.Array) -> None:
        self.con = con
        self._texts = {levels.top.table.name: texts}
        self._suspects = {level.table.name for structure in _structures(con, texts) for level in levels.top.suspects(structure)}
        self.records = select(con, f"from_json(rec, {literal(levels.structure)})", texts)

    def inspect(self, level: Level, above: Level | None) -> LevelDetails | None:
        """The details of a level whose objects are not all as declared; None for any other level."""
        name = level.table.name
        if above is not None and self._suspects & {below.table.name for below in level.walk()}:
            self._texts[name] = self._elements(level, above)
        if name not in self._suspects:
            return None
        texts = self._texts[name]
        places = [*level.objects, *(leaf.parts for leaf in level.leaves), *(parts for parts, _ in level.lists)]
        types = select(self.con, f"json_type(rec, [{', '.join(literal(_pointer(parts)) for parts in places)}])", texts)
        details = (
            LevelDetails({parts: pc.list_element(types, number) for number, parts in enumerate(places)}) if len(texts) else LevelDetails({})
        )
        unknown = self._unknown(level, texts)
        if unknown:
            values = select(self.con, f"json_extract(rec, [{', '.join(literal(_pointer(parts)) for parts in unknown)}])", texts)
            for number, parts in enumerate(unknown):
                local = ".".join(parts)
                details.unknown.append(Unknown(level.path_to(local), local, pc.list_element(values, number)))
        return details

    def _elements(self, level: Level, above: Level) -> pa.Array:
        """The texts of a list's elements."""
        parts = next(parts for parts, below in above.lists if below is level)
        tree: dict[str, object] = {}
        put(tree, parts, ["JSON"])
        lists = select(self.con, f"from_json(rec, {literal(json.dumps(tree))})", self._texts[above.table.name])
        return pc.list_flatten(pc.struct_field(lists, list(parts)))

    def _unknown(self, level: Level, texts: pa.Array) -> list[Parts]:
        """Undeclared keys of the level's declared objects, in path order."""
        objects = list(level.objects)
        if not objects:
            return []
        keys = select(self.con, f"DISTINCT json_keys(rec, [{', '.join(literal(_pointer(parts)) for parts in objects)}])", texts)
        served = {(*at, key) for row in keys.to_pylist() if row for at, names in zip(objects, row, strict=True) for key in names or ()}
        unknown = [parts for parts in served if parts[-1] not in level.objects[parts[:-1]]]
        return sorted(unknown, key=lambda parts: (parts[:-1], parts[-1]))


def _structures(con: duckdb.DuckDBPyConnection, texts: pa.Array) -> Iterator[JsonShape]:
    """The structure of the records, a block of them as one: far cheaper than the structure of each."""
    for start in range(0, len(texts), BLOCK):
        block = texts.slice(start, BLOCK)
        joined = pc.binary_join(pa.ListArray.from_arrays(pa.array([0, len(block)], pa.int32()), block.cast(pa.string())), ",")
        shapes = select(con, "json_structure('[' || rec || ']')", joined)
        yield json.loads(shapes[0].as_py())[0]


def _pointer(parts: Parts) -> str:
    return "".join("/" + part.replace("~", "~0").replace("/", "~1") for part in parts)
