"""Running the portal, until a signal ends it."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable

import uvicorn

from pleo_connector.errors import ConfigurationError
from pleo_connector.portal.app import Portal
from pleo_connector.portal.parts import parts_of
from pleo_connector.settings import Settings

PORT = 8780
_LAST_REQUESTS = 30
"""Seconds for requests under way when a signal comes: longer than Pleo may take over a code."""
_AT_ONCE = 200


def serve(settings: Settings, *, host: str, port: int, on_ready: Callable[[str], object] = lambda _: None) -> None:
    """Serve until SIGINT or SIGTERM, then finish what is under way; call from the main thread.

    `on_ready` is called once with the address that is listened on, before the first request.
    """
    parts = parts_of(settings)
    parts.connecting.check()
    listener = _listener(host, port)
    server = uvicorn.Server(config_of(Portal(parts)))
    # uvicorn raises the signal that ended it once more, for handlers that were there before: these take it quietly.
    before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        address, taken = listener.getsockname()[:2]
        on_ready(f"http://[{address}]:{taken}" if ":" in address else f"http://{address}:{taken}")
        server.run(sockets=[listener])
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        listener.close()


def config_of(app: Portal) -> uvicorn.Config:
    """Settings of uvicorn without anything that logs a request line or believes a header."""
    return uvicorn.Config(
        app,
        http="h11",
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="warning",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        limit_concurrency=_AT_ONCE,
        timeout_graceful_shutdown=_LAST_REQUESTS,
    )


def _listener(host: str, port: int) -> socket.socket:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP, flags=socket.AI_PASSIVE)[0]
        listener = socket.socket(*found[:3])
    except OSError:
        raise ConfigurationError(f"The portal cannot listen on {host!r}: it is no address of this machine; use 127.0.0.1.") from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(found[4])
        listener.listen(256)
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"The portal cannot listen on {host} port {port} ({error.strerror or 'refused'}); choose another --port, or stop what uses it."
        ) from None
    return listener
