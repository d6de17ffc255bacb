"""Columns of data files that the next load of the same process compares with again.

A data file never changes and its name is never used again, so its cached columns stay valid after any commit. Each load reads the list
of files and deleted rows again. Columns that fit are cached, and the rest is read each time: if new columns replaced the oldest, loads
that read more than fits would never hit the cache.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

LIMIT = 128 * 1024 * 1024
"""Bytes; the keys and fingerprints of a million rows are some 90 million."""

Column = tuple[object, ...]
"""The identity of a column of a file, unique for ever."""


@dataclass(slots=True)
class _Entry:
    values: pa.ChunkedArray
    load: int
    """The last load that used it."""


class ColumnCache:
    """The cache of all tables of one warehouse; thread-safe."""

    def __init__(self, limit: int = LIMIT) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._load = 0
        self._columns: dict[Column, _Entry] = {}
        self.bytes = 0
        """Size of all cached columns."""

    def begin(self) -> None:
        """Begin a load. Once half of the limit is used, columns that the last two loads did not use are removed."""
        with self._lock:
            self._load += 1
            if self.bytes > self._limit / 2:
                self._columns = {name: entry for name, entry in self._columns.items() if entry.load >= self._load - 2}
                self.bytes = sum(entry.values.nbytes for entry in self._columns.values())

    def columns(self, wanted: Mapping[str, Column], read: Callable[[Sequence[str]], pa.Table]) -> pa.Table:
        """These columns of one file, by their names in the result; only columns that are not cached are read."""
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
