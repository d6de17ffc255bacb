"""The proof of "exactly once": syncs that are killed, and pages that change while they are read.

    python -m benchmarks.exactly_once --write docs/exactly-once.md

kills 300 syncs at random moments and some more at each write boundary, runs each again, and compares the tables with those of an
undisturbed sync; then changes Pleo between two pages in every way, under every sort order. `--kills 30` kills fewer,
`--minutes 10` stops killing then, and SIGTERM after the kill at hand; `--only changes` makes one of the two tables.
"""

from __future__ import annotations

import argparse
import math
import os
import platform
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import count, product
from pathlib import Path

from benchmarks.section import write
from pleo_connector.sync import Mode
from tests.place import sandbox
from tests.postgres_server import drop_database, new_database
from tests.sync.kill_storm import Outcome, Store, at_each_boundary, at_random, ground
from tests.sync.moving_pages import CHANGES, MISLEADING, ORDERS, applies, expected, misled, moving, outcome, sorted_by

IN_A_ROW = 2
"""Kills of one sync before it may end: the second one hits a sync that goes on after the first."""

RANDOM = "at random"

WAREHOUSES = ("DuckDB", "PostgreSQL")

stopped = threading.Event()
"""Set by SIGTERM: the storms end with the kill at hand, the table says how many there were, and PostgreSQL is stopped."""


def storms(kills: int, folder: Path, workers: int, minutes: float) -> list[tuple[str, str, str, Outcome]]:
    """(warehouse, run, moments of the kills, outcome). The kills, and the time, are shared out evenly."""
    drop_database(new_database())  # the server starts before there are threads
    combinations = list(product(WAREHOUSES, Mode))
    each = minutes * 60 * workers / len(combinations)

    def storm(number: int) -> list[tuple[str, str, str, Outcome]]:
        kind, mode = combinations[number]
        share = kills // len(combinations) + (number < kills % len(combinations))
        began = time.monotonic()
        with ground(Store(kind, folder), mode) as place:
            random = at_random(place, share, seed=number, in_a_row=IN_A_ROW, over=past(began + each / 2))
            cut = at_each_boundary(place, over=past(began + each))
            rows = [(kind, mode.value, RANDOM, random), (kind, mode.value, "at write boundaries, in order", cut)]
        for *what, seen in rows:
            print(*what, seen, file=sys.stderr, flush=True)
        return rows

    with ThreadPoolExecutor(workers) as threads:
        return [row for rows in threads.map(storm, range(len(combinations))) for row in rows]


def past(moment: float) -> Callable[[], bool]:
    """Whether that moment of `time.monotonic()` is over, or the storms were told to stop."""
    return lambda: stopped.is_set() or time.monotonic() > moment


def kill_table(rows: list[tuple[str, str, str, Outcome]], seconds: float, asked: int, minutes: float) -> str:
    """Markdown; says what a limit of time left out."""
    made = sum(one.kills for *_, moments, one in rows if moments == RANDOM)
    machine = f"Python {platform.python_version()} on {os.cpu_count()} cores"
    lines = [
        f"Measured on {datetime.now(UTC):%Y-%m-%d} with {machine}, in {seconds / 60:.0f} minutes: {made} of {asked} kills at random moments."
    ]
    if minutes < math.inf or stopped.is_set():
        lines.append(
            f"Stopped after {min(minutes, seconds / 60):.0f} minutes of kills: of the write boundaries, the first ones were reached."
        )
    lines += [
        "",
        "| warehouse | run | kills | moments | syncs | resumed | identical | rows lost | rows doubled |",
        "| --- | --- | ---: | --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {kind} | {mode} | {one.kills} | {moments} | {one.cases} | {one.resumed} | {one.identical} | {one.lost} | {one.doubled} |"
        for kind, mode, moments, one in rows
    ]
    total = [sum(getattr(one, name) for *_, one in rows) for name in ("kills", "cases", "resumed", "identical", "lost", "doubled")]
    lines.append(f"| **all** | | {total[0]} | | {' | '.join(map(str, total[1:]))} |")
    lines += ["", *(f"- {difference}" for *_, one in rows for difference in one.differences)]
    return "\n".join(lines)


def changes() -> tuple[str, bool]:
    """The two tables of what happens between pages, and whether all is as expected."""
    orders = [(name, sort_key) for name, keys in ORDERS.items() for sort_key in keys]
    lines = [f"| between two pages a record is | expected | {' | '.join(f'{name} by `{sort_key}`' for name, sort_key in orders)} |"]
    lines.append("| --- | --- |" + " --- |" * len(orders))
    clean = True
    with tempfile.TemporaryDirectory() as folder, sandbox() as pleo:
        files = (Path(folder) / f"{number}.duckdb" for number in count())
        for how, position in product(CHANGES, ("before", "after")):
            wanted = expected(how, position)
            got = [
                outcome(moving(pleo, sorted_by(*order), next(files)), how, position) if applies(how, order[1]) else "-" for order in orders
            ]
            clean &= {*got} <= {wanted, "-"}
            lines.append(f"| {how}, {position} the cursor | {wanted} | {' | '.join(got)} |")
        lines += ["", "| Pleo answers with | expected | got |", "| --- | --- | --- |"]
        for wrong in MISLEADING:
            told = misled(moving(pleo, sorted_by("receipts", "createdAt"), next(files)), wrong)
            clean &= told == wrong.expected
            lines.append(f"| {wrong.what} | {wrong.expected} | {told} |")
    return "\n".join(lines), clean


def main() -> int:
    """Run, then print or write; 1 when a row was lost or doubled, or a table differs."""
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--kills", type=int, default=300, help="at random moments; those at write boundaries come on top")
    options.add_argument("--minutes", type=float, default=math.inf, help="no more kills after that; the table shows how many there were")
    options.add_argument("--workers", type=int, default=2, help="storms at a time")
    options.add_argument("--only", choices=["kills", "changes"], help="one of the two tables")
    options.add_argument("--write", type=Path, metavar="FILE", help="put the tables into this file's sections `kills` and `changes`")
    given = options.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: stopped.set())
    texts: dict[str, str] = {}
    clean = True
    if given.only in (None, "kills"):
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            rows = storms(given.kills, Path(folder), given.workers, given.minutes)
        texts["kills"] = kill_table(rows, time.monotonic() - began, given.kills, given.minutes)
        clean = all(one.is_clean for *_, one in rows)
    if given.only in (None, "changes") and not stopped.is_set():
        texts["changes"], as_expected = changes()
        clean &= as_expected
    for section, text in texts.items():
        if given.write:
            write(given.write, section, text)
        else:
            print(text)
    return 0 if clean else 1


if __name__ == "__main__":
    raise SystemExit(main())
