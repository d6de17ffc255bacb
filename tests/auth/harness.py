"""A sandbox and settings that belong together, for the tests of this folder."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from pleo_connector import auth
from pleo_connector.auth.stores import Record, open_store
from pleo_connector.sandbox import RunningSandbox, SandboxConfig, consent, running
from pleo_connector.settings import Settings, load

SEEN: Counter[str] = Counter()
"""What was counted during the present test, for the table in docs/credentials-proof.md."""


def saw(**counts: int) -> None:
    """Count something that happened in the present test."""
    SEEN.update(counts)


def saw_by(sandbox: RunningSandbox) -> None:
    """Count what the sandbox counted; it forgets that here."""
    counters = sandbox.counters()
    saw(**{name: counters[name] for name in ("refreshes", "reuse", "logins")})
    sandbox.state.reset_counters()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@dataclass(frozen=True)
class Pleo:
    """A running sandbox and the environment of a connector that talks to it."""

    sandbox: RunningSandbox
    environ: dict[str, str]

    @property
    def settings(self) -> Settings:
        return load(self.environ, None)

    @property
    def url(self) -> str:
        return self.sandbox.url

    def with_(self, **changes: str) -> Settings:
        return load({**self.environ, **changes}, None)

    def connect(self, settings: Settings | None = None) -> auth.LoginResult:
        return auth.login(settings or self.settings, show=lambda _: None, open_browser=in_thread(visit), timeout=10, settle=0.0)

    def record(self) -> Record:
        found = open_store(self.environ["PLEO_TOKEN_STORE"]).store.read(self.settings.connection)
        assert found is not None
        return found

    def manager(self, settings: Settings | None = None, **injectables: Any) -> auth.CredentialManager:
        return auth.build_manager(settings or self.settings, **{"settle": 0.05, **injectables})

    def client(self, settings: Settings | None = None, **injectables: Any) -> httpx.Client:
        return httpx.Client(
            base_url=self.url, auth=auth.build_auth(settings or self.settings, **{"settle": 0.05, **injectables}), trust_env=False
        )

    def counted(self, name: str) -> int:
        count: int = self.sandbox.counters()[name]
        return count


@contextmanager
def pleo(
    tmp_path: Path, environ: Mapping[str, str] | None = None, *, clock: Callable[[], float] = time.time, **config: Any
) -> Iterator[Pleo]:
    """`clock` is the sandbox's alone."""
    redirect = f"http://127.0.0.1:{free_port()}/callback"
    with running(SandboxConfig(port=0, redirect_uris=(redirect,), **config), clock=clock) as sandbox:
        found = {
            "PLEO_API_URL": sandbox.url,
            "PLEO_AUTH_URL": sandbox.url,
            "PLEO_REDIRECT_URI": redirect,
            "PLEO_TOKEN_STORE": str(tmp_path / "state" / "tokens.sqlite"),
        }
        yield Pleo(sandbox, {**found, **(environ or {})})
        saw_by(sandbox)


def visit(authorize_url: str) -> None:
    """What a person's browser does: consent, then follow the redirect."""
    httpx.get(consent(authorize_url), trust_env=False)


def in_thread(do: Callable[[str], object]) -> Callable[[str], object]:
    return lambda url: threading.Thread(target=do, args=(url,), name="browser", daemon=True).start()
