"""Which companies a credential covers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import msgspec

from pleo_connector.api import PageRequest, PleoClient, Traffic
from pleo_connector.catalogue import Stream
from pleo_connector.errors import BadAnswer, Forbidden, UnknownCompany
from pleo_connector.frames import Page, split_page
from pleo_connector.sync.sweep import FailedPage, ServedPage, Sweep, served_page, walk

_COMPANY_URN = "urn:pleo:company:"


@dataclass(frozen=True, slots=True)
class Companies:
    """Company keys to read for, and the pages of the list they came from."""

    ids: tuple[str, ...]
    names: dict[str, str]
    pages: tuple[ServedPage, ...]
    sweep: Sweep
    error: Forbidden | None = None
    """Why the company records themselves may not be read, when only the keys are known."""


class _Named(msgspec.Struct):
    id: str
    name: str | None = None


class _Credential(msgspec.Struct, rename={"subject": "subjectURN"}):
    subject: str = ""


class _Introspection(msgspec.Struct):
    data: _Credential


async def discover(
    stream: Stream, client: PleoClient, traffic: Traffic, keep_failed: Callable[[FailedPage], Awaitable[str]] | None = None
) -> Companies:
    """Read the list of companies. A credential of one company may not read the list; its own company is read instead."""
    sweep = Sweep(stream)
    pages: list[ServedPage] = []

    async def keep(page: ServedPage) -> None:
        pages.append(page)

    try:
        await walk(sweep, client, traffic, keep, keep_failed)
    except Forbidden as error:
        return await _own_company(stream, client, traffic, error)
    names: dict[str, str] = {}
    for served in pages:
        for record in served.page.records:
            try:
                company = msgspec.json.decode(record, type=_Named)
            except msgspec.DecodeError:
                continue  # without a readable key there is nothing to read for; the load sets the record aside, with the reason
            names[company.id] = company.name or ""
    return Companies(tuple(names), names, tuple(pages), sweep)


async def _own_company(stream: Stream, client: PleoClient, traffic: Traffic, refused: Forbidden) -> Companies:
    def parse(body: bytes) -> _Credential:
        try:
            return msgspec.json.decode(body, type=_Introspection).data
        except msgspec.DecodeError:
            raise BadAnswer("Pleo's answer about this credential (/v1/introspect) is not the JSON it should be; run again later.") from None

    try:
        credential = await client.fetch(PageRequest("GET", "/v1/introspect", "this credential"), parse, traffic)
    except Forbidden:
        raise refused from None
    if not credential.subject.startswith(_COMPANY_URN):
        raise refused
    company_id = credential.subject.removeprefix(_COMPANY_URN)

    def wrap(body: bytes) -> tuple[Page, bytes]:
        # One record in a `data` object, where a list holds a `data` array: from here on it is a list of one.
        try:
            record = msgspec.json.decode(body, type=dict[str, msgspec.Raw])["data"]
        except (msgspec.DecodeError, KeyError):
            raise BadAnswer(f"Pleo's answer about company {company_id} is not the JSON it should be; run again later.") from None
        listed = b'{"data":[' + bytes(record) + b'],"pagination":{"hasNextPage":false}}'
        return split_page(listed, stream.paging, f"company {company_id}"), listed

    sweep = Sweep(stream, proves_absence=False)
    request = PageRequest("GET", f"{stream.path}/{company_id}", f"company {company_id}", stream.scope)
    try:
        page, body = await client.fetch(request, wrap, traffic)
    except Forbidden as error:
        return Companies((company_id,), {company_id: ""}, (), sweep, error)
    served = served_page(sweep, 1, None, page, body, request, "", sweep.started_at)
    return Companies((company_id,), {company_id: ""}, (served,), sweep)


def chosen(companies: Companies, requested: Sequence[str]) -> tuple[str, ...]:
    """The companies to read: all, or those requested by key or exact name."""
    if not requested:
        return companies.ids
    by_name = {name: key for key, name in companies.names.items() if name}
    ids = []
    for wish in requested:
        key = wish.lower() if wish.lower() in companies.names else by_name.get(wish)
        if key is None:
            covered = ", ".join(f"{key} ({name})" if name else key for key, name in companies.names.items())
            raise UnknownCompany(f"Company {wish!r} is not covered by this credential; it covers: {covered or 'none'}.")
        ids.append(key)
    return tuple(dict.fromkeys(ids))
