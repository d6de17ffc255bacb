"""A total deadline for one HTTP exchange: httpx only limits each read and write."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from typing import Any, Self


class Deadline:
    """Cuts the socket of an exchange when `seconds` have passed, so that a server that drips bytes cannot hold us.

    Give `extensions` to the httpx request; use as a context manager around it. A cut exchange
    fails with an httpx.TransportError; `passed` then tells why.
    """

    def __init__(self, seconds: float, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._end = monotonic() + seconds
        self._timer = threading.Timer(seconds, self._cut)
        self._timer.daemon = True
        self._guard = threading.Lock()
        self._sockets: list[socket.socket] = []
        self._fired = False

    def __enter__(self) -> Self:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()
        with self._guard:
            self._sockets.clear()

    @property
    def passed(self) -> bool:
        """True when the time is up."""
        return self._fired or self._monotonic() >= self._end

    @property
    def extensions(self) -> dict[str, Any]:
        """What the httpx request needs for its socket to be known here."""
        return {"trace": self._trace}

    def _trace(self, event: str, info: dict[str, Any]) -> None:
        if event in ("connection.connect_tcp.complete", "connection.start_tls.complete", "proxy.start_tls.complete"):
            found = info["return_value"].get_extra_info("socket")
            if found is not None:
                with self._guard:
                    self._sockets.append(found)
                    late = self._fired
                if late:
                    self._shut([found])

    def _cut(self) -> None:
        with self._guard:
            self._fired = True
            sockets = list(self._sockets)
        self._shut(sockets)

    @staticmethod
    def _shut(sockets: list[socket.socket]) -> None:
        for one in reversed(sockets):  # the TLS socket is the last, and owns the descriptor
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)
