"""A TLS proxy before an HTTP server of the tests: ends TLS, passes everything on as it came, and notes nothing."""

from __future__ import annotations

import socket
import ssl
from contextlib import suppress
from pathlib import Path

from tests.certificates import self_signed
from tests.door import Door


class TLSProxy(Door):
    """Passes on to the port `behind`; `certificate` is what it shows, self-signed at first."""

    def __init__(self, folder: Path, behind: int = 0) -> None:
        super().__init__(behind)
        self.certificate = folder / "certificate.pem"
        self.url = f"https://127.0.0.1:{self.port}"
        self.show(self_signed("127.0.0.1"))

    def show(self, certificate: bytes) -> None:
        """Show this one (its key is in the PEM too) from the next connection on."""
        self.certificate.write_bytes(certificate)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.certificate)
        self._context = context

    def let_in(self, client: socket.socket) -> None:
        """A client that likes the certificate speaks to the server behind."""
        with suppress(OSError), client, self._context.wrap_socket(client, server_side=True) as private:
            self.relay(private)
