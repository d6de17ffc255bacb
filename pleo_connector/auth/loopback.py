"""A listener for one redirect on this machine: fixed port, exact path and host, small and short.

Everything that is not the awaited redirect gets 404 and changes nothing.
"""

from __future__ import annotations

import os
import socket
import socketserver
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self, cast
from urllib.parse import urlsplit

import h11

from pleo_connector.errors import ConfigurationError, LoginFailed

_LARGEST_REQUEST = 8 * 1024
_PER_CONNECTION = 5.0
_MOST_CONNECTIONS = 32

_PAGE = (
    "<!doctype html><html lang=en><meta charset=utf-8><title>pleo-connector</title>"
    "<body style='font-family:system-ui;margin:4rem auto;max-width:30rem'><h1>{title}</h1><p>{text}</p>"
)
_SECURE = [
    ("Content-Type", "text/html; charset=utf-8"),
    ("Cache-Control", "no-store"),
    ("Referrer-Policy", "no-referrer"),
    (
        "Content-Security-Policy",
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Connection", "close"),
]


class LoopbackListener:
    """Listens while in its `with` block; `wait` returns the query of the first redirect that `accepts` takes."""

    def __init__(self, redirect_uri: str, accepts: Callable[[str], bool]) -> None:
        """`redirect_uri` as registered, http on loopback with a port; `accepts` judges a query (its state)."""
        parts = urlsplit(redirect_uri)
        self._path = parts.path or "/"
        self._hosts = frozenset({parts.netloc.lower()})
        self._name, self._port = parts.hostname or "", parts.port or 0
        self._accepts = accepts
        self._found = threading.Event()
        self._guard = threading.Lock()
        self._query: str | None = None
        self._servers: list[_Server] = []
        self._serving = False
        self.slots = threading.BoundedSemaphore(_MOST_CONNECTIONS)

    def __enter__(self) -> Self:
        addresses = {"localhost": ["127.0.0.1", "::1"]}.get(self._name, [self._name])
        try:
            for address in addresses:
                if address == "::1" and self._servers and not _has_ipv6_loopback():
                    continue  # a machine without IPv6 has nobody else to answer there either
                self._servers.append(_V6Server(address, self._port, self) if ":" in address else _Server(address, self._port, self))
        except OSError as error:
            self.__exit__(None, None, None)
            raise ConfigurationError(
                f"Port {self._port} of PLEO_REDIRECT_URI cannot be listened on ({error.strerror}): another program uses it, perhaps another "
                "`pleo-connector connect`; end that one, or register and set another redirect URI."
            ) from None
        self._serving = True  # shutdown() of a server that never served would wait for ever
        for server in self._servers:
            threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, name="pleo-login", daemon=True).start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for server in self._servers:
            if self._serving:
                server.shutdown()
            server.server_close()
        self._servers.clear()
        self._serving = False

    def wait(self, timeout: float) -> str:
        """The query of the redirect; LoginFailed after `timeout` seconds."""
        if not self._found.wait(timeout):
            raise LoginFailed(f"No answer came from the browser within {timeout:g} s; run the same command again.")
        return self._query or ""

    def answer(self, method: bytes, target: bytes, host: bytes) -> tuple[int, str, str]:
        """Status, title and text for one request; takes the redirect if this is it. `answered` must follow."""
        path, _, query = target.decode("latin-1").partition("?")
        if method == b"GET" and path == self._path and host.decode("latin-1").lower() in self._hosts and self._accepts(query):
            with self._guard:
                if self._query is None:
                    self._query = query
                    if "error=" in query:
                        return 200, "Not connected", "Pleo did not grant access. You can close this window; the terminal says more."
                    return 200, "Pleo has answered", "You can close this window and go back to the terminal."
        return 404, "Not found", "There is nothing here."

    def answered(self) -> None:
        """Let `wait` return once the page is on its way: the process may end right after."""
        if self._query is not None:
            self._found.set()


class _Handler(socketserver.BaseRequestHandler):
    """Reads one request of at most 8 kB within 5 s, and logs nothing: the request line holds the code."""

    def handle(self) -> None:
        listener = cast("_Server", self.server).listener
        if not listener.slots.acquire(blocking=False):
            return
        try:
            self._serve(listener, self.request)
        except (OSError, h11.ProtocolError):
            pass  # a broken visitor is not our affair; the login goes on waiting
        finally:
            listener.slots.release()

    @staticmethod
    def _serve(listener: LoopbackListener, sock: socket.socket) -> None:
        end = time.monotonic() + _PER_CONNECTION
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=_LARGEST_REQUEST)
        while (event := http.next_event()) is h11.NEED_DATA:
            left = end - time.monotonic()
            if left <= 0:
                return
            sock.settimeout(left)
            http.receive_data(sock.recv(4096))
        if not isinstance(event, h11.Request):
            return
        hosts = [value for name, value in event.headers if name == b"host"]
        try:
            status, title, text = listener.answer(event.method, event.target, hosts[0] if len(hosts) == 1 else b"")
            body = _PAGE.format(title=title, text=text).encode()
            sock.settimeout(max(end - time.monotonic(), 0.1))
            response = h11.Response(status_code=status, headers=[*_SECURE, ("Content-Length", str(len(body)))])
            sock.sendall((http.send(response) or b"") + (http.send(h11.Data(data=body)) or b""))
        finally:
            listener.answered()


class _Server(socketserver.ThreadingTCPServer):
    # On POSIX this only lets us bind while an earlier login's connections are in TIME_WAIT; a port that
    # somebody listens on is refused all the same. On Windows it would share the port, so not there.
    allow_reuse_address = os.name == "posix"
    daemon_threads = True
    block_on_close = False

    def __init__(self, address: str, port: int, listener: LoopbackListener) -> None:
        self.listener = listener
        super().__init__((address, port), _Handler)

    def server_bind(self) -> None:
        if os.name == "nt":
            self.socket.setsockopt(socket.SOL_SOCKET, getattr(socket, "SO_EXCLUSIVEADDRUSE", 0), 1)
        super().server_bind()

    def handle_error(self, request: object, client_address: object) -> None:
        """Silent: the standard one prints a traceback whose locals hold the request."""


class _V6Server(_Server):
    address_family = socket.AF_INET6

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        super().server_bind()


def _has_ipv6_loopback() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
