"""Undeclared fields: gathered in `_extra` as served, and in a form that does not know the order of keys."""

from __future__ import annotations

import json
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pleo_connector.frames.reading import Unknown


def extra(unknown: Sequence[Unknown], rows: int) -> pa.Array:
    """`_extra`: a JSON object of the undeclared fields that a row has, NULL for none."""
    if not unknown:
        return pa.nulls(rows, pa.string())
    members = [pc.binary_join_element_wise("," + json.dumps(field.local, ensure_ascii=False) + ":", field.values, "") for field in unknown]
    # Not null_handling="skip": Arrow then drops the rows in which all are NULL.
    joined = pc.binary_join_element_wise(*members, "", null_handling="replace", null_replacement="")
    objects = pc.binary_join_element_wise("{", pc.utf8_slice_codeunits(joined, 1), "}", "")
    return pc.if_else(pc.equal(joined, ""), pa.scalar(None, pa.string()), objects)


def without_order(texts: pa.Array) -> pa.Array:
    """JSON texts with the members of their objects sorted; each distinct text is read once."""
    if texts.null_count == len(texts):
        return texts
    distinct = texts.dictionary_encode()
    return pa.array([_sorted(text) for text in distinct.dictionary.to_pylist()], pa.string()).take(distinct.indices)


class _Number(str):
    """A JSON number kept as its text."""

    __slots__ = ()
    __repr__ = str.__str__


def _by_key(pairs: list[tuple[str, object]]) -> dict[str, object]:
    return dict(sorted(pairs, key=lambda pair: pair[0]))


def _sorted(text: str) -> str:
    return repr(json.loads(text, object_pairs_hook=_by_key, parse_int=_Number, parse_float=_Number)) if "{" in text else text
