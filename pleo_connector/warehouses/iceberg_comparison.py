"""Finds the parents of a load that are stored unchanged. Most rows of a sweep are, and need no further query.

Keys are matched by a hash, with sorting and searching, in half the time of a hash join on text keys. Matches are then compared value by
value, so no result is wrong. It may only be incomplete: new, changed and faulty rows are left to the join.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pleo_connector.catalogue import Table
from pleo_connector.warehouses.comparing import differ, flags
from pleo_connector.warehouses.merge import DECISIVE

Hashes = Callable[[pa.Table, Sequence[str]], np.ndarray]
"""A number for each row; rows with the same values in these columns have the same number."""

_SAMPLE = 1_000
_WORTH = 0.5
"""Part of a load that has to be stored already; a first sync has none of it."""


@dataclass(frozen=True, slots=True)
class _Ordered:
    """Hashes in their order."""

    hashes: np.ndarray
    rows: np.ndarray
    """The row of each hash."""

    @classmethod
    def of(cls, hashes: np.ndarray) -> _Ordered:
        rows = np.argsort(hashes)
        return cls(hashes[rows], rows)

    def is_unique(self) -> bool:
        return not (self.hashes[1:] == self.hashes[:-1]).any()

    def find(self, others: _Ordered) -> np.ndarray:
        """For each of the others its row here, -1 for none."""
        places = np.searchsorted(self.hashes, others.hashes)
        places[places == len(self.hashes)] = 0
        rows_of_others = np.empty(len(others.rows), np.int64)
        rows_of_others[others.rows] = np.where(self.hashes[places] == others.hashes, self.rows[places], -1)
        return rows_of_others


def unchanged_rows(
    hashes: Hashes, parent: Table, served: pa.Table, stored: pa.Table, children: Mapping[Table, pa.Table]
) -> tuple[np.ndarray, dict[Table, np.ndarray]] | None:
    """Which of the served parents are stored as they are, and which of the children belong to those; True at their rows.

    None where there are none or too few, or where the load may have faults: missing or duplicate keys, children without a parent.
    """
    if not served.num_rows or not stored.num_rows:
        return None
    keys, there = (_Ordered.of(hashes(rows, parent.key)) for rows in (served, stored))
    places = there.find(keys)
    some = places[:: max(1, len(places) // _SAMPLE)]
    if not keys.is_unique() or np.count_nonzero(some >= 0) < _WORTH * len(some):
        return None
    same = _same(served, parent.key, stored, parent.key, places) & _alike(served, stored, places)
    if not same.any():
        return None
    belonging = {}
    for child, rows in children.items():
        if not rows.num_rows:
            continue
        parents = keys.find(_Ordered.of(hashes(rows, child.parent_key)))
        is_known = _same(rows, child.parent_key, served, parent.key, parents).all()
        if not is_known or not _Ordered.of(hashes(rows, child.key)).is_unique():
            return None
        belonging[child] = same[parents]
    return same, belonging


def _same(rows: pa.Table, columns: Sequence[str], others: pa.Table, names: Sequence[str], places: np.ndarray) -> np.ndarray:
    """Where the rows equal the others at these places, and are not NULL."""
    theirs = others.select(list(names)).take(_at(places))
    mask = np.ones(rows.num_rows, dtype=bool)
    for column, name in zip(columns, names, strict=True):
        mask &= flags(pc.equal(rows[column], theirs[name]))
    return mask


def _alike(rows: pa.Table, others: pa.Table, places: np.ndarray) -> np.ndarray:
    """Where the rows would not count as changed beside the others at these places."""
    theirs = others.select(list(DECISIVE)).take(_at(places))
    mask = np.ones(rows.num_rows, dtype=bool)
    for name in DECISIVE:
        mask &= ~differ(rows[name], theirs[name])
    return mask


def _at(places: np.ndarray) -> pa.Array:
    return pa.array(places, mask=places < 0)
