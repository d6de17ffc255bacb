"""Who is walking a sweep, so that two runs at once never share one.

A run that finds an open sweep goes on with it only if the run that left it is dead. On the
same machine the process table says so; for another machine only the time since its last commit counts.
"""

from __future__ import annotations

import os
import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import psutil

SILENCE = timedelta(minutes=15)
"""A run on another machine that has committed nothing for so long counts as dead: no wait inside a run lasts longer."""

_running: set[str] = set()
"""The runs of this process."""


@contextmanager
def registered() -> Iterator[str]:
    """The identity of one run, alive until the block ends: host, process, its start, and a number of its own."""
    identity = f"{_process()}/{uuid.uuid4().hex}"
    _running.add(identity)
    try:
        yield identity
    finally:
        _running.discard(identity)


def is_alive(identity: str, last_sign: datetime | None, now: datetime) -> bool:
    """Whether that run may still be walking; `last_sign` is its last commit."""
    parts = identity.split("/")
    if len(parts) != len(("host", "pid", "started", "run")):
        return False
    host, pid, started, _ = parts
    if host != _host():
        return last_sign is not None and now - last_sign < SILENCE
    if f"{host}/{pid}/{started}" == _process():
        return identity in _running
    try:
        return f"{psutil.Process(int(pid)).create_time():.2f}" == started
    except (psutil.NoSuchProcess, ValueError):
        return False
    except psutil.AccessDenied:
        return True


def _host() -> str:
    return socket.gethostname().replace("/", "_")


def _process() -> str:
    return f"{_host()}/{os.getpid()}/{psutil.Process().create_time():.2f}"
