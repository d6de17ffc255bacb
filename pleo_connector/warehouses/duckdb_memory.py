"""Settings that keep a load's memory from growing with what is stored; for a DuckDB that no other connection has open.

Two things grew: DuckDB keeps every block that it reads until its memory limit, four fifths of the machine, is reached; and a
checkpoint merges small row groups, so that a page's row was written again up to ten times, and two thousand of them at once.
"""

from __future__ import annotations

from collections.abc import Callable

_TO_JOIN = 48 * 1024 * 1024
"""Bytes for each thread: some six times what joining a million rows needs; what does not fit goes to `temp_directory`."""

_PER_ROW = 16
"""More bytes for a larger table: at ten millions of rows what a thread has would not be enough by far."""

_PER_STAGED_ROW = 256
"""More bytes for each row that the load brought: its keys lie in temporary tables, which have to fit."""

LARGE = 500_000
"""Rows of a table below which what a statement reads of it is too little to limit."""

_UNITS = ("bytes", "KiB", "MiB", "GiB", "TiB")

_MUCH = 8 * 1024 * 1024
"""Bytes of rows; a load of more leaves its row groups as they are, and a later and smaller one merges them."""


class MemoryLimit:
    """The settings of one connection."""

    def __init__(self, run: Callable[[str], list[tuple[object, ...]]], threads: int, limit: str) -> None:
        """`threads` and `limit` are DuckDB's settings, the limit as `12.5 GiB`."""
        self._run = run
        self.written = 0
        """Bytes of the rows that the load brought."""
        self.staged = 0
        """Number of those rows."""
        number, unit = limit.split()
        self._all = int(float(number) * 1024 ** _UNITS.index(unit))
        self._to_join = _TO_JOIN * max(2, threads)

    def set(self, rows: int) -> None:
        """Limit the memory of one query on a table of so many rows, so that DuckDB frees blocks that it has read."""
        needed = self._to_join + _PER_ROW * rows + _PER_STAGED_ROW * self.staged
        self._run(f"SET memory_limit = '{min(self._all, needed)}B'")

    def reset(self) -> None:
        """Remove the limit, for writes and large deletes, which must not run out of memory."""
        self._run("RESET memory_limit")

    def close(self) -> None:
        """Let the checkpoint after a large load merge no row groups."""
        if self.written >= _MUCH:
            self._run("SET max_vacuum_tasks = 0")
