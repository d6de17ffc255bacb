"""The demo's Pleo: a sandbox in this process, and a real login to it with a user who always agrees."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import httpx

from pleo_connector.auth import login
from pleo_connector.cli.demo_place import DemoPlace, enter, free_port, redirect_uri
from pleo_connector.sandbox import DEFAULT_PORT, RunningSandbox, SandboxConfig, consent, running
from pleo_connector.settings import Settings, load


@dataclass(frozen=True, slots=True)
class LocalPleo:
    """A running sandbox that this process is logged in to; `os.environ` points to it."""

    sandbox: RunningSandbox
    settings: Settings


@contextmanager
def local_pleo(place: DemoPlace, rows: int | None, token_lifetime: float = 900.0) -> Iterator[LocalPleo]:
    """Start a sandbox, point the environment at it, and log in by the real code flow; `token_lifetime` in seconds."""
    uri = redirect_uri()
    config = SandboxConfig(
        port=free_port(DEFAULT_PORT), rows=rows, requests_per_minute=0, redirect_uris=(uri,), access_token_lifetime=token_lifetime
    )
    with running(config) as sandbox:
        enter(place.environment(sandbox.url, uri))
        settings = load(env_file=None)
        log_in(settings)
        yield LocalPleo(sandbox, settings)


def log_in(settings: Settings) -> None:
    """Log in to a sandbox: the consent page is answered by a program, everything else is as with Pleo."""
    login(settings, show=lambda _: None, open_browser=_agree, timeout=30.0)


def _agree(authorize_url: str) -> bool:
    """What a browser would do: open the page, agree, follow the redirect to the waiting listener."""

    def visit() -> None:
        with httpx.Client(trust_env=False, timeout=10.0) as browser:
            browser.get(consent(authorize_url))

    threading.Thread(target=visit, name="demo-user", daemon=True).start()
    return True
