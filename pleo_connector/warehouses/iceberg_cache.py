"""Columns of data files that the next load of the same process compares with again.

A data file never changes and its name is never used again, so what was read of it stays true, whoever commits in between; which files
a table has, and which of their rows are gone, each load asks anew. What fits is kept, and the rest is read each time: if the oldest
made room for the newest, loads that go through more than fits would find nothing.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

LIMIT = 128 * 1024 * 1024
"""Bytes; the keys and fingerprints of a million rows are some 90 million."""

Column = tuple[object, ...]
"""What tells a column of a file from all others, as long as there are files."""


@dataclass(slots=True)
class _Entry:
    values: pa.ChunkedArray
    load: int
    """The last one that asked for it."""


class ColumnCache:
    """For all tables of one warehouse; any thread may ask."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._load = 0
        self._columns: dict[Column, _Entry] = {}
        self.bytes = 0
        """Of all that is kept."""

    def begin(self) -> None:
        """A load begins. Once half of the room is used, what neither of the last two asked for is let go of."""
        with self._lock:
            self._load += 1
            if self.bytes > self._limit / 2:
                self._columns = {name: entry for name, entry in self._columns.items() if entry.load >= self._load - 2}
                self.bytes = sum(entry.values.nbytes for entry in self._columns.values())

    def columns(self, wanted: Mapping[str, Column], read: Callable[[Sequence[str]], pa.Table]) -> pa.Table:
        """These columns of one file, by their names in the answer; only those are read that are not kept."""
        with self._lock:
            by_name = {name: entry.values for name, column in wanted.items() if (entry := self._used(column)) is not None}
        if missing := [name for name in wanted if name not in by_name]:
            rows = read(missing)
            with self._lock:
                for name in missing:
                    by_name[name] = rows[name]
                    self._keep(wanted[name], rows[name])
        return pa.table([by_name[name] for name in wanted], names=list(wanted))

    def _used(self, column: Column) -> _Entry | None:
        entry = self._columns.get(column)
        if entry is not None:
            entry.load = self._load
        return entry

    def _keep(self, column: Column, values: pa.ChunkedArray) -> None:
        if column not in self._columns and self.bytes + values.nbytes <= self._limit:  # another thread may have been first
            self._columns[column] = _Entry(values, self._load)
            self.bytes += values.nbytes
