"""Parents that are stored as they came are found by a hash; no hash, however bad, may make it say so of any other."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pleo_connector.warehouses.iceberg_comparison import Hashes, unchanged_rows
from pleo_connector.warehouses.staging import ARROW
from tests.warehouses.rows import BILLS, FIRST, LINES

PARENT, CHILD = ("id", "_row_hash", "_deleted_at", "_deleted_source"), ("bill_id", "position")
KINDS = {field.name: ARROW[field.storage] for table in (BILLS, LINES) for field in table.fields}

FINE = 1 << 61
"""So many hashes that none is that of two keys."""

Parent = tuple[str | None, str | None, datetime | None, str | None]


def parents(keys: str) -> st.SearchStrategy[Parent]:
    """A parent with one of these keys, each a letter; a dot for none."""
    key = st.sampled_from([letter if letter != "." else None for letter in keys])
    return st.tuples(key, st.sampled_from(["1", "2", None]), st.sampled_from([FIRST, None]), st.sampled_from(["pleo", None]))


@st.composite
def loads(draw: st.DrawFn) -> tuple[list[Parent], list[Parent], list[tuple[str | None, int]]]:
    """What is served, what is stored, and the children that are served; mostly without a fault."""
    is_right = draw(st.integers(0, 9)) > 0
    served = draw(
        st.lists(
            parents("abcdefgh" if is_right else "abcd."),
            unique_by=(lambda one: one[0]) if is_right else None,
            min_size=is_right,
            max_size=8,
        )
    )
    stored = draw(st.lists(parents("abxyz."), max_size=2)) + draw(st.lists(st.sampled_from(served), max_size=8)) if served else []
    known = [parent[0] for parent in served] if is_right and served else ["a", "b", None]
    children = draw(st.lists(st.tuples(st.sampled_from(known), st.integers(1, 3)), unique=is_right, max_size=6))
    return served, list({parent[0]: parent for parent in stored}.values()), children if served else []


def rows(names: Sequence[str], values: Sequence[tuple[object, ...]]) -> pa.Table:
    """A table with these columns, in the types of the two tables."""
    return pa.table({name: pa.array([value[place] for value in values], KINDS[name]) for place, name in enumerate(names)})


def hashed(remainder: int) -> Hashes:
    """One that is the worse the smaller the remainder."""
    return lambda of, names: np.array(
        [hash(tuple(row.values())) % remainder for row in of.select(list(names)).to_pylist()], dtype=np.uint64
    )


def plain(served: list[Parent], stored: list[Parent], children: list[tuple[str | None, int]]) -> tuple[list[bool], list[bool]] | None:
    """What is to be found, looked for one by one."""
    known = {parent[0] for parent in served}
    if len(known) < len(served) or len(set(children)) < len(children) or not {key for key, _ in children} <= known - {None}:
        return None
    same = {parent[0]: parent[0] is not None and parent in stored for parent in served}
    return list(same.values()), [same[key] for key, _ in children]


@settings(max_examples=400)
@given(loads(), st.sampled_from([7, FINE]))
def test_what_is_said_to_be_unchanged_is(load: tuple[list[Parent], list[Parent], list[tuple[str | None, int]]], remainder: int) -> None:
    served, stored, children = load
    found = unchanged_rows(hashed(remainder), BILLS, rows(PARENT, served), rows(PARENT, stored), {LINES: rows(CHILD, children)})
    if found is None:
        return
    expected = plain(served, stored, children)
    assert expected is not None
    same, belonging = found
    assert not np.any(same & ~np.array(expected[0]))
    if children:
        assert list(belonging[LINES]) == [dict(zip([one[0] for one in served], same, strict=True))[key] for key, _ in children]
    if remainder == FINE:
        assert list(same) == expected[0]


def test_one_changed_row_among_many_is_left_to_the_join() -> None:
    stored: list[Parent] = [(f"bill {number}", "1", None, None) for number in range(5000)]
    served = stored[::-1]
    served[17] = (served[17][0], "2", None, None)
    children = [(key, position) for key, *_ in served[10:20] for position in (1, 2)]
    found = unchanged_rows(hashed(FINE), BILLS, rows(PARENT, served), rows(PARENT, stored), {LINES: rows(CHILD, children)})
    assert found is not None
    assert list(np.flatnonzero(~found[0])) == [17]
    assert list(np.flatnonzero(~found[1][LINES])) == [14, 15]


def test_a_first_load_is_not_looked_through() -> None:
    stored: list[Parent] = [(f"bill {number}", "1", None, None) for number in range(100)]
    served: list[Parent] = [(f"new {number}", "1", None, None) for number in range(100)]
    assert unchanged_rows(hashed(FINE), BILLS, rows(PARENT, served), rows(PARENT, stored), {}) is None
    assert unchanged_rows(hashed(FINE), BILLS, rows(PARENT, served), rows(PARENT, []), {}) is None
