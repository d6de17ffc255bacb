"""A sandbox, a portal before it, and browsers that a program plays."""

from __future__ import annotations

import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import uvicorn

from pleo_connector import auth
from pleo_connector.portal.app import Portal
from pleo_connector.portal.parts import Parts, parts_of
from pleo_connector.portal.server import config_of
from pleo_connector.sandbox import RunningSandbox, SandboxConfig, consent, running
from pleo_connector.settings import Settings, load
from tests.auth.harness import free_port

SECRET = "portal-secret-of-the-tests/with+odd=chars"
PASSWORD = "operator's password & more"
PREFIX = "/pleo"


@dataclass(frozen=True)
class Hosted:
    """A portal that answers at `url`, prefix included."""

    sandbox: RunningSandbox
    environ: dict[str, str]
    parts: Parts
    browsers: list[Browser] = field(default_factory=list)

    @property
    def url(self) -> str:
        return self.environ["PLEO_PORTAL_URL"]

    @property
    def settings(self) -> Settings:
        return load(self.environ, None)

    def browser(self, **options: Any) -> Browser:
        self.browsers.append(Browser(self.url, **options))
        return self.browsers[-1]

    def link(self, label: str = "acme", seconds: float = 3600) -> str:
        return self.parts.invitations.make(label, seconds)

    def status(self, label: str = "acme") -> auth.ConnectionStatus:
        return auth.status(self.settings.labelled(label))


@dataclass(frozen=True)
class Page:
    """An answer, and its forms: action to hidden fields."""

    response: httpx.Response

    @property
    def status(self) -> int:
        return self.response.status_code

    @property
    def text(self) -> str:
        """What a person reads."""
        body = re.sub(r"<style>.*?</style>", "", self.response.text, flags=re.DOTALL)
        return " ".join(unescape(re.sub(r"<[^>]+>", " ", body)).split())

    def form(self, action: str, **fields: str) -> dict[str, str]:
        """The hidden fields of the first form that posts to an action (and has these fields), with others over them."""
        for found in re.finditer(rf'<form[^>]*action="[^"]*{re.escape(action)}"[^>]*>(.*?)</form>', self.response.text, re.DOTALL):
            hidden = dict(re.findall(r'<input type="hidden" name="(\w+)" value="([^"]*)">', found[1]))
            return {name: unescape(value) for name, value in hidden.items()} | fields
        raise AssertionError(f"no form for {action} on: {self.text}")

    @property
    def onward(self) -> str:
        """The address at Pleo that a leaving page leads to."""
        found = re.search(r'http-equiv="refresh" content="0; url=([^"]+)"', self.response.text)
        assert found is not None, self.text
        return unescape(found[1])


class Browser:
    """A browser with its cookies; never follows by itself."""

    def __init__(self, url: str, **options: Any) -> None:
        self.url = url
        self.http = httpx.Client(trust_env=False, timeout=30, **options)

    def get(self, address: str, **headers: str) -> Page:
        """An absolute address, or one below the portal's."""
        return Page(self.http.get(address if "://" in address else f"{self.url}{address}", headers=headers))

    def post(self, path: str, form: dict[str, str], **headers: str) -> Page:
        return Page(self.http.post(f"{self.url}{path}", data=form, headers=headers))

    def to_pleo(self, link: str) -> str:
        """Open an invitation and press the button."""
        page = self.get(link)
        return self.post("/start", page.form("/start")).onward

    def back_from_pleo(self, authorize_url: str, *, allow: bool = True) -> Page:
        """Answer at Pleo, follow its redirect and the portal's."""
        answer = self.get(consent(authorize_url, allow=allow))
        assert answer.status == 303, answer.text
        return self.get("/done")

    def connect(self, link: str, *, allow: bool = True) -> Page:
        return self.back_from_pleo(self.to_pleo(link), allow=allow)

    def log_in(self, password: str = PASSWORD) -> Page:
        page = self.get("/operator/login")
        return self.post("/operator/login", page.form("/operator/login", password=password))

    def operator(self) -> Page:
        """The list, logged in."""
        assert self.log_in().status == 303
        return self.get("/operator")


@contextmanager
def hosted(
    folder: Path, *, change: dict[str, str] | None = None, clock: Callable[[], float] | None = None, **config: Any
) -> Iterator[Hosted]:
    """A sandbox that knows the portal's redirect URI, and the portal in a thread, under a path prefix."""
    port = free_port()
    url = f"http://127.0.0.1:{port}{PREFIX}"
    with running(SandboxConfig(port=0, requests_per_minute=0, redirect_uris=(f"{url}/callback",), **config)) as sandbox:
        environ = environment(sandbox.url, url, folder) | (change or {})
        parts = parts_of(load(environ, None), **({"clock": clock} if clock else {}))
        with serving(parts, port):
            made = Hosted(sandbox, environ, parts)
            try:
                yield made
            finally:
                for browser in made.browsers:
                    browser.http.close()


def environment(sandbox_url: str, portal_url: str, folder: Path) -> dict[str, str]:
    return {
        "PLEO_API_URL": sandbox_url,
        "PLEO_AUTH_URL": sandbox_url,
        "PLEO_TOKEN_STORE": str(folder / "state" / "tokens.sqlite"),
        "PLEO_PORTAL_URL": portal_url,
        "PLEO_PORTAL_SECRET": SECRET,
        "PLEO_PORTAL_PASSWORD": PASSWORD,
        "PLEO_PORTAL_NAME": "Northwind Data",
    }


@contextmanager
def serving(parts: Parts, port: int) -> Iterator[None]:
    """The app on a port of 127.0.0.1, gone with its thread when the block ends."""
    config = config_of(Portal(parts))
    config.host, config.port = "127.0.0.1", port
    started = threading.Event()
    server = _Server(config, started)
    thread = threading.Thread(target=server.run, args=([_bound(port)],), name="portal")
    thread.start()
    try:
        assert started.wait(20)
        yield
    finally:
        server.should_exit = True
        thread.join(20)


def _bound(port: int) -> socket.socket:
    """A socket on that port. A connection of another test may have it for a moment: it was free when it was chosen."""
    until = time.monotonic() + 20
    while True:
        made = socket.socket()
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind(("127.0.0.1", port))
        except OSError:
            made.close()
            if time.monotonic() > until:
                raise
            time.sleep(0.1)
        else:
            return made


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, started: threading.Event) -> None:
        super().__init__(config)
        self._told = started

    async def startup(self, sockets: Any = None) -> None:
        await super().startup(sockets)
        self._told.set()


def state_of(authorize_url: str) -> str:
    return parse_qs(urlsplit(authorize_url).query)["state"][0]
