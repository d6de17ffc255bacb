"""The one place that talks to Pleo's data API.

A request is tried again after 429 (Pleo's `Retry-After` holds everybody back), 5xx, broken
connections and bodies that do not parse, with exponential backoff and jitter, until its
patience ends. Everything else is an error at once.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.util import find_spec
from types import TracebackType
from typing import Self, TypeVar

import httpx
import msgspec
from tenacity import AsyncRetrying, retry_if_exception_type

from pleo_connector.api.budget import RequestBudget
from pleo_connector.api.errors import is_markup, own_words
from pleo_connector.api.pages import PageRequest
from pleo_connector.api.patience import OUTAGE, UNREACHABLE, Patience, TransientError
from pleo_connector.errors import (
    ApiError,
    BadAnswer,
    CursorRefused,
    Forbidden,
    JobFinished,
    MissingContraAccounts,
    ParentGone,
    PleoUnavailable,
    RateLimited,
    ReauthRequired,
)
from pleo_connector.proxies import route, through
from pleo_connector.tls import certificate_refused, checking

T = TypeVar("T")

if find_spec("sniffio") is None:
    # httpcore imports it eight times for each request, and each time Python searches its whole path for what is not there:
    # a quarter of the CPU of a sync. None stands for a module that is known to be missing.
    sys.modules["sniffio"] = None  # type: ignore[assignment]


@dataclass(slots=True)
class Traffic:
    """What a stream cost so far."""

    requests: int = 0
    bytes: int = 0
    waited_for_budget: float = 0.0
    """Seconds."""
    rate_limited: int = 0


class PleoClient:
    """Sends page requests within the budget. Use as an async context manager, in one event loop."""

    def __init__(
        self,
        api_url: str,
        auth: httpx.Auth,
        budget: RequestBudget,
        *,
        connections: int = 8,
        patience: float = OUTAGE,
        connect: str = "run `pleo-connector connect`",
        uses_api_key: bool = False,
        scrub: Callable[[str], str] = str,
        proxy: str = "",
        transport: httpx.AsyncBaseTransport | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`connect` tells a person how to consent anew, as part of a sentence; `scrub` takes secrets out of Pleo's words; `proxy` is PLEO_PROXY."""
        self._budget = budget
        self._connect = connect
        self._uses_api_key = uses_api_key
        self._scrub = scrub
        self._patience = patience
        self._clock = clock
        self._sleep = sleep
        self._api_url = api_url
        self._proxied = through(proxy, api_url)
        self._auth = auth
        self._http = httpx.AsyncClient(
            base_url=api_url,
            transport=transport,
            verify=checking(api_url),
            **route(proxy, api_url),
            follow_redirects=False,
            timeout=httpx.Timeout(60.0, connect=10.0),
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            headers={"Accept": "application/json", "User-Agent": "pleo-connector"},
        )

    async def __aenter__(self) -> Self:
        await self._http.__aenter__()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        await self._http.__aexit__(kind, error, trace)

    async def fetch(self, request: PageRequest, parse: Callable[[bytes], T], traffic: Traffic) -> T:
        """The parsed body of a 200 answer; `parse` raises BadAnswer for a body worth another try.

        Raises the errors of the API, and CertificateRefused, which is not tried again.
        """
        patience = Patience(self._clock, self._patience)
        retrying = AsyncRetrying(
            sleep=self._sleep, wait=patience.wait, stop=patience.stop, retry=retry_if_exception_type(TransientError), reraise=True
        )
        try:
            return await retrying(self._once, request, parse, traffic)
        except TransientError as transient:
            raise transient.error from None

    async def _once(self, request: PageRequest, parse: Callable[[bytes], T], traffic: Traffic) -> T:
        permits = _Permits(self._budget, traffic)
        await permits.take()
        try:
            response = await self._send(request, permits)
        except (httpx.ConnectError, httpx.ProxyError) as error:
            if (refused := certificate_refused(error, self._api_url)) is not None:
                raise refused from None
            unreachable = PleoUnavailable(
                f"Pleo could not be reached at {self._api_url}{self._proxied} for {request.what} ({_reason(error)}); "
                f"check {'PLEO_PROXY, ' if self._proxied else ''}PLEO_ENVIRONMENT, PLEO_API_URL and the network, then run again: it goes on where it stopped."
            )
            raise TransientError(unreachable, patience=UNREACHABLE) from None
        except (httpx.TransportError, httpx.DecodingError) as error:
            broken = PleoUnavailable(
                f"The connection to Pleo broke for {request.what} ({_reason(error)}); run again: it goes on where it stopped."
            )
            raise TransientError(broken) from None
        traffic.bytes += len(response.content)
        if response.status_code != httpx.codes.OK:
            self._refuse(request, response, traffic)
        try:
            return parse(response.content)
        except BadAnswer as error:
            raise TransientError(error) from None

    async def _send(self, request: PageRequest, permits: _Permits) -> httpx.Response:
        auth = _Budgeted(self._auth, permits)
        try:
            return await self._http.request(request.method, request.path, params=list(request.params), json=request.body, auth=auth)
        finally:
            permits.answered()

    def _refuse(self, request: PageRequest, response: httpx.Response, traffic: Traffic) -> None:
        """Raise what this answer means; never returns for an answer that is not 200."""
        status = response.status_code
        if status == httpx.codes.TOO_MANY_REQUESTS:
            traffic.rate_limited += 1
            retry_after = _retry_after(response)
            self._budget.pause(retry_after or 0.0)
            limited = RateLimited(
                f"Pleo limits the rate of requests (429) for {request.what}; lower PLEO_REQUESTS_PER_MINUTE or run again later: "
                "it goes on where it stopped.",
                retry_after,
            )
            raise TransientError(limited, retry_after=retry_after)
        if status >= httpx.codes.INTERNAL_SERVER_ERROR:
            down = PleoUnavailable(f"Pleo has a fault ({status}) for {request.what}; run again later: it goes on where it stopped.")
            raise TransientError(down)
        if status == httpx.codes.UNAUTHORIZED:
            raise ReauthRequired(f"Pleo refuses the credential (401) for {request.what}; {self._connect}, or check PLEO_API_KEY.")
        if status == httpx.codes.FORBIDDEN:
            raise self._forbidden(request, response.content)
        raise _refusal(request, response)

    def _forbidden(self, request: PageRequest, body: bytes) -> Forbidden:
        """What a 403 means: in Pleo's own words where it has some, and what helps this kind of credential."""
        scope = f"the scope {request.scope}" if request.scope else "a scope"
        words = own_words(body, self._scrub)
        page = " with an HTML page, as a proxy or a firewall may send it" if is_markup(body) else ""
        said = f' and says "{words}"' if words else page
        covers = "" if request.of_all else ", or does not cover that company"
        why = said if " " in words else f"{said}: the credential lacks {scope}{covers}"  # a code alone is no sentence
        if self._uses_api_key:
            advice = f"make a key in Pleo with that permission{f' ({scope})' if request.scope else ''} and set PLEO_API_KEY"
        else:
            advice = f"add {scope if request.scope else 'its scope'} to PLEO_SCOPES and {self._connect} as a person who may read it in Pleo"
        asked = f"403, {request.method} {request.path}"
        instead = "; every stream needs this list" if request.of_all else ", or leave this stream out"
        return Forbidden(f"Pleo refuses {request.what} ({asked}){why}; {advice}{instead}.", of_key=self._uses_api_key)


def _refusal(request: PageRequest, response: httpx.Response) -> ApiError:
    """The error of an answer that no other credential and no later try would change."""
    status, code = response.status_code, _code(response)
    if request.of_parent and status in (httpx.codes.NOT_FOUND, httpx.codes.GONE):
        return ParentGone(f"Pleo no longer has {request.what} ({status}), though it had listed it; run again: the list is read anew.")
    if status == httpx.codes.UNPROCESSABLE_ENTITY and code.upper() == "EXPORT_JOB_STATUS_UNPROCESSABLE":
        return JobFinished(f"Pleo no longer serves {request.what} ({status}, {code}): the job has ended; what was read before is kept.")
    if status == httpx.codes.BAD_REQUEST and code.upper() == "MISSING_CONTRA_ACCOUNTS":
        return MissingContraAccounts(
            f"Pleo cannot make {request.what} ({status}, {code}): the company has no contra accounts; "
            "let its bookkeeper set them in Pleo's export settings while the job runs, then run again."
        )
    detail = f", {code}" if code else ""
    if status == httpx.codes.BAD_REQUEST and request.cursor is not None:
        return CursorRefused(f"Pleo no longer takes the stored cursor of {request.what} (400{detail}); the walk starts again.")
    if response.is_redirect:
        return ApiError(f"Pleo answered {request.what} with a redirect ({status}), which is not followed; check PLEO_API_URL.")
    return ApiError(f"Pleo refused {request.what} ({status}{detail}); check PLEO_API_URL, and report this if it is right.")


class _Permits:
    """The permits of one request and of what its auth sends again, one at a time."""

    def __init__(self, budget: RequestBudget, traffic: Traffic) -> None:
        self._budget = budget
        self._traffic = traffic
        self._under_way = False

    async def take(self) -> None:
        """Wait for the next permit; the request before it was answered."""
        self.answered()
        self._traffic.waited_for_budget += await self._budget.take()
        self._traffic.requests += 1
        self._under_way = True

    def answered(self) -> None:
        """The request under way, if there is one, was answered or failed."""
        if self._under_way:
            self._under_way = False
            self._budget.answered()


class _Budgeted(httpx.Auth):
    """An auth that takes a permit before it sends a request once more (after a 401)."""

    def __init__(self, auth: httpx.Auth, permits: _Permits) -> None:
        self._auth = auth
        self._permits = permits

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        """As httpx calls it for AsyncClient."""
        async with aclosing(self._auth.async_auth_flow(request)) as flow:
            outgoing = await anext(flow)
            while True:
                response = yield outgoing
                try:
                    outgoing = await flow.asend(response)
                except StopAsyncIteration:
                    return
                await self._permits.take()


def _reason(error: httpx.HTTPError | httpx.DecodingError) -> str:
    return str(error) or type(error).__name__


def _retry_after(response: httpx.Response) -> float | None:
    """Seconds, from seconds or an HTTP date (Pleo documents neither header nor form)."""
    value = response.headers.get("Retry-After", "").strip()
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        until = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (until - datetime.now(UTC)).total_seconds())


def _code(response: httpx.Response) -> str:
    """The error code in the body, where there is one (`{"type": "<CODE>"}` at some services)."""
    try:
        body = msgspec.json.decode(response.content)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return ""
    code = body.get("type") if isinstance(body, dict) else None
    return code[:80] if isinstance(code, str) else ""
