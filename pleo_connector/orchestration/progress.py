"""The progress of a run: a log line every ten seconds, and an observation of the asset every five minutes."""

import time
from collections.abc import Callable
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pleo_connector.sync import StreamReport

LINE = 10.0
"""Seconds between two lines."""

NOTE = 300.0
"""Seconds between two observations of a table that is still being read."""

_ENOUGH = 5
"""Walks that must be done before the time left is estimated: months differ in size."""


class Progress:
    """`write` adds a line to the run's log, `note` puts numbers on the asset of a stream."""

    def __init__(
        self,
        write: Callable[[str], None],
        note: Callable[[str, dict[str, Any]], None] = lambda _stream, _numbers: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._write = write
        self._note = note
        self._clock = clock
        self._last = clock()
        self._began: dict[str, tuple[float, int]] = {}
        self._noted: dict[str, float] = {}
        self._open: dict[str, StreamReport] = {}

    def loaded(self, report: "StreamReport") -> None:
        """Rows of a stream were committed."""
        self._open[report.stream] = report
        now = self._clock()
        self._began.setdefault(report.stream, (now, report.walked))
        if now - self._noted.setdefault(report.stream, now) >= NOTE:
            self._noted[report.stream] = now
            left = self._left(report)
            numbers = {"rows_so_far": report.served, "pages": report.pages, "windows_done": report.walked, "windows_due": report.sweeps}
            self._note(report.stream, numbers | ({"seconds_left": round(left)} if left is not None else {}))
        if now - self._last >= LINE:
            self._write_progress()

    def quiet(self) -> None:
        """No event came for a while."""
        self._write_progress()

    def finished(self, report: "StreamReport") -> None:
        """A stream has ended well."""
        self._open.pop(report.stream, None)
        self._write(
            f"{report.stream}: {_amount(report)} in {report.seconds:.1f} s; {report.inserted:,} new, "
            f"{report.updated:,} changed, {report.deleted:,} deleted, {report.unchanged:,} unchanged, {report.quarantined:,} quarantined."
        )

    def _write_progress(self) -> None:
        self._last = self._clock()
        lines = [self._line(report) for report in self._open.values()]
        self._write("; ".join(lines) if lines else "Waiting for Pleo's first answer.")

    def _line(self, report: "StreamReport") -> str:
        parts = [f"{report.stream}: {_amount(report)} so far"]
        if report.sweeps > 1:
            parts.append(f"{report.walked} of {report.sweeps} windows done")
        if (left := self._left(report)) is not None:
            parts.append(f"about {timedelta(seconds=round(left))} left")
        return ", ".join(parts)

    def _left(self, report: "StreamReport") -> float | None:
        """Seconds until the last window is read, if the others take as long as those since the stream's first event.

        None while there is no estimate. Streams begin at different times, so the run's earlier walks do not count.
        """
        began, before = self._began[report.stream]
        done = report.walked - before
        if done < _ENOUGH or report.walked >= report.sweeps:
            return None
        return (self._clock() - began) / done * (report.sweeps - report.walked)


def _amount(report: "StreamReport") -> str:
    rows, pages = (f"{count:,} {word}{'' if count == 1 else 's'}" for count, word in ((report.served, "row"), (report.pages, "page")))
    return f"{rows} on {pages}"
