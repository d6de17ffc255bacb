"""A door before a PostgreSQL server that speaks TLS: the server of the tests is built without it.

It answers a client's SSLRequest as PostgreSQL does, and relays what then comes, decrypted.
"""

from __future__ import annotations

import socket
import ssl
import struct
import threading
from contextlib import suppress
from pathlib import Path
from typing import Self

_SSL_REQUEST = 80877103
_GSS_REQUEST = 80877104


class TLSDoor:
    """Listens on a free port of 127.0.0.1 and counts the sessions that it let through, encrypted or not."""

    def __init__(self, behind: int, certificate: Path) -> None:
        self._behind = behind
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.tls = self.plain = 0

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
            threading.Thread(target=self._let_in, args=(client,), daemon=True).start()

    def _let_in(self, client: socket.socket) -> None:
        with suppress(OSError, struct.error), client:
            first = client.recv(8, socket.MSG_WAITALL)
            while struct.unpack("!ii", first)[1] == _GSS_REQUEST:
                client.sendall(b"N")
                first = client.recv(8, socket.MSG_WAITALL)
            if struct.unpack("!ii", first)[1] == _SSL_REQUEST:
                client.sendall(b"S")
                with self._context.wrap_socket(client, server_side=True) as private:
                    # the client may still hang up over the certificate: only what it sends then is a session
                    first = private.recv(8)
                    self.tls += bool(first)
                    self._relay(private, first)
            else:
                self.plain += 1
                self._relay(client, first)

    def _relay(self, client: socket.socket, first: bytes) -> None:
        with socket.create_connection(("127.0.0.1", self._behind)) as server:
            server.sendall(first)
            back = threading.Thread(target=pour, args=(server, client), daemon=True)
            back.start()
            pour(client, server)
            back.join(5)


def pour(source: socket.socket, into: socket.socket) -> None:
    """Pass on what comes until there is no more."""
    with suppress(OSError):
        while data := source.recv(65536):
            into.sendall(data)
    with suppress(OSError):
        into.shutdown(socket.SHUT_WR)
