"""A door before a PostgreSQL server that speaks TLS: the server of the tests is built without it.

It answers a client's SSLRequest as PostgreSQL does, and relays what then comes, decrypted.
"""

from __future__ import annotations

import socket
import ssl
import struct
from contextlib import suppress
from pathlib import Path

from tests.door import Door

_SSL_REQUEST = 80877103
_GSS_REQUEST = 80877104


class TLSDoor(Door):
    """Counts the sessions that it let through, encrypted or not."""

    def __init__(self, behind: int, certificate: Path) -> None:
        super().__init__(behind)
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(certificate)
        self.tls = self.plain = 0

    def let_in(self, client: socket.socket) -> None:
        """Answer as PostgreSQL does to the requests that may come before a session."""
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
                    self.relay(private, first)
            else:
                self.plain += 1
                self.relay(client, first)
