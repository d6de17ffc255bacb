"""A door before a server of the tests: listens on a free port of 127.0.0.1 and lets each client in on a thread of its own."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from typing import Self


class Door:
    """`let_in` is what a door does with a client."""

    def __init__(self, behind: int) -> None:
        self.behind = behind
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]

    def __enter__(self) -> Self:
        threading.Thread(target=self._serve, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            threading.Thread(target=self.let_in, args=(client,), daemon=True).start()

    def let_in(self, client: socket.socket) -> None:
        """Talk to one client, and close its socket."""
        raise NotImplementedError

    def relay(self, client: socket.socket, first: bytes = b"") -> None:
        """Pass on what comes, after `first`, to the port behind, and the answers back."""
        with socket.create_connection(("127.0.0.1", self.behind)) as server:
            server.sendall(first)
            back = threading.Thread(target=_pour, args=(server, client), daemon=True)
            back.start()
            _pour(client, server)
            back.join(5)


def _pour(source: socket.socket, into: socket.socket) -> None:
    """Pass on what comes until there is no more."""
    with suppress(OSError):
        while data := source.recv(65536):
            into.sendall(data)
    with suppress(OSError):
        into.shutdown(socket.SHUT_WR)
