"""Row hashes: the same record gives the same hash, whatever batch, key order or white space it came in."""

from __future__ import annotations

import json

import duckdb
import pyarrow as pa

from pleo_connector.frames.plan import SEPARATOR
from pleo_connector.frames.reading import ReadLevel, arrow_of

_UNIT = "\x1f"


def row_hashes(con: duckdb.DuckDBPyConnection, top: ReadLevel, fingerprint: str) -> pa.Table:
    """(i, hash) of every record: fingerprint, declared values, free-form and unknown ones, children in order."""
    return arrow_of(con, f"SELECT t.i, md5('{fingerprint}' || {_text(top)}) AS hash FROM {_joined(con, top)}")


def _text(read: ReadLevel) -> str:
    """SQL for what is hashed of one row; a child list adds the combined hash of its elements.

    Each element is hashed with its position, so combining by XOR keeps their order without sorting.
    """
    lists = "".join(f" || chr(29) || coalesce(a{n}.hash::VARCHAR, '')" for n in range(len(read.children)))
    return f"t.fixed || chr(29) || t.loose{lists}"


def _joined(con: duckdb.DuckDBPyConnection, read: ReadLevel) -> str:
    """The level's rows with the sorted form of their free-form data and the hashes of their lists."""
    clauses = [f"{read.relation} t"]
    sorted_forms = _sorted_forms(con, read)
    if len(sorted_forms):
        name = f"canon_{read.level.table.name}"
        con.register(name, sorted_forms)
        clauses = [
            f"(SELECT o.* REPLACE (coalesce(canon.sorted, o.loose) AS loose) FROM {read.relation} o LEFT JOIN {name} canon ON o.loose = canon.loose) t"
        ]
    keys = ("i", *read.level.positions)
    for number, (_, child) in enumerate(read.children):
        group = ", ".join(f"t.{key}" for key in keys)
        last = child.level.positions[-1]
        elements = f"SELECT {group}, bit_xor(md5_number_lower(t.{last} || chr(31) || {_text(child)})) AS hash FROM {_joined(con, child)} GROUP BY {group}"
        clauses.append(f"LEFT JOIN ({elements}) a{number} ON {' AND '.join(f't.{key} = a{number}.{key}' for key in keys)}")
    return " ".join(clauses)


def _sorted_forms(con: duckdb.DuckDBPyConnection, read: ReadLevel) -> pa.Table:
    """Free-form values that hold objects, each with its members sorted; looked at once per distinct value."""
    met: list[str] = []
    if read.level.free_form or read.unknown:
        found = con.execute(f"SELECT DISTINCT loose FROM {read.relation} WHERE contains(loose, '{{')").fetchall()
        met = [loose for (loose,) in found]
    return pa.table({"loose": pa.array(met, pa.string()), "sorted": pa.array(map(_sorted, met), pa.string())})


class _Number(str):
    """A JSON number kept as its text."""

    __slots__ = ()
    __repr__ = str.__str__


def _by_key(pairs: list[tuple[str, object]]) -> dict[str, object]:
    return dict(sorted(pairs, key=lambda pair: pair[0]))


def _sorted(loose: str) -> str:
    """Each part (a value, or `"path":value`) with the keys of its objects in order."""
    return _UNIT.join(_sorted_part(part) for part in loose.split(_UNIT))


def _sorted_part(part: str) -> str:
    if "{" not in part:
        return part
    member = part.startswith('"')
    value = json.loads("{" + part + "}" if member else part, object_pairs_hook=_by_key, parse_int=_Number, parse_float=_Number)
    return repr(value)


__all__ = ["SEPARATOR", "row_hashes"]
