from __future__ import annotations

from typing import Any

from pleo_connector.orchestration.progress import Progress
from pleo_connector.sync import StreamReport


class Watch:
    """A clock that a test sets, and what was said."""

    def __init__(self) -> None:
        self.now = 0.0
        self.lines: list[str] = []
        self.notes: list[tuple[str, dict[str, Any]]] = []
        self.progress = Progress(self.lines.append, lambda stream, numbers: self.notes.append((stream, numbers)), lambda: self.now)

    def loaded(self, at: float, **counts: int) -> None:
        self.now = at
        self.progress.loaded(StreamReport("accounting_entries", **counts))  # type: ignore[arg-type]


def test_a_line_every_ten_seconds_says_rows_windows_and_when_it_will_end() -> None:
    watch = Watch()
    watch.loaded(0, served=100, pages=1, sweeps=60)
    watch.loaded(9.9, served=200, pages=2, sweeps=60)
    assert watch.lines == []
    watch.loaded(10, served=12_300, pages=123, sweeps=60, walked=4)
    assert watch.lines == ["accounting_entries: 12,300 rows on 123 pages so far, 4 of 60 windows done"]
    watch.loaded(15, served=13_000, pages=130, sweeps=60, walked=10)
    assert len(watch.lines) == 1
    watch.loaded(20, served=15_000, pages=150, sweeps=60, walked=20)
    assert watch.lines[-1] == "accounting_entries: 15,000 rows on 150 pages so far, 20 of 60 windows done, about 0:00:40 left"


def test_a_long_sweep_is_noted_on_its_asset_every_five_minutes() -> None:
    watch = Watch()
    watch.loaded(0, served=1, pages=1, sweeps=60)
    for at in (100, 299, 300, 301, 599, 600):
        watch.loaded(at, served=1000, pages=10, sweeps=60, walked=30)
    assert [stream for stream, _ in watch.notes] == ["accounting_entries"] * 2
    assert watch.notes[0][1] == {"rows_so_far": 1000, "pages": 10, "windows_done": 30, "windows_due": 60, "seconds_left": 300}


def test_a_stream_that_begins_late_is_not_told_by_the_time_before() -> None:
    watch = Watch()
    watch.loaded(1000, served=100, pages=1, sweeps=60, walked=10)
    watch.loaded(1005, served=200, pages=2, sweeps=60, walked=14)
    assert "left" not in watch.lines[-1], "four windows say little"
    watch.loaded(1020, served=300, pages=3, sweeps=60, walked=20)
    assert watch.lines[-1].endswith("20 of 60 windows done, about 0:01:20 left")


def test_a_list_in_one_piece_has_no_windows_and_a_quiet_run_says_that_it_waits() -> None:
    watch = Watch()
    watch.progress.quiet()
    watch.loaded(30, served=1, pages=1, sweeps=1)
    assert watch.lines == ["Waiting for Pleo's first answer.", "accounting_entries: 1 row on 1 page so far"]
