"""Running the sandbox: in a thread of this process, or until a signal ends it."""

from __future__ import annotations

import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any

import uvicorn

from pleo_connector.catalogue import CATALOGUE, Catalogue
from pleo_connector.errors import ConfigurationError, PleoError
from pleo_connector.sandbox.app import SandboxApp
from pleo_connector.sandbox.config import SandboxConfig
from pleo_connector.sandbox.state import SandboxState

_START_SECONDS = 10.0
_STOP_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class RunningSandbox:
    """A sandbox that answers at `url`; its state can be changed while it runs."""

    url: str
    state: SandboxState

    def counters(self) -> dict[str, Any]:
        """All counts since the start or the last reset."""
        return self.state.counters()


@contextmanager
def running(
    config: SandboxConfig | None = None, *, catalogue: Catalogue = CATALOGUE, clock: Callable[[], float] = time.time
) -> Iterator[RunningSandbox]:
    """A sandbox in a thread of this process, gone with its thread and sockets when the block ends.

    `clock` gives seconds; lifetimes and the request budget go by it. A port that is taken raises ConfigurationError.
    """
    config = SandboxConfig() if config is None else config
    state = SandboxState(config, catalogue, clock)
    listener = _listener(config)
    try:
        host, port = listener.getsockname()[:2]
        state.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        app = SandboxApp(state)
        server = uvicorn.Server(_uvicorn_config(app))
        thread = threading.Thread(target=server.run, args=([listener],), name="pleo-sandbox")
        thread.start()
        try:
            _wait_for_start(server, thread)
            yield RunningSandbox(state.url, state)
        finally:
            app.stop()
            server.should_exit = True
            thread.join(_STOP_SECONDS)
            if thread.is_alive():
                server.force_exit = True
                thread.join()
    finally:
        listener.close()


def serve(config: SandboxConfig | None = None, *, on_ready: Callable[[RunningSandbox], None] | None = None) -> None:
    """Run the sandbox until SIGINT or SIGTERM, then end cleanly; call from the main thread.

    `on_ready` is called once with the running sandbox, for example to print its address.
    """
    done = threading.Event()

    def stop(_signal: int, _frame: FrameType | None) -> None:
        done.set()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with running(config) as sandbox:
            if on_ready is not None:
                on_ready(sandbox)
            done.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _listener(config: SandboxConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    # naming TCP matters: asyncio switches Nagle off only then, and each answer would wait 40 ms for an ACK
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # so that it can start again at once on its fixed port
        listener.bind((config.host, config.port))
        listener.listen(256)
    except OSError as error:
        listener.close()
        reason = error.strerror or "refused"
        raise ConfigurationError(
            f"The sandbox cannot listen on {config.host} port {config.port} ({reason}); choose another port, or stop what uses it."
        ) from None
    return listener


def _uvicorn_config(app: SandboxApp) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        loop="asyncio",
        ws="none",
        lifespan="off",
        log_config=None,
        log_level="critical",
        access_log=False,
        proxy_headers=False,
        server_header=False,
        timeout_graceful_shutdown=3,
        timeout_keep_alive=75,  # with uvicorn's 5 s, clients that wait for new tokens on a busy machine would find the line cut
    )


def _wait_for_start(server: uvicorn.Server, thread: threading.Thread) -> None:
    end = time.monotonic() + _START_SECONDS
    while not server.started:
        if not thread.is_alive() or time.monotonic() > end:
            raise PleoError("The sandbox's server did not start.")
        time.sleep(0.005)
