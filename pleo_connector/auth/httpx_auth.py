"""What httpx clients use: a bearer token (OAuth) or an API key, only ever sent to Pleo's own origins."""

from __future__ import annotations

import base64
from collections.abc import AsyncGenerator, Callable, Generator, Iterable
from functools import partial
from typing import TypeVar

import anyio
import anyio.lowlevel
import anyio.to_thread
import httpx

from pleo_connector.auth.advice import how_to_connect
from pleo_connector.auth.manager import CredentialManager
from pleo_connector.auth.redaction import REDACTOR
from pleo_connector.auth.secret import Secret
from pleo_connector.errors import ClientRejected, ReauthRequired, RefreshUnavailable
from pleo_connector.setting_values import LOOPBACK

_THREADS = 8  # per event loop: waiting for a refresh must not eat the loop's own thread pool
_limiter: anyio.lowlevel.RunVar[anyio.CapacityLimiter] = anyio.lowlevel.RunVar("pleo_connector_auth_threads")

_MOST_TRIES = 4  # of one request: others may refresh while it is under way, though hardly that often

R = TypeVar("R")

Origin = tuple[str, str, int | None]


_PORTS = {"http": 80, "https": 443}


def origin_of(url: httpx.URL | str) -> Origin:
    """Scheme, host and port of a URL."""
    parsed = httpx.URL(url)
    return parsed.scheme, parsed.host, parsed.port or _PORTS.get(parsed.scheme)


class Origins:
    """The exact origins that may see credentials: https, or http on loopback."""

    def __init__(self, urls: Iterable[str]) -> None:
        self._allowed = frozenset(origin_of(url) for url in urls)
        for scheme, host, _ in self._allowed:
            if scheme != "https" and not (scheme == "http" and host in LOOPBACK):
                raise ValueError(f"credentials are not sent to {scheme}://{host}: https is needed, except on loopback")

    def allow(self, request: httpx.Request) -> bool:
        """True when this request may carry credentials; else any Authorization header is taken off it."""
        if origin_of(request.url) in self._allowed and not request.url.userinfo:
            return True
        request.headers.pop("Authorization", None)
        return False


class PleoAuth(httpx.Auth):
    """Bearer tokens from a CredentialManager; after a 401 once more, with a token that is not the refused one.

    Works in httpx.Client and httpx.AsyncClient, from any number of threads and event loops.
    Besides what the manager raises: ReauthRequired when Pleo refuses a token that should work, twice.
    """

    def __init__(self, manager: CredentialManager, origins: Iterable[str]) -> None:
        self.manager = manager
        self._origins = Origins(origins)

    def sync_auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """As httpx calls it for Client."""
        if not self._origins.allow(request):
            yield request
            return
        token = self.manager.access_token()
        tries = _Tries(self.manager.connection)
        while (yield _bearing(request, token)).status_code == httpx.codes.UNAUTHORIZED and _replayable(request):
            tries.refused(request, should_work=self.manager.should_work(token))
            token = self.manager.access_token(rejected=token)

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """As httpx calls it for AsyncClient; waiting and I/O go to worker threads."""
        if not self._origins.allow(request):
            yield request
            return
        cached = self.manager.cached()
        token = await _in_thread(self.manager.access_token) if cached is None else cached
        tries = _Tries(self.manager.connection)
        while (yield _bearing(request, token)).status_code == httpx.codes.UNAUTHORIZED and _replayable(request):
            tries.refused(request, should_work=await _in_thread(partial(self.manager.should_work, token)))
            token = await _in_thread(partial(self.manager.access_token, token))


class _Tries:
    """Whether one more try is due after a 401 on one request.

    Each refresh by any process kills the tokens before it, on their way too, and a token may expire on its way: such a 401 says
    nothing about the grant.
    """

    def __init__(self, connection: str) -> None:
        self._connection = connection
        self._sent = 0
        self._refusals = 0

    def refused(self, request: httpx.Request, *, should_work: bool) -> None:
        """Count a 401; ReauthRequired for the second one on a token that should work, RefreshUnavailable when nothing else is left to try."""
        self._sent += 1
        self._refusals += should_work
        if self._refusals > 1:
            raise ReauthRequired(
                f"Pleo refused (401 from {request.url.host}) an access token that it had just issued: the app may have been uninstalled, "
                "or PLEO_API_URL and PLEO_AUTH_URL belong to different environments; "
                f"check them, then {how_to_connect(self._connection)}."
            )
        if self._sent >= _MOST_TRIES:
            raise RefreshUnavailable(
                f"Each of {_MOST_TRIES} access tokens of {self._connection} had expired or been replaced by another process when it reached "
                f"{request.url.host}; try again, and keep other programs from refreshing the tokens of this connection."
            )


class ApiKeyAuth(httpx.Auth):
    """An API key as Pleo wants it: HTTP Basic, the key as user name, no password. No store, no lock.

    A request that is answered with 401 is sent once more; ClientRejected on the second 401.
    """

    def __init__(self, key: Secret, origins: Iterable[str]) -> None:
        self._key = key
        self._origins = Origins(origins)
        REDACTOR.register(key)
        REDACTOR.register_basic(key.reveal(), Secret(""))

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        """As httpx calls it for both kinds of client."""
        if not self._origins.allow(request):
            yield request
            return
        request.headers["Authorization"] = "Basic " + base64.b64encode(f"{self._key.reveal()}:".encode()).decode()
        response = yield request
        if response.status_code == httpx.codes.UNAUTHORIZED and _replayable(request):
            response = yield request
        if response.status_code == httpx.codes.UNAUTHORIZED:
            raise ClientRejected(
                f"Pleo refused the API key (401 from {request.url.host}): it is expired or revoked, mistyped, or of another environment; "
                "make a new key in Pleo and set PLEO_API_KEY, and check PLEO_ENVIRONMENT."
            )


def _bearing(request: httpx.Request, token: Secret) -> httpx.Request:
    request.headers["Authorization"] = f"Bearer {token.reveal()}"
    return request


def _replayable(request: httpx.Request) -> bool:
    return isinstance(request.stream, httpx.ByteStream)


async def _in_thread(ask: Callable[[], R]) -> R:
    try:
        limiter = _limiter.get()
    except LookupError:
        limiter = anyio.CapacityLimiter(_THREADS)
        _limiter.set(limiter)
    # Abandoning is safe: a refresh under way runs in its own thread and is never cut.
    return await anyio.to_thread.run_sync(ask, abandon_on_cancel=True, limiter=limiter)
