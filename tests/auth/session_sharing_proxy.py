"""A pooler in transaction mode: any client's next transaction goes to any idle session of the server.

Just enough of PostgreSQL's protocol: a client's start-up is answered from that of the first session; then messages go
to a session until the server says that no transaction is open.
"""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from urllib.parse import parse_qs, urlsplit


def _exactly(peer: socket.socket, count: int) -> bytes:
    got = b""
    while len(got) < count:
        part = peer.recv(count - len(got))
        if not part:
            raise ConnectionError
        got += part
    return got


def _message(peer: socket.socket) -> bytes:
    head = _exactly(peer, 5)
    return head + _exactly(peer, struct.unpack("!I", head[1:])[0] - 4)


class _Pool:
    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        host = parts.hostname or parse_qs(parts.query)["host"][0]
        self._address = f"{host}/.s.PGSQL.{parts.port or 5432}" if host.startswith("/") else (host, parts.port or 5432)
        self._idle: list[socket.socket] = []
        self._guard = threading.Lock()
        self.greeting = b""

    def take(self, startup: bytes) -> socket.socket:
        with self._guard:
            if self._idle:
                return self._idle.pop()
        server = socket.socket(socket.AF_UNIX if isinstance(self._address, str) else socket.AF_INET)
        server.connect(self._address)
        server.sendall(startup)
        greeting = b""
        while True:
            message = _message(server)
            greeting += message
            assert message[:1] != b"E", message
            if message[:1] == b"Z":
                break
        self.greeting = self.greeting or greeting
        return server

    def give(self, server: socket.socket) -> None:
        with self._guard:
            self._idle.append(server)

    def close(self) -> None:
        for server in self._idle:
            server.close()


def _serve(client: socket.socket, pool: _Pool) -> None:
    with client, suppress(ConnectionError, OSError):
        while True:
            length = _exactly(client, 4)
            startup = length + _exactly(client, struct.unpack("!I", length)[0] - 4)
            if struct.unpack("!I", startup[4:8])[0] >> 16 == 3:
                break
            client.sendall(b"N")  # no TLS, no GSS
        pool.give(pool.take(startup))
        client.sendall(pool.greeting)
        while True:
            message = _message(client)
            if message[:1] == b"X":
                return
            server = pool.take(startup)
            state = b"T"
            while True:
                server.sendall(message)
                if message[:1] in (b"Q", b"S"):
                    while True:
                        answer = _message(server)
                        client.sendall(answer)
                        if answer[:1] == b"Z":
                            state = answer[5:6]
                            break
                    if state == b"I":
                        break
                message = _message(client)
            pool.give(server)


@contextmanager
def sharing_sessions(url: str) -> Iterator[str]:
    """The URL of the same database through such a pooler."""
    pool = _Pool(url)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with suppress(OSError):
                while True:
                    client, _ = listener.accept()
                    threading.Thread(target=_serve, args=(client, pool), daemon=True).start()

        threading.Thread(target=accept, daemon=True).start()
        parts = urlsplit(url)
        yield f"postgresql://{parts.username or 'postgres'}:@127.0.0.1:{listener.getsockname()[1]}{parts.path}"
        listener.shutdown(socket.SHUT_RDWR)
    pool.close()
