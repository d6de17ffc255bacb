"""The data API: one route per stream of the catalogue, and the few single objects a connector reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from pleo_connector.catalogue import CompanyIn, Paging, Stream
from pleo_connector.sandbox.children import of_parent, parent_asked
from pleo_connector.sandbox.clients import basic_pair
from pleo_connector.sandbox.contract import Operation, operation
from pleo_connector.sandbox.cursors import CursorUnknown
from pleo_connector.sandbox.exports import ITEMS
from pleo_connector.sandbox.generated import STREAM as ENTRIES
from pleo_connector.sandbox.links import ReceiptLinks
from pleo_connector.sandbox.ordering import Value
from pleo_connector.sandbox.query import Query, Refused, invalid, understand
from pleo_connector.sandbox.samples import Record
from pleo_connector.sandbox.state import COMPANY_URN, SandboxState, resource_of
from pleo_connector.sandbox.store import COMPANIES
from pleo_connector.sandbox.walk import Page

JSON = "application/json"
_CURSORS = ("after", "before")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks: `budget` is what the rate limit counts by."""

    client_id: str
    method: str
    scopes: tuple[str, ...]
    subject: str
    budget: str = field(repr=False)


class DataApi:
    """The handlers; `routes()` lists where they are."""

    def __init__(self, state: SandboxState, links: ReceiptLinks) -> None:
        self._state = state
        self._links = links

    def routes(self) -> list[Route]:
        """A route for every declared stream, then the single objects."""
        streams = [
            Route(stream.path, self._list_of(stream), methods=[stream.method])
            for stream in self._state.catalogue
            if stream.paging is not Paging.ONE
        ]
        return [
            *streams,
            Route("/v1/introspect", self._single(self._introspect), methods=["GET"]),
            Route("/v1/installations/me", self._single(self._installation), methods=["GET"]),
            Route("/v1/installations/me", self._uninstall, methods=["DELETE"]),
            Route("/v1/companies/{companyId}", self._single(self._company), methods=["GET"]),
            Route("/v1/accounting-entries/{accountingEntryId:uuid}", self._single(self._entry), methods=["GET"]),
        ]

    def _list_of(self, stream: Stream) -> Any:
        rules = operation(stream.operation)

        async def handle(request: Request) -> Response:
            body = await request.body() if stream.method == "POST" else b""
            with self._state.lock:
                try:
                    caller = self._admitted(request)
                    _need_scope(caller, stream)
                    self._need_role(stream, search=stream.path.endswith(":search"))
                    query = understand(stream, rules, _query(request), _body(body), self._state.window_bounds)
                    content = self._page(query, rules, caller, body, request.path_params)
                except Refused as refused:
                    return refusal(refused)
            return Response(content, 200, media_type=JSON + rules.charset)

        return handle

    def _single(self, answer: Any) -> Any:
        async def handle(request: Request) -> Response:
            with self._state.lock:
                try:
                    value = answer(self._admitted(request), request)
                except Refused as refused:
                    return refusal(refused)
            return Response(msgspec.json.encode(value), 200, media_type=f"{JSON};charset=UTF-8")

        return handle

    # --- admission -----------------------------------------------------------------------------

    def _admitted(self, request: Request) -> Caller:
        caller = self._caller(request.headers.get("authorization", ""))
        wait = self._state.rate_limit.take(caller.budget)
        if wait is not None:
            raise Refused(429, "TOO_MANY_REQUESTS", f"Over the request budget; wait {wait} seconds.", {"Retry-After": str(wait)})
        return caller

    def budget_of(self, header: str) -> str | None:
        """What requests with this Authorization header are counted by; None when nobody stands behind it."""
        try:
            return self._caller(header).budget
        except Refused:
            return None

    def _caller(self, header: str) -> Caller:
        scheme, _, value = header.partition(" ")
        if scheme.lower() == "bearer":
            grant = self._state.oauth.grant_of_access(value.strip())
            if grant is not None:
                return Caller(grant.client_id, "OAUTH2", grant.scopes, grant.subject, grant.identity)
        elif basic_pair(header) == (self._state.config.api_key, ""):
            return Caller("sandbox-key", "API_KEY", self._state.scopes, self._state.default_subject(), "api key")
        raise Refused(401, "UNAUTHORIZED", "The credential is missing, malformed, expired or revoked.", {"WWW-Authenticate": "Bearer"})

    def _need_role(self, stream: Stream, *, search: bool) -> None:
        """The 403 of a credential whose scope is there and whose role does not allow it, in Pleo's words."""
        resource = resource_of(stream)
        if resource in self._state.refused:
            raise Refused(403, "ACCESS_DENIED", f"Required permission 'READ' on resource '{resource}'")
        if search and f"{resource}:search" in self._state.refused:
            raise Refused(403, "ACCESS_DENIED", f"Required permission 'SEARCH' on resource '{resource}'")

    # --- lists ---------------------------------------------------------------------------------

    def _page(self, query: Query, rules: Operation, caller: Caller, body: bytes, path: Mapping[str, str]) -> bytes:
        companies = self._companies(query, caller)
        self._state.exports.tick()
        parent_id = None
        if query.stream.parent is not None:
            parent_id = parent_asked(query.stream.parent, path, query)
            query = of_parent(query, rules, parent_id, companies, self._state.store, self._state.exports)
        hide = rules.deleted_field if _body(body).get("includeDeleted") is not True else None
        cursor = query.page.after if query.page.after is not None else query.page.before
        position: tuple[Value, ...] | None = None
        if cursor is not None:
            try:
                position = self._state.cursors.decode(query.digest, cursor)
            except CursorUnknown:
                raise invalid("The cursor does not belong to this request.") from None
        bare = query.stream.name in self._state.bare_lists
        if bare:
            query = replace(query, page=replace(query.page, limit=None))
        page = self._state.lister.page(query, companies, hide, position)
        self._state.counts.records_served += len(page.bodies)
        if query.stream.name == ITEMS:
            self._state.exports.served(parent_id)
        bodies = page.bodies
        if query.stream.operation == "getTagGroups":
            bodies = self._with_tag_counts(bodies, asked=query.parameters.get("include_tags_count") == ["true"])
        if query.stream.operation == "searchReceiptsByPostV6":
            bodies = [self._links.linked(body) for body in bodies]
        if bare:
            return b"[" + b",".join(bodies) + b"]"
        data = b'{"data":[' + b",".join(bodies) + b"]"
        if query.stream.paging is Paging.WHOLE:
            return data + b"}"
        return data + b',"pagination":' + msgspec.json.encode(self._pagination(query, page)) + b"}"

    def _companies(self, query: Query, caller: Caller) -> frozenset[str]:
        covered = self._state.companies_of(caller.subject)
        if query.company_id is not None:
            if query.company_id.lower() not in covered:
                raise forbidden("The credential does not cover this company.")
            return frozenset((query.company_id.lower(),))
        if query.organisation_id is not None:
            whole = self._state.organisation_id
            if query.organisation_id.lower() != whole or caller.subject.startswith(COMPANY_URN):
                raise forbidden("The credential does not cover this organisation.")
        listing = query.stream.company_in is CompanyIn.NOWHERE and query.stream.name == COMPANIES
        if listing and caller.subject.startswith(COMPANY_URN) and not self._state.config.company_may_list:
            raise forbidden("A company credential cannot list companies.")
        return covered

    def _pagination(self, query: Query, page: Page) -> dict[str, Any]:
        asked = query.page
        request: dict[str, Any] = {"parameters": query.parameters, "limit": asked.limit}
        request |= {name: value for name in ("after", "before", "offset") if (value := getattr(asked, name)) is not None}
        request["sortingKeys"] = [key.field for key in query.order.keys]
        request["sortingOrder"] = [key.order for key in query.order.keys]
        paging: dict[str, Any] = {
            "hasNextPage": page.has_next,
            "hasPreviousPage": page.has_previous,
            "currentRequestPagination": request,
        }
        if page.first is not None and page.last is not None:
            paging["startCursor"] = self._state.cursors.encode(query.digest, page.first)
            paging["endCursor"] = self._state.cursors.encode(query.digest, page.last)
        if page.total is not None:
            paging["total"] = page.total
        return paging

    def _with_tag_counts(self, bodies: list[bytes], *, asked: bool) -> list[bytes]:
        groups = [msgspec.json.decode(body, type=Record) for body in bodies]
        counts: dict[str, int] = {}
        for stored in self._state.store.kept("tags") if asked else ():
            group = stored.record.get("group", {}).get("id")
            counts[group] = counts.get(group, 0) + 1
        for group in groups:
            group.pop("totalTagsCount", None)
            if asked:
                group["totalTagsCount"] = counts.get(group["id"], 0)
        return [msgspec.json.encode(group) for group in groups]

    # --- single objects ------------------------------------------------------------------------

    def _introspect(self, caller: Caller, _: Request) -> dict[str, Any]:
        return {
            "data": {
                "clientId": caller.client_id,
                "authMethod": caller.method,
                "scope": " ".join(caller.scopes),
                "subjectURN": caller.subject,
                "applicationName": "Pleo connector (sandbox)",
            }
        }

    async def _uninstall(self, request: Request) -> Response:
        with self._state.lock:
            try:
                caller = self._admitted(request)
            except Refused as refused:
                return refusal(refused)
            self._state.oauth.revoke(caller.client_id, caller.subject)
        return Response(status_code=204)

    def _installation(self, caller: Caller, _: Request) -> dict[str, Any]:
        """The one installation, for whoever asks."""
        self._need_role(self._state.catalogue.stream("installation"), search=False)
        for stored in self._state.store.kept("installation"):
            return stored.record | {"resource": caller.subject}
        raise Refused(404, "NOT_FOUND", "This client is not installed.")

    def _company(self, caller: Caller, request: Request) -> dict[str, Any]:
        if "companies:read" not in caller.scopes:
            raise forbidden("The credential lacks the scope companies:read.")
        identity = str(request.path_params["companyId"]).lower()
        if identity not in self._state.companies_of(caller.subject):
            raise forbidden("The credential does not cover this company.")
        self._need_role(self._state.catalogue.stream(COMPANIES), search=False)
        return {"data": self._state.store.companies()[identity]}

    def _entry(self, caller: Caller, request: Request) -> dict[str, Any]:
        stream = self._state.catalogue.stream(ENTRIES)
        _need_scope(caller, stream)
        self._need_role(stream, search=False)
        found = self._state.store.get(ENTRIES, str(request.path_params["accountingEntryId"]).lower())
        if found is None or self._state.store.owner(ENTRIES, found) not in self._state.companies_of(caller.subject):
            raise Refused(404, "NOT_FOUND", "There is no such entry.")
        return {"data": found}


def forbidden(message: str) -> Refused:
    """The 403; Pleo's does not tell a missing scope from a foreign company, this one says."""
    return Refused(403, "FORBIDDEN", message)


def refusal(refused: Refused) -> Response:
    """A refusal as an answer, in the error shape of Pleo's newer services."""
    body = msgspec.json.encode({"type": refused.code, "message": refused.message})
    return Response(body, refused.status, refused.headers, f"{JSON};charset=UTF-8")


def _need_scope(caller: Caller, stream: Stream) -> None:
    if stream.scope and not {stream.scope, *stream.scope_alternatives} & set(caller.scopes):
        raise forbidden(f"The credential lacks the scope {stream.scope}.")


def _query(request: Request) -> dict[str, list[str]]:
    """The query by name; a cursor whose `=` was not percent-encoded is refused, so that a client learns it here."""
    text = request.scope["query_string"].decode("latin-1")
    for part in text.split("&"):
        name, _, value = part.partition("=")
        if name in _CURSORS and "=" in value:
            raise invalid(f"The cursor in {name} is not URL-encoded: '=' must be sent as %3D.")
    found: dict[str, list[str]] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        found.setdefault(name, []).append(value)
    return found


def _body(body: bytes) -> Mapping[str, Any]:
    if not body:
        return {}
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except msgspec.MsgspecError:
        raise Refused(400, "VALIDATION_FAILED", "The body is not a JSON object.") from None
