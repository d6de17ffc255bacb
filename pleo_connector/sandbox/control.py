"""The sandbox's own switchboard under `/_sandbox/`: counters, faults, records. Never counted, never faulted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pleo_connector.errors import ConfigurationError
from pleo_connector.sandbox.faults import Fault
from pleo_connector.sandbox.query import WindowBounds
from pleo_connector.sandbox.state import SandboxState

PREFIX = "/_sandbox/"

_NOT_FOUND = 404


class Control:
    """The handlers; `routes()` lists where they are."""

    def __init__(self, state: SandboxState) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        """The control addresses."""
        return [
            Route(f"{PREFIX}counters", self._get_counters, methods=["GET"]),
            Route(f"{PREFIX}reset", self._reset, methods=["POST"]),
            Route(f"{PREFIX}start-over", self._start_over, methods=["POST"]),
            Route(f"{PREFIX}faults", self._get_faults, methods=["GET"]),
            Route(f"{PREFIX}faults", self._set_faults, methods=["PUT", "POST"]),
            Route(f"{PREFIX}refused", self._set_refused, methods=["PUT", "POST"]),
            Route(f"{PREFIX}bare-lists", self._set_bare_lists, methods=["PUT", "POST"]),
            Route(f"{PREFIX}window-bounds", self._get_window_bounds, methods=["GET"]),
            Route(f"{PREFIX}window-bounds", self._set_window_bounds, methods=["PUT", "POST"]),
            Route(f"{PREFIX}revoke", self._revoke, methods=["POST"]),
            Route(f"{PREFIX}expire", self._expire, methods=["POST"]),
            Route(f"{PREFIX}export-jobs/{{id}}", self._move_job, methods=["PUT", "POST"]),
            Route(f"{PREFIX}records/{{stream}}", self._put_record, methods=["PUT", "POST"]),
            Route(f"{PREFIX}records/{{stream}}/{{id}}", self._get_record, methods=["GET"]),
            Route(f"{PREFIX}records/{{stream}}/{{id}}", self._remove_record, methods=["DELETE"]),
        ]

    async def _get_counters(self, _: Request) -> Response:
        return _json(self._state.counters())

    async def _reset(self, _: Request) -> Response:
        """Counters to nothing, and a full request budget."""
        with self._state.lock:
            self._state.reset_counters()
            self._state.rate_limit.reset()
        return _json({"reset": True})

    async def _start_over(self, _: Request) -> Response:
        """Everything as it was at the start: records, grants, faults, counters."""
        self._state.start_over()
        return _json({"started_over": True})

    async def _get_faults(self, _: Request) -> Response:
        return _json([fault.to_mapping() for fault in self._state.fault_plan.faults])

    async def _set_faults(self, request: Request) -> Response:
        """Replace the faults by the JSON list in the body."""
        try:
            given = msgspec.json.decode(await request.body(), type=list[dict[str, Any]])
            faults = [Fault.from_mapping(item) for item in given]
        except msgspec.MsgspecError:
            return _json({"message": "The body must be a JSON list of faults."}, 400)
        except ConfigurationError as error:
            return _json({"message": str(error)}, 400)
        self._state.set_faults(*faults)
        return _json([fault.to_mapping() for fault in faults])

    async def _set_refused(self, request: Request) -> Response:
        """Replace the refused resources by the JSON list of names in the body."""
        return _set(self._state.set_refused, await request.body())

    async def _set_bare_lists(self, request: Request) -> Response:
        """Replace the streams that are served as bare arrays by the JSON list of names in the body."""
        return _set(self._state.set_bare_lists, await request.body())

    async def _get_window_bounds(self, _: Request) -> Response:
        return _json(str(self._state.window_bounds))

    async def _set_window_bounds(self, request: Request) -> Response:
        """Include the limits of date filters as the JSON text in the body says: `[)`, `[]`, `()` or `(]`."""
        try:
            bounds = WindowBounds.from_text(msgspec.json.decode(await request.body(), type=str))
        except msgspec.MsgspecError:
            return _json({"message": 'The body must be a JSON text such as "[)".'}, 400)
        except ConfigurationError as error:
            return _json({"message": str(error)}, 400)
        self._state.set_window_bounds(bounds)
        return _json(str(bounds))

    async def _revoke(self, _: Request) -> Response:
        return _json({"revoked": self._state.revoke_grants()})

    async def _expire(self, _: Request) -> Response:
        return _json({"expired": self._state.expire_access_tokens()})

    async def _move_job(self, request: Request) -> Response:
        """Put an export job into the `status` of the body."""
        try:
            status = msgspec.json.decode(await request.body(), type=dict[str, str]).get("status", "")
            return _json(self._state.move_export_job(request.path_params["id"], status))
        except msgspec.MsgspecError:
            return _json({"message": "The body must be a JSON object with a status."}, 400)
        except ConfigurationError as error:
            return _json({"message": str(error)}, 400)

    async def _put_record(self, request: Request) -> Response:
        """Add or replace the record in the body."""
        try:
            record = msgspec.json.decode(await request.body(), type=dict[str, Any])
            self._state.put(request.path_params["stream"], record)
        except msgspec.MsgspecError:
            return _json({"message": "The body must be a JSON object."}, 400)
        except ConfigurationError as error:
            return _json({"message": str(error)}, 400)
        return _json(record)

    async def _get_record(self, request: Request) -> Response:
        try:
            record = self._state.get(request.path_params["stream"], request.path_params["id"])
        except ConfigurationError as error:
            return _json({"message": str(error)}, 400)
        return _json({"message": "No such record."}, _NOT_FOUND) if record is None else _json(record)

    async def _remove_record(self, request: Request) -> Response:
        try:
            removed = self._state.remove(request.path_params["stream"], request.path_params["id"])
        except ConfigurationError as error:
            return _json({"message": str(error)}, 400)
        return _json({"removed": removed}, 200 if removed else _NOT_FOUND)


def _set(change: Callable[..., None], body: bytes) -> Response:
    try:
        names = msgspec.json.decode(body, type=list[str])
        change(*names)
    except msgspec.MsgspecError:
        return _json({"message": "The body must be a JSON list of names."}, 400)
    except ConfigurationError as error:
        return _json({"message": str(error)}, 400)
    return _json(names)


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")
