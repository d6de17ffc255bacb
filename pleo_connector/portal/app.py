"""The web app: exact paths, one host, and the same headers on every answer."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from pleo_connector.auth.redaction import REDACTOR
from pleo_connector.errors import PleoError
from pleo_connector.portal.customer import CustomerPages
from pleo_connector.portal.invitations import PATH
from pleo_connector.portal.operator import OperatorPages
from pleo_connector.portal.parts import Parts
from pleo_connector.portal.place import CALLBACK
from pleo_connector.portal.request import Asked, Refused, networks_of, read

HEALTH = "/healthz"
_log = logging.getLogger(__name__)

Handler = Callable[[Asked], Response]


@dataclass(frozen=True, slots=True)
class _Answer:
    """A response, and the path as the log may know it: one of ours, never what was asked."""

    response: Response
    path: str = "(elsewhere)"


class Portal:
    """An ASGI app. It routes by itself: no redirects to tidier paths, and HEAD, which programs send to look, runs nothing."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._proxies = networks_of(parts.settings.portal_proxies)
        customer, operator = CustomerPages(parts), OperatorPages(parts)
        self._routes: dict[str, dict[str, Handler]] = {
            "/": {"GET": customer.home},
            PATH: {"GET": customer.invitation},
            "/start": {"POST": customer.start},
            "/again": {"POST": customer.again},
            CALLBACK: {"GET": customer.callback},
            "/done": {"GET": customer.done},
            "/operator": {"GET": operator.connections},
            "/operator/login": {"GET": operator.login_form, "POST": operator.log_in},
            "/operator/logout": {"POST": operator.log_out},
            "/operator/invite": {"POST": operator.invite},
            "/operator/withdraw": {"POST": operator.withdraw},
            "/operator/disconnect": {"POST": operator.disconnect},
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            raise RuntimeError("The portal speaks HTTP only.")
        began = time.monotonic()
        request = Request(scope, receive)
        answer = await self._answer(request)
        answer.response.headers.update(self._parts.pages.headers)
        await answer.response(scope, receive, send)
        # Neither the query nor any path but our own: they may hold a code, a state or an invitation.
        took = (time.monotonic() - began) * 1000
        level = logging.DEBUG if answer.path == HEALTH else logging.INFO
        _log.log(level, "%s %s %d, %.0f ms", request.method, answer.path, answer.response.status_code, took)

    async def _answer(self, request: Request) -> _Answer:  # noqa: PLR0911 - each is one reason to refuse
        path = self._path(request.scope["path"])
        if path == HEALTH and request.method == "GET":
            return _Answer(PlainTextResponse("ok\n"), HEALTH)  # before the host is looked at: probes ask by address
        hosts = request.headers.getlist("host")
        if len(hosts) != 1 or not self._parts.place.is_host(hosts[0]):
            return _Answer(self._plain(421))
        methods = self._routes.get(path)
        if methods is None:
            return _Answer(self._parts.pages.message("There is nothing here", "Check the address.", status=404))
        handler = methods.get(request.method)
        if handler is None:
            return _Answer(PlainTextResponse("Method not allowed.\n", 405, {"Allow": ", ".join(methods)}), path)
        if request.method == "POST" and self._comes_from_elsewhere(request):
            return _Answer(self._plain(403), path)
        try:
            asked = await read(request, self._proxies)
            return _Answer(await run_in_threadpool(handler, asked), path)
        except Refused as refused:
            return _Answer(self._plain(refused.status), path)
        except PleoError as error:
            _log.error("%s could not be answered: %s", path, error)
        except Exception as error:  # noqa: BLE001 - a page, not a traceback; the log gets that, scrubbed
            _log.error("A bug in the portal: %s", REDACTOR.scrub("".join(traceback.format_exception(error))))
        return _Answer(self._parts.pages.message("This did not work", "The portal has a fault. Please try again later.", status=503), path)

    def _path(self, path: str) -> str:
        """Below the prefix; empty for anything outside it."""
        prefix = self._parts.place.prefix
        if not path.startswith(prefix):
            return ""
        below = path[len(prefix) :]
        return below or ("/" if prefix else "")

    def _comes_from_elsewhere(self, request: Request) -> bool:
        """Whether the browser itself says that another site sent this form. Our own pages send the origin `null`: they name no referrer."""
        site = request.headers.get("sec-fetch-site", "same-origin")
        return site != "same-origin" or request.headers.get("origin", "null") not in ("null", self._parts.place.origin)

    @staticmethod
    def _plain(status: int) -> Response:
        return PlainTextResponse(f"{HTTPStatus(status).phrase}.\n", status)
