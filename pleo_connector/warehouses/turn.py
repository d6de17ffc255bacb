"""Taking turns at a warehouse file: a queue between processes and threads, first come, first served.

Each writer draws the next number: a ticket file beside the warehouse, which is locked while its owner waits and works. It waits for
the ticket before its own until no earlier ticket is left. The kernel unlocks the ticket of a process that dies, so a killed run
blocks no other, at any place in the queue.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic

from filelock import BaseFileLock, FileLock, Timeout

from pleo_connector.errors import WarehouseLocked, WarehouseUnwritable

_POLL = 0.02
"""Seconds between tries: short, since a load of one page group takes some tenths of a second."""

_DRAWING = 5.0
"""Seconds to wait at most while others draw their numbers, which takes them no time."""


@contextmanager
def turn(path: Path, wait: float) -> Iterator[None]:
    """Hold the turn at `path`; WarehouseLocked names who has it when `wait` seconds were not enough.

    The note of who has it is only for messages: a stale one does no harm.
    """
    deadline = monotonic() + wait
    note = path.with_name(path.name + ".holder")
    try:
        ticket = _draw(path)
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise WarehouseUnwritable(
            f"The warehouse {path} cannot be written: its lock file {path.name}.lock cannot be made ({reason}); give this user write access to the folder or set PLEO_WAREHOUSE to another place."
        ) from error
    try:
        try:
            _await(path, Path(ticket.lock_file), deadline)
        except Timeout:
            ahead = len(_before(path, Path(ticket.lock_file)))
            others = f" with {ahead - 1} more before this one" if ahead > 1 else ""
            raise WarehouseLocked(
                f"The warehouse {path} is being written by {_holder(note)} and still was after {wait:g} s{others}; wait for it to finish or stop it, then run again."
            ) from None
        with suppress(OSError):
            note.write_text(json.dumps({"pid": os.getpid(), "program": _program()}), encoding="utf-8")
        try:
            yield
        finally:
            with suppress(OSError):
                note.unlink()
    finally:
        _discard(ticket)


def _draw(path: Path) -> BaseFileLock:
    """The ticket with the next number, locked. Numbers start again at 1 when there are no tickets."""
    lock_path = path.with_name(path.name + ".lock")
    # filelock takes some refusals (such as /proc's) for a lock of another process, and would wait.
    os.close(os.open(lock_path, os.O_RDWR | os.O_CREAT, 0o644))
    with FileLock(lock_path, thread_local=False).acquire(timeout=_DRAWING, poll_interval=_POLL / 10):
        last = max(_tickets(path), default=0)
        ticket = FileLock(path.with_name(f"{path.name}.turn-{last + 1:06}"), thread_local=False)
        ticket.acquire(timeout=_DRAWING, poll_interval=_POLL)
    return ticket


def _await(path: Path, mine: Path, deadline: float) -> None:
    """Return once no ticket is before mine; Timeout at the deadline. The ticket of a dead process is thrown away."""
    while before := _before(path, mine):
        ahead = FileLock(before[-1], thread_local=False)
        ahead.acquire(timeout=max(0.0, deadline - monotonic()), poll_interval=_POLL)
        _discard(ahead)


def _discard(ticket: BaseFileLock) -> None:
    with suppress(OSError):
        Path(ticket.lock_file).unlink()
    ticket.release()


def _before(path: Path, mine: Path) -> list[Path]:
    tickets = _tickets(path)
    return [tickets[number] for number in sorted(tickets) if number < _number(mine)]


def _tickets(path: Path) -> dict[int, Path]:
    start = f"{path.name}.turn-"  # not a pattern: any character may be part of the file's name
    files = [beside for beside in path.parent.iterdir() if beside.name.startswith(start)]
    return {_number(ticket): ticket for ticket in files}


def _number(ticket: Path) -> int:
    return int(ticket.name.rpartition("-")[2])


def _program() -> str:
    return Path(sys.argv[0]).name or "python" if sys.argv else "python"


def _holder(note: Path) -> str:
    try:
        held = json.loads(note.read_text(encoding="utf-8"))
        return f"{held['program']} (pid {held['pid']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
