"""Progress of a sync on stderr: live counters on a terminal, plain lines anywhere else."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.progress import Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

from pleo_connector.cli.output import Output, console, plural
from pleo_connector.sync import StreamReport

_EVERY = 10.0
"""Seconds between two plain lines about one stream that is still loading."""


class SyncProgress(Protocol):
    """Hears of a sync as it goes: the listeners of `sync.run`."""

    def loaded(self, report: StreamReport) -> None:
        """A batch of this stream is committed."""

    def finished(self, report: StreamReport) -> None:
        """The stream's sweeps are closed."""


@contextmanager
def showing(output: Output) -> Iterator[SyncProgress]:
    """Progress for the time of the block, in the form that suits stderr."""
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield _Lines(output)
        return
    columns = (
        SpinnerColumn(finished_text="✓"),
        TextColumn("{task.description:<20}"),
        TextColumn("{task.fields[told]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=screen, transient=True) as progress:
        yield _Live(progress)


class _Live:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}
        self._all = progress.add_task("reading Pleo", total=None, told="")

    def loaded(self, report: StreamReport) -> None:
        self._progress.update(self._task(report), told=_told(report))

    def finished(self, report: StreamReport) -> None:
        self._progress.update(self._task(report), told=f"{_told(report)}{', failed' if report.error else ''}", total=1, completed=1)

    def _task(self, report: StreamReport) -> TaskID:
        if report.stream not in self._tasks:
            self._tasks[report.stream] = self._progress.add_task(report.stream, total=None, told="")
        return self._tasks[report.stream]


class _Lines:
    def __init__(self, output: Output) -> None:
        self._output = output
        self._last: dict[str, float] = {}

    def loaded(self, report: StreamReport) -> None:
        now = time.monotonic()
        if now - self._last.setdefault(report.stream, now) >= _EVERY:
            self._last[report.stream] = now
            self._output.note(f"{report.stream}: {_told(report)} so far")

    def finished(self, report: StreamReport) -> None:
        self._output.note(f"{report.stream}: {_told(report)}, {'failed' if report.error else 'done'}")


def _told(report: StreamReport) -> str:
    return ", ".join((plural(report.served, "row"), plural(report.pages, "page"), plural(report.traffic.requests, "request")))
