"""A program that this process starts, watches, and surely ends, with everything that it started itself."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

_POLITE_SECONDS = 5.0
"""How long each signal has before the next, harder one."""


@contextmanager
def started(command: Sequence[str], *, environment: Mapping[str, str], folder: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the command in its own process group, output to `log`; at the block's end the whole group is gone."""
    with log.open("wb") as sink, _hearing_ctrl_c():
        # Its own session: Ctrl-C reaches only us, and one signal to the group reaches all that it started.
        process = subprocess.Popen(  # noqa: S603 - our own command, no shell
            list(command), env=dict(environment), cwd=folder, stdin=subprocess.DEVNULL, stdout=sink, stderr=sink, start_new_session=True
        )
    try:
        yield process
    finally:
        end_group(process)


@contextmanager
def _hearing_ctrl_c() -> Iterator[None]:
    """A shell starts what runs in the background with SIGINT ignored, and children inherit that: not those started in here."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def end_group(process: subprocess.Popen[bytes]) -> None:
    """Ask the group to end, then insist; waits until nobody of it is left."""
    group = process.pid
    # SIGINT is how these servers like to be asked; one that inherited it as ignored hears SIGTERM, and SIGKILL ends the rest.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGKILL):
        if not _signalled(group, number):
            break
        deadline = time.monotonic() + _POLITE_SECONDS
        while time.monotonic() < deadline and _alive(process, group):
            time.sleep(0.05)
    with suppress(subprocess.TimeoutExpired):
        process.wait(_POLITE_SECONDS)


def _alive(process: subprocess.Popen[bytes], group: int) -> bool:
    process.poll()  # reaps the leader, which would otherwise stay in the group as a zombie
    return _signalled(group, 0)


def _signalled(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def last_lines(log: Path, count: int = 15) -> str:
    """The end of a log, for a message about a program that died."""
    try:
        return "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-count:])
    except OSError:
        return ""
