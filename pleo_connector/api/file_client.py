"""Fetches single files behind links that are secrets: whoever holds one can read the file until it ends.

So no credential goes out with a request, no log line of it is written, and what failed is told in words that hold nothing of the link.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Self

import httpx

from pleo_connector.proxies import is_proxied, route
from pleo_connector.setting_values import LOOPBACK
from pleo_connector.tls import checking

_LONGEST = 300.0
"""Seconds that one file may take."""
_PAUSE = 1.0
"""Seconds before the one more try that a fault of the network gets; after that it is for the next run."""
_ANYWHERE = "https://receipt-files"
"""Links lead to hosts that are not known before."""
_ENOUGH = 2_048
"""Bytes of a refusal that are looked at."""


class Refusal(StrEnum):
    """Why there is no file."""

    EXPIRED = "expired"
    REFUSED = "refused"
    TOO_LARGE = "too large"
    GONE = "gone"
    NETWORK = "network"


@dataclass(frozen=True, slots=True)
class FetchedFile:
    """A whole file, and its Content-Type as the answer names it: small letters, no parameters, may be empty."""

    content: bytes = field(repr=False)
    content_type: str


class FileClient:
    """Fetches files over https. Use as an async context manager, in one event loop.

    `plain_http` allows http to this machine too, for the sandbox. Certificates are checked as Pleo's are (`tls`). `proxy` is
    PLEO_PROXY's: no other is used, nor `.netrc`, which would send a password along.
    """

    def __init__(
        self, *, plain_http: bool, proxy: str = "", connections: int = 4, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._plain_http = plain_http
        self._proxy = "" if plain_http else proxy
        self._sleep = sleep
        limits = httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        trusted = checking(_ANYWHERE)
        self._direct, self._proxied = (
            httpx.AsyncClient(
                **route(way, _ANYWHERE),
                verify=trusted,
                follow_redirects=False,
                timeout=httpx.Timeout(60.0, connect=10.0),
                limits=limits,
                headers={"Accept": "*/*", "Accept-Encoding": "identity", "User-Agent": "pleo-connector"},
            )
            for way in ("", self._proxy)
        )

    async def __aenter__(self) -> Self:
        await self._direct.__aenter__()
        await self._proxied.__aenter__()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with _quiet():
            await self._proxied.__aexit__(kind, error, trace)
            await self._direct.__aexit__(kind, error, trace)

    async def fetch(self, url: str, largest: int) -> FetchedFile | Refusal:
        """The file behind a link, of at most `largest` bytes; never raises for what the other side does."""
        with _quiet():
            found = await self._once(url, largest)
            if found is not Refusal.NETWORK:
                return found
            await self._sleep(_PAUSE)
            return await self._once(url, largest)

    async def _once(self, url: str, largest: int) -> FetchedFile | Refusal:
        try:
            link = httpx.URL(url)
            if not self._may_be_asked(link):
                return Refusal.REFUSED
            async with asyncio.timeout(_LONGEST), self._way(url).stream("GET", link) as response:
                return await _read(response, largest)
        except httpx.InvalidURL:
            return Refusal.REFUSED
        except (httpx.HTTPError, httpx.StreamError, OSError, ValueError):  # TimeoutError is an OSError; ValueError: a header that is none
            return Refusal.NETWORK

    def _way(self, url: str) -> httpx.AsyncClient:
        return self._proxied if is_proxied(self._proxy, url) else self._direct

    def _may_be_asked(self, link: httpx.URL) -> bool:
        if link.userinfo:  # httpx would make a credential of it
            return False
        return link.scheme == "https" or (self._plain_http and link.scheme == "http" and link.host in LOOPBACK)


async def _read(response: httpx.Response, largest: int) -> FetchedFile | Refusal:
    """The body, counted as it comes: what the answer says of its size is not believed, except that it is too much."""
    if response.status_code != httpx.codes.OK:
        return await _meaning(response)
    content_type = response.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if content_type == "text/html":  # somebody's login page, no receipt
        return Refusal.REFUSED
    told = response.headers.get("Content-Length", "")
    if told.isdecimal() and int(told) > largest:
        return Refusal.TOO_LARGE
    content = bytearray()
    async for chunk in response.aiter_bytes():
        content += chunk
        if len(content) > largest:
            return Refusal.TOO_LARGE
    return FetchedFile(bytes(content), content_type) if content else Refusal.REFUSED


async def _meaning(response: httpx.Response) -> Refusal:
    """What a status other than 200 says; file stores tell an expired link from a wrong one in the text alone."""
    status = response.status_code
    if status in (httpx.codes.NOT_FOUND, httpx.codes.GONE):
        return Refusal.GONE
    if status >= httpx.codes.INTERNAL_SERVER_ERROR or status in (httpx.codes.TOO_MANY_REQUESTS, httpx.codes.REQUEST_TIMEOUT):
        return Refusal.NETWORK
    text = b""
    async for chunk in response.aiter_bytes():
        text += chunk
        if len(text) >= _ENOUGH:
            break
    return Refusal.EXPIRED if b"expired" in text.lower() else Refusal.REFUSED


_HUSHED = ContextVar("_HUSHED", default=False)
_LOGGERS = ("httpx", *(f"httpcore.{part}" for part in ("connection", "http11", "http2", "proxy", "socks")))
"""They write URLs: httpx at INFO, httpcore with DEBUG."""


class _Hush(logging.Filter):
    def filter(self, _: logging.LogRecord) -> bool:
        return not _HUSHED.get()


_HUSH = _Hush()


@contextmanager
def _quiet() -> Iterator[None]:
    """Nothing of what this task does meanwhile is logged by the HTTP libraries; other tasks are."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_HUSH)  # addFilter ignores one that is there already
    before = _HUSHED.set(True)
    try:
        yield
    finally:
        _HUSHED.reset(before)
