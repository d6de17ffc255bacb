"""The ASGI application: the routes, and around them counting, latency and faults."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from typing import Any

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from pleo_connector.sandbox.control import PREFIX, Control
from pleo_connector.sandbox.data_api import DataApi, refusal
from pleo_connector.sandbox.faults import TOKEN_PATH, Fault
from pleo_connector.sandbox.links import ReceiptLinks
from pleo_connector.sandbox.oauth_endpoints import OAuthEndpoints
from pleo_connector.sandbox.query import Refused
from pleo_connector.sandbox.state import SandboxState

_LINGER_NOTHING = struct.pack("ii", 1, 0)
_HTML = "<!doctype html><html><head><title>Maintenance</title></head><body><h1>We will be right back</h1></body></html>"
_TOO_MANY = 429


class SandboxApp:
    """Counts and delays every request, lets a fault have it, and otherwise passes it to the routes."""

    def __init__(self, state: SandboxState) -> None:
        self._state = state
        self._stopping = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        links = ReceiptLinks(state)
        self._api = DataApi(state, links)
        routes = [*self._api.routes(), *OAuthEndpoints(state).routes(), *links.routes(), *Control(state).routes()]
        self._inner: ASGIApp = Starlette(routes=routes, exception_handlers={HTTPException: _no_such_route})

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one HTTP request."""
        path = scope["path"]
        self._loop = asyncio.get_running_loop()
        if path.startswith(PREFIX):
            await self._inner(scope, receive, send)
            return
        with self._state.lock:
            self._state.counts.requests += 1
            self._state.counts.by_path[path] += 1
            self._note_impatience(scope)
            fault = self._state.fault_plan.draw(path)
            if fault is not None and fault.kind != "late":
                self._state.counts.faults[fault.kind] += 1
        if self._state.config.latency_ms:
            await asyncio.sleep(self._state.config.latency_ms / 1000)
        if fault is None:
            await self._inner(scope, receive, self._counting(send))
        else:
            await self._with_fault(fault, scope, receive, send)

    def stop(self) -> None:
        """End every wait and hang; called from another thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._stopping.set)

    async def _with_fault(self, fault: Fault, scope: Scope, receive: Receive, send: Send) -> None:
        counting = self._counting(send)
        if fault.kind in ("delay_before", "late"):
            sent = await self._read(receive) if fault.kind == "late" else receive
            await self._wait(fault.seconds)
            await self._inner(scope, sent, counting)
            return
        answer: list[Message] = []
        if fault.effect_happens:
            await self._inner(scope, receive, _keeping(answer))
        match fault.kind:
            case "status":
                await self._status(fault, scope)(scope, receive, counting)
            case "html":
                await HTMLResponse(_HTML)(scope, receive, counting)
            case "delay_after":
                await self._wait(fault.seconds)
                for message in answer:
                    await counting(message)
            case "truncated":
                start, body = _whole(answer)
                half = body[: len(body) // 2]
                await Response(half, start["status"], media_type="application/json")(scope, receive, counting)
            case "cut":
                start, body = _whole(answer)
                await counting(start)
                await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})
                _transport(send).close()
            case "reset":
                _reset(_transport(send))
                await asyncio.sleep(0.01)  # uvicorn must see the end before it finds that no answer was given
            case _:
                await self._hang(receive)

    async def _read(self, receive: Receive) -> Receive:
        """The body as a request that stays there when its client goes; counted once that may happen."""
        body = b""
        while True:
            message = await receive()
            body += message.get("body", b"")
            if not message.get("more_body", False):
                break
        with self._state.lock:
            self._state.counts.faults["late"] += 1

        async def again() -> Message:
            return {"type": "http.request", "body": body, "more_body": False}

        return again

    def _status(self, fault: Fault, scope: Scope) -> Response:
        value = {"error": fault.error} if fault.error else {"type": "SANDBOX_FAULT", "message": "The sandbox was told to answer so."}
        headers = {}
        if fault.retry_after is not None:
            headers["Retry-After"] = str(fault.retry_after)
            budget = self._budget(scope)
            if fault.status == _TOO_MANY and budget is not None:
                with self._state.lock:
                    self._state.rate_limit.told_to_wait(budget, fault.retry_after)
        return Response(msgspec.json.encode(value), fault.status, headers, "application/json")

    def _note_impatience(self, scope: Scope) -> None:
        """Count a request whose sender was told to wait, and did not."""
        limit = self._state.rate_limit
        if limit.somebody_waits:
            budget = self._budget(scope)
            if budget is not None and limit.came_too_early(budget):
                self._state.counts.sent_before_retry_after += 1

    def _budget(self, scope: Scope) -> str | None:
        """What a request is counted by: its grant, the token endpoint, or None without a live credential."""
        if scope["path"].startswith(TOKEN_PATH):
            return TOKEN_PATH
        with self._state.lock:
            return self._api.budget_of(Request(scope).headers.get("authorization", ""))

    async def _wait(self, seconds: float) -> None:
        """Sleep, but not beyond the sandbox's end."""
        try:
            await asyncio.wait_for(self._stopping.wait(), seconds)
        except TimeoutError:
            return

    async def _hang(self, receive: Receive) -> None:
        """Say nothing until the client leaves or the sandbox stops."""
        stop = asyncio.ensure_future(self._stopping.wait())
        while not self._stopping.is_set():
            message = asyncio.ensure_future(_received(receive))
            await asyncio.wait((stop, message), return_when=asyncio.FIRST_COMPLETED)
            if not message.done():
                message.cancel()
            elif message.result()["type"] == "http.disconnect":
                break
        stop.cancel()

    def _counting(self, send: Send) -> Send:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                with self._state.lock:
                    self._state.counts.answered(message["status"])
            await send(message)

        return counted


async def _received(receive: Receive) -> Message:
    return await receive()


def _keeping(answer: list[Message]) -> Send:
    async def keep(message: Message) -> None:
        answer.append(message)

    return keep


def _whole(answer: list[Message]) -> tuple[Message, bytes]:
    body = b"".join(message.get("body", b"") for message in answer if message["type"] == "http.response.body")
    return answer[0], body


def _transport(send: Send) -> Any:
    """The connection under an answer: uvicorn's `send` is a method of the object that holds it."""
    return send.__self__.transport  # type: ignore[attr-defined]


def _reset(transport: Any) -> None:
    """Close with RST: the peer sees "connection reset", not an end."""
    with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as same:
        same.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOTHING)
    transport.abort()


async def _no_such_route(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    code = {404: "NOT_FOUND", 405: "METHOD_NOT_ALLOWED"}.get(status, "ERROR")
    return refusal(Refused(status, code, "The sandbox has nothing here; its routes are the catalogue's streams and OAuth."))
