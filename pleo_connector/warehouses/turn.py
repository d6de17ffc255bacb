"""Taking turns at a warehouse file: a lock between processes and threads that names its holder."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from pleo_connector.errors import WarehouseLocked, WarehouseUnwritable

_POLL = 0.02
"""Seconds between tries: short, since a load of one page group takes some tenths of a second."""


@contextmanager
def turn(path: Path, wait: float) -> Iterator[None]:
    """Hold the lock beside `path`; WarehouseLocked names who holds it when `wait` seconds were not enough.

    The kernel frees the lock when its holder dies, so a killed run blocks nobody. The note of who holds it is only
    for messages: a stale one does no harm.
    """
    lock_path = path.with_name(path.name + ".lock")
    note = path.with_name(path.name + ".holder")
    lock = FileLock(lock_path, thread_local=False)
    try:
        # filelock takes some refusals (such as /proc's) for a lock that somebody else holds, and would wait.
        os.close(os.open(lock_path, os.O_RDWR | os.O_CREAT, 0o644))
        lock.acquire(timeout=wait, poll_interval=_POLL)
    except Timeout:
        raise WarehouseLocked(
            f"The warehouse {path} is being written by {_holder(note)} and still was after {wait:g} s; wait for it to finish or stop it, then run again."
        ) from None
    except (OSError, NotImplementedError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise WarehouseUnwritable(
            f"The warehouse {path} cannot be written: its lock file {lock_path.name} cannot be made ({reason}); give this user write access to the folder or set PLEO_WAREHOUSE to another place."
        ) from error
    try:
        with suppress(OSError):
            note.write_text(json.dumps({"pid": os.getpid(), "program": _program()}), encoding="utf-8")
        yield
    finally:
        with suppress(OSError):
            note.unlink()
        lock.release()


def _program() -> str:
    return Path(sys.argv[0]).name or "python" if sys.argv else "python"


def _holder(note: Path) -> str:
    try:
        held = json.loads(note.read_text(encoding="utf-8"))
        return f"{held['program']} (pid {held['pid']})"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
