"""A proxy as companies have them: a client asks it by CONNECT for a host, and it relays to the one server behind, whatever the host."""

from __future__ import annotations

import base64
import socket
from contextlib import suppress

from tests.door import Door


class ForwardProxy(Door):
    """`asked` lists what clients wanted to reach; with `login` ("user:password") nobody gets through without."""

    def __init__(self, behind: int, login: str = "") -> None:
        super().__init__(behind)
        self.url = f"http://127.0.0.1:{self.port}"
        self.asked: list[str] = []
        self.refused = 0
        self._wanted = f"basic {base64.b64encode(login.encode()).decode()}" if login else ""

    def let_in(self, client: socket.socket) -> None:
        """Read the head of the CONNECT, and relay."""
        with suppress(OSError), client:
            head = b""
            while b"\r\n\r\n" not in head and (more := client.recv(4096)):
                head += more
            first, *lines = head.decode("latin-1").split("\r\n")
            headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
            given = headers.get("proxy-authorization", "")
            if self._wanted and given[:6].lower() + given[6:] != self._wanted:
                self.refused += 1
                client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
                return
            self.asked.append(first)
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            self.relay(client)
