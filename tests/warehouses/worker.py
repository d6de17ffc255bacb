"""What the tests run in processes of their own: `python -m tests.warehouses.worker VERB ...`."""

from __future__ import annotations

import os
import resource
import select
import signal
import sys
import time
from collections.abc import Callable

import duckdb
import pandas as pd
from sqlalchemy import event
from sqlalchemy.engine import Engine

from pleo_connector.errors import PleoError
from pleo_connector.warehouses import open_warehouse
from tests.warehouses.rows import BILLS, CURSORS, LINES, SEEN, bill, bills, lines, seen

TABLES = [BILLS, LINES, SEEN, CURSORS]


def say(what: str) -> None:
    """Tell the test that started this process."""
    sys.stdout.write(what + "\n")
    sys.stdout.flush()


def load(url: str, first: str, many: str, times: str) -> None:
    """Merge `many` bills of its own, with two lines each, `times` times with new hashes."""
    warehouse = open_warehouse(url, "spend")
    numbers = range(int(first), int(first) + int(many))
    for turn in range(int(times)):
        with warehouse.transaction() as work:
            work.ensure(TABLES)
            counts = work.merge(
                [BILLS, LINES],
                {
                    "bills": bills(*(bill(number, _row_hash=f"{turn}") for number in numbers)),
                    "bill_lines": lines(*((number, 2) for number in numbers)),
                },
            )
            assert counts.inserted + counts.updated == len(numbers), counts


def fleet(url: str, size: str, many: str, times: str) -> None:
    """`size` processes that all `load` at once; forked, since to import pandas in each takes longer than all their loads."""
    crew = []
    for number in range(int(size)):
        if (pid := os.fork()) == 0:
            try:
                load(url, str(number * 1000), many, times)
            except BaseException as error:  # noqa: BLE001 - the test reads it
                sys.stderr.write(f"{error!r}\n")
                sys.stderr.flush()
                os._exit(1)
            os._exit(0)
        crew.append(pid)
    ended = [os.waitpid(pid, 0)[1] for pid in crew]
    say(f"{ended.count(0)} of {size} done")


def hang(url: str) -> None:
    """Merge and stay inside the transaction until told to go on, or killed."""
    with open_warehouse(url, "spend").transaction() as work:
        work.merge([BILLS, LINES], {"bills": bills(bill(1, _row_hash="changed"), bill(77)), "bill_lines": lines((1, 5), (77, 5))})
        say("inside")
        sys.stdin.readline()
    say("done")


def analyst(path: str, seconds: str) -> None:
    """Hold a DuckDB file open with plain DuckDB, read-only, until told to let go or for some seconds."""
    with duckdb.connect(path, read_only=True):
        say("holding")
        if float(seconds):
            time.sleep(float(seconds))
        else:
            sys.stdin.readline()


def look(path: str) -> None:
    """Open a snapshot anew again and again until told to stop; print how often, and how many versions of the bills were seen.

    Every look must find all bills of one load, each with its two lines.
    """
    seen: set[str] = set()
    looks = 0
    say("looking")
    while not select.select([sys.stdin], [], [], 0)[0]:
        with duckdb.connect(path, read_only=True) as shell:
            found = shell.execute(
                "SELECT min(_row_hash), max(_row_hash), count(*), (SELECT count(*) FROM spend.bill_lines) FROM spend.bills"
            ).fetchall()
        ((low, high, many, children),) = found
        assert low == high, found
        assert children == 2 * many, found
        seen.add(low)
        looks += 1
    say(f"{looks} {len(seen)}")


def peek(url: str) -> None:
    """Like `look`, through the connector's own door, at a warehouse that is being written."""
    warehouse = open_warehouse(url, "spend", wait=30)
    versions: set[object] = set()
    looks = 0
    say("looking")
    while not select.select([sys.stdin], [], [], 0)[0]:
        with warehouse.transaction() as work:
            rows = work.read(BILLS, ["_row_hash"]).column(0).unique().to_pylist()
            many, children = work.count(BILLS), work.count(LINES)
        assert len(rows) == 1, rows
        assert children == 2 * many, (many, children)
        versions.update(rows)
        looks += 1
    say(f"{looks} {len(versions)}")


def attempt(url: str, user: str, limit: str, many: str) -> None:
    """Load some bills as another user (0: stay) and with a limit on file size in bytes (0: none); print what happened."""
    if int(limit):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
    if int(user):
        os.setuid(int(user))
    try:
        with open_warehouse(url, "spend").transaction() as work:
            work.ensure(TABLES)
            big = [bill(number, note=os.urandom(200).hex()) for number in range(int(many))]
            work.merge([BILLS, LINES], {"bills": pd.concat([bills(*big)]), "bill_lines": lines()})
        say("written")
    except PleoError as error:
        say(f"{type(error).__name__}: {error}")


def cut(url: str, moved: str) -> None:
    """Load into Iceberg, and be killed when so many tables of the load point to their new state, inside the last transaction."""
    left = int(moved)

    def count(_: object, __: object, statement: str, *___: object) -> None:
        nonlocal left
        if statement.startswith("UPDATE iceberg_tables"):
            if not left:
                os.kill(os.getpid(), signal.SIGKILL)
            left -= 1

    event.listen(Engine, "before_cursor_execute", count)
    event.listen(Engine, "commit", lambda _: os.kill(os.getpid(), signal.SIGKILL) if left < int(moved) and not left else None)
    with open_warehouse(url, "spend").transaction() as work:
        work.merge([BILLS, LINES], {"bills": bills(bill(1, _row_hash="changed"), bill(77)), "bill_lines": lines((1, 5), (77, 5))})
        work.upsert(SEEN, seen("a", 1, 77))
    say("not killed")


VERBS: dict[str, Callable[..., None]] = {
    "fleet": fleet,
    "hang": hang,
    "analyst": analyst,
    "look": look,
    "peek": peek,
    "attempt": attempt,
    "cut": cut,
}

if __name__ == "__main__":
    VERBS[sys.argv[1]](*sys.argv[2:])
