"""Drift of a batch, by vectorised counts over its typed relations; details only of what was found."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TypeAlias

import duckdb

from pleo_connector.catalogue import Column, LogicalType, Stream
from pleo_connector.frames import expressions as sql
from pleo_connector.frames.currencies import exponents
from pleo_connector.frames.drift import EXAMPLES, Drift, Finding
from pleo_connector.frames.plan import MASK_BITS, Level
from pleo_connector.frames.quarantine import SetAside
from pleo_connector.frames.reading import ReadLevel

Key: TypeAlias = str
Probe: TypeAlias = tuple[str, str, str, str | None]
"""(kind, path, SQL test, SQL of the value to name, or None)."""

_POSITION = re.compile(r"\[\d+\]")

SHOWN = 60
"""Characters of an unseen value that are shown."""


def find_drift(con: duckdb.DuckDBPyConnection, top: ReadLevel, aside: SetAside, stream: Stream) -> Drift:
    """What the records show that the declaration does not say."""
    kinds: dict[str, dict[str, Finding]] = defaultdict(dict)
    key = sql.quoted(stream.key)
    for read in top.walk():
        probes = list(_probes(read))
        if not probes:
            continue
        counts = con.execute(
            f"SELECT {', '.join(f'count(*) FILTER ({test})' for _, _, test, _ in probes)} FROM {read.relation} t"
        ).fetchall()[0]
        for (kind, path, test, value), count in zip(probes, counts, strict=True):
            if count:
                found = _details(con, read, top, key, path, test, value)
                kinds[kind].update(found)
    for read in top.walk():
        for path, code, test in _odd_currencies(con, read):
            kinds["unknown_currencies"].update(_details(con, read, top, key, path, test, code))
    for said, records in _by_path(aside).items():
        kinds["impossible_values"][said] = Finding(len(records), _keys(con, top, key, sorted(records)[:EXAMPLES]))
    return Drift(**kinds)


def _probes(read: ReadLevel) -> Iterator[Probe]:
    level = read.level
    for unknown in read.unknown:
        yield "unknown_fields", unknown.path, f"{unknown.column} IS NOT NULL", None
    for column in level.columns:
        path = _path(level, column)
        name = f"{column.name}_minors" if column.type is LogicalType.MONEY else column.name
        if column.required:
            yield "missing_required", path, f"bad IS NULL AND {sql.quoted(name)} IS NULL", None
        if column.values:
            known = ", ".join(map(sql.literal, column.values))
            yield "unseen_values", path, f"bad IS NULL AND {sql.quoted(name)} NOT IN ({known})", sql.quoted(name)
    for number, (path, _) in enumerate(level.changes):
        yield "type_changes", path, f"(changed_{number // MASK_BITS} >> {number % MASK_BITS}) & 1 = 1", None


def _odd_currencies(con: duckdb.DuckDBPyConnection, read: ReadLevel) -> Iterator[tuple[str, str, str]]:
    """(path, SQL of the code, SQL test) of money whose currency has no known smallest unit, `none` standing for no code."""
    for column in read.level.columns:
        if column.type is LogicalType.MONEY:
            code = f"coalesce({sql.quoted(column.name + '_currency')}, 'none')"
            live = f"bad IS NULL AND {sql.quoted(column.name + '_minors')} IS NOT NULL"
            met = con.execute(f"SELECT DISTINCT {code} FROM {read.relation} WHERE {live}").fetchall()
            odd = sorted(str(found) for (found,) in met if found not in exponents())
            if odd:
                yield _path(read.level, column), code, f"{live} AND {code} IN ({', '.join(map(sql.literal, odd))})"


def _path(level: Level, column: Column) -> str:
    return ".".join(part for part in (level.path, column.source) if part)


def _details(
    con: duckdb.DuckDBPyConnection, read: ReadLevel, top: ReadLevel, key: str, path: str, test: str, value: str | None
) -> dict[str, Finding]:
    """The finding, or one per value, with the keys of the first records that show it."""
    shown = f"left({value}, {SHOWN})" if value else "NULL"
    rows = con.execute(
        f"SELECT v, count(*), list_sort(list(DISTINCT i))[1:{EXAMPLES}] FROM (SELECT i, {shown} AS v FROM {read.relation} t WHERE {test})"
        " GROUP BY v ORDER BY v"
    ).fetchall()
    return {path if value is None else f"{path}={met}": Finding(count, _keys(con, top, key, records)) for met, count, records in rows}


def _keys(con: duckdb.DuckDBPyConnection, top: ReadLevel, key: str, records: Sequence[int]) -> tuple[str, ...]:
    """The keys of a few records; those without one are left out."""
    chosen = ", ".join(str(record) for record in records)
    rows = con.execute(f"SELECT {key} FROM {top.relation} WHERE i IN ({chosen}) AND {key} IS NOT NULL ORDER BY i").fetchall()
    return tuple(str(found) for (found,) in rows)


def _by_path(aside: SetAside) -> dict[str, list[int]]:
    """Records set aside, by field path (without positions) and reason."""
    found: dict[str, list[int]] = defaultdict(list)
    for record, (path, reason) in aside.reasons.items():
        found[f"{_POSITION.sub('[]', path)}: {reason}"].append(record)
    return found
