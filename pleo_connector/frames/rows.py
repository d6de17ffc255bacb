"""The rows of a level: typed columns, what is impossible in them, and the rows of the lists below."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pleo_connector.catalogue import LogicalType
from pleo_connector.catalogue.types import NIL_UUID
from pleo_connector.frames.extra import extra
from pleo_connector.frames.levels import TEXT_LIKE, Leaf, Level
from pleo_connector.frames.reading import LevelDetails, Reader, Unknown
from pleo_connector.frames.values import WANTED, amounts, hundredths, typed

Indices = npt.NDArray[np.int64]


@dataclass(slots=True)
class Rows:
    """Arrays of one length: a row for each object of a level."""

    level: Level
    record: Indices
    """Row of the record, in the rows of the top level."""
    parent: Indices
    """Row of the object above, in its level's rows."""
    positions: tuple[Indices, ...]
    """Places in the lists, outermost first, from 1."""
    carried: dict[str, pa.Array]
    """Columns repeated from the objects above (`split_id`)."""
    raws: dict[str, pa.Array] = field(default_factory=dict)
    """Text of each leaf."""
    columns: dict[str, pa.Array] = field(default_factory=dict)
    faults: dict[int, tuple[str, str]] = field(default_factory=dict)
    """Row -> (path, reason) of its first impossible value."""
    changes: list[tuple[str, pa.Array]] = field(default_factory=list)
    """(path, mask) of text served as another scalar."""
    unknown: list[Unknown] = field(default_factory=list)
    absent: npt.NDArray[np.bool_] | None = None
    """Rows of null elements, where those are no fault."""
    children: list[Rows | None] = field(default_factory=list)
    """In the order of the level's lists; None where all lists are empty."""

    def __len__(self) -> int:
        return len(self.record)

    def walk(self) -> Iterator[Rows]:
        """The rows themselves and all below, parents first."""
        yield self
        for child in self.children:
            if child is not None:
                yield from child.walk()

    def fault(self, mask: pa.Array, path: str, reason: str) -> None:
        """Note an impossible value in the rows of `mask`; only the first one of a row counts."""
        for row in np.flatnonzero(pc.fill_null(mask, fill_value=False)):
            self.faults.setdefault(int(row), (path, reason))


def read_rows(reader: Reader, level: Level, *, strict: bool) -> Rows:
    """The rows of all records. With `strict` a changed type is an impossible value."""
    every = np.arange(len(reader.records), dtype=np.int64)
    return _rows(reader, Rows(level, every, every, (), {}), reader.records, None, strict=strict)


def _rows(reader: Reader, rows: Rows, data: pa.Array, above: Level | None, *, strict: bool) -> Rows:
    level, details = rows.level, reader.inspect(rows.level, above)
    _note_nulls(rows, data)
    for leaf in level.leaves:
        _read(reader, rows, leaf, pc.struct_field(data, list(leaf.parts)) if leaf.parts else data, details)
    _add_amounts(rows)
    if details is not None:
        rows.unknown = details.unknown
        for parts in (*level.objects, *(parts for parts, _ in level.lists)):
            wanted, reason = ("OBJECT", "not an object") if parts in level.objects else ("ARRAY", "not a list")
            rows.fault(
                pc.invert(pc.is_in(details.types[parts], pa.array([wanted, "NULL", None]))), level.path_to(".".join(parts)) or "$", reason
            )
    if level.depth == 0:
        key = next(leaf for leaf in level.leaves if leaf.name == level.key)
        rows.fault(rows.columns[key.name].is_null(), key.path, "the record's key is missing")
    for path, mask in rows.changes if strict else ():
        rows.fault(mask, path, "another type where text is wanted")
    rows.columns["_extra"] = extra(rows.unknown if level.keeps_unknown else (), len(rows))
    for parts, lower in level.lists:
        lists = pc.struct_field(data, list(parts))
        elements = pc.list_flatten(lists)
        below = _below(rows, lower, pc.list_parent_indices(lists).to_numpy().astype(np.int64)) if len(elements) else None
        rows.children.append(below and _rows(reader, below, elements, level, strict=strict))
    return rows


def _note_nulls(rows: Rows, data: pa.Array) -> None:
    """Null where an object or a value belongs: a fault, or a row that is absent by contract."""
    level = rows.level
    if level.sparse:
        rows.absent = np.asarray(data.is_null())  # `inspect` finds elements of other types
    elif data.null_count:
        rows.fault(data.is_null(), *((level.path or "$", "not an object") if level.objects else (level.path, "null where a value belongs")))


def _add_amounts(rows: Rows) -> None:
    """Exact amounts of both kinds of money. Their units differ, so they share no code."""
    for column in rows.level.columns:
        name = column.name
        if column.type is LogicalType.MONEY:
            rows.columns[name] = amounts(rows.columns[f"{name}_minors"], rows.columns[f"{name}_currency"])
        elif column.type is LogicalType.MONEY_TIMES_100:
            rows.columns[name] = hundredths(rows.columns[f"{name}_value"], rows.columns[f"{name}_currency"])


def _read(reader: Reader, rows: Rows, leaf: Leaf, raw: pa.Array, details: LevelDetails | None) -> None:
    """Type one column, and note what is impossible in it."""
    rows.raws[leaf.name] = raw
    if details is not None and leaf.type is not LogicalType.JSON:
        types = details.types[leaf.parts]
        wrong = pc.and_(raw.is_valid(), pc.invert(pc.is_in(types, pa.array(sorted(leaf.served_as)))))
        if leaf.type in TEXT_LIKE:
            container = pc.is_in(types, pa.array(["OBJECT", "ARRAY"]))
            rows.fault(container, leaf.path, "an object or a list where text is wanted")
            rows.changes.append((leaf.path, wrong))
            wrong = container
        given = pc.if_else(wrong, pa.scalar(None, pa.string()), raw)
    else:
        given = raw
    nil = leaf.type is LogicalType.UUID_OR_UNKNOWN
    kind = LogicalType.UUID if nil else leaf.type
    value = typed(reader.con, kind, given)
    if kind in WANTED and value.null_count != raw.null_count:
        rows.fault(pc.and_(raw.is_valid(), value.is_null()), leaf.path, f"not {WANTED[kind]}")
    if nil:
        unknown = pc.equal(value, NIL_UUID)
        rows.columns[f"{leaf.name}_unknown"] = unknown
        value = pc.if_else(unknown, pa.scalar(None, pa.string()), value)
    rows.columns[leaf.name] = value


def _below(above: Rows, level: Level, parent: Indices) -> Rows:
    """Rows for the elements of the lists of `above`, whose rows are `parent`."""
    number = np.arange(len(parent))
    begins = np.flatnonzero(np.diff(parent, prepend=-1))
    position = number - np.repeat(begins, np.diff(begins, append=len(parent))) + 1
    take = pa.array(parent)
    carried = {name: column.take(take) for name, column in above.carried.items()}
    if above.level.identity is not None:
        own, name = above.level.identity
        carried[name] = above.columns[own].take(take)
    return Rows(level, above.record[parent], parent, (*(place[parent] for place in above.positions), position), carried)


def mask_of(numbers: Sequence[int] | Indices, length: int) -> npt.NDArray[np.bool_]:
    """True at these places."""
    mask = np.zeros(length, np.bool_)
    mask[np.asarray(numbers, np.int64)] = True
    return mask
