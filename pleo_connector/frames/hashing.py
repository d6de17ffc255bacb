r"""Row hashes: the same record gives the same hash, whatever batch, key order or white space it came in.

What is hashed of a row is one text: its values, each ended by \x1f or the row's end, then its lists,
each ended by \x1d, each element begun by \x1c; \x1e stands for NULL. Values escape these four, so no
two records run together.
"""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pleo_connector.catalogue import LogicalType
from pleo_connector.frames.extra import without_order
from pleo_connector.frames.levels import TEXT_LIKE, Leaf
from pleo_connector.frames.reading import literal, select
from pleo_connector.frames.rows import Rows

_VALUE, _NULL, _END, _ELEMENT = "\x1f", "\x1e", "\x1d", "\x1c"
_SPECIAL = r"[\\\x1c-\x1f]"


def row_hashes(con: duckdb.DuckDBPyConnection, top: Rows, fingerprint: str) -> pa.Array:
    """The hash of every record: fingerprint, declared values, free-form and unknown ones, children in order."""
    return select(con, f"md5({literal(fingerprint)} || rec)", _text(top))


def _text(rows: Rows) -> pa.Array:
    values = [_value(leaf, rows.raws[leaf.name]) for leaf in rows.level.leaves]
    parts = [
        pc.binary_join_element_wise(*values, without_order(rows.columns["_extra"]), _VALUE, null_handling="replace", null_replacement=_NULL)
    ]
    for child in rows.children:
        parts += [_list(child, len(rows)), _END] if child is not None else [_END]
    return pc.binary_join_element_wise(*parts, "")


def _list(child: Rows, parents: int) -> pa.Array:
    """The elements of each parent's list as one text."""
    offsets = np.zeros(parents + 1, np.int32)
    np.cumsum(np.bincount(child.parent, minlength=parents), out=offsets[1:])
    elements = pc.binary_join_element_wise(_ELEMENT, _text(child), "")
    return pc.binary_join(pa.ListArray.from_arrays(pa.array(offsets), elements), "")


def _value(leaf: Leaf, raw: pa.Array) -> pa.Array:
    if leaf.type is LogicalType.JSON:
        return without_order(raw)
    if leaf.type in TEXT_LIKE and pc.any(pc.match_substring_regex(raw, _SPECIAL)).as_py():
        raw = pc.replace_substring(raw, "\\", "\\\\")
        for delimiter, letter in ((_VALUE, "v"), (_NULL, "n"), (_END, "e"), (_ELEMENT, "l")):
            raw = pc.replace_substring(raw, delimiter, "\\" + letter)
    return raw
