"""One record of each stream: what a sync with this credential would be refused. Writes nothing.

A stream costs one request. One that is read for each record of another costs some more, to find such a record. Other streams are read for the first company only.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from pleo_connector.api import PageRequest, PleoClient, Traffic, page_request
from pleo_connector.catalogue import CATALOGUE, Catalogue, CompanyIn, Parent, Stream
from pleo_connector.errors import ApiError, Forbidden, JobFinished, ParentGone
from pleo_connector.frames import split_page
from pleo_connector.sync.companies import discover
from pleo_connector.sync.export_jobs import PATIENCE, open_only
from pleo_connector.sync.plan import Connection

_ENTRIES, _JOB_ITEMS, _ENTRY = "accounting_entries", "export_job_items", "/v1/accounting-entries"

_COMPANIES = 5
"""How many are looked through for a record that others are read for."""


@dataclass(frozen=True, slots=True)
class Probed:
    """The result of requesting one record of a stream."""

    stream: str
    summary: str
    """In words: what Pleo answered, or why no request was sent."""
    error: ApiError | None = None
    open: bool = False
    """Whether the result is unknown, although there may be something to read."""


def probe(connection: Connection, streams: Sequence[str], *, seconds: float = 60.0, catalogue: Catalogue = CATALOGUE) -> list[Probed]:
    """Ask Pleo for one record of each of these streams, within the request budget; blocks for so many seconds at most.

    Raises what no stream survives: ReauthRequired, CredentialError, ConfigurationError.
    """
    return asyncio.run(_probe(connection, [catalogue.stream(name) for name in streams], seconds, catalogue))


async def _probe(connection: Connection, streams: Sequence[Stream], seconds: float, catalogue: Catalogue) -> list[Probed]:
    budget = connection.budget(connection.requests_per_minute)
    probed: dict[str, Probed] = {}
    try:
        async with asyncio.timeout(seconds), connection.client(budget, patience=PATIENCE) as client:
            probing = _Probing(client, catalogue, [stream.name for stream in streams])
            for stream in streams:
                probed[stream.name] = await probing.of(stream)
    except TimeoutError:
        pass
    finally:
        await budget.close()
    late = f"not checked: no answer within {seconds:g} s; a sync may be using the request budget, so try again after it"
    return [probed.get(stream.name) or Probed(stream.name, late, open=True) for stream in streams]


Record = dict[str, Any]


class _NotRequested(Exception):  # its text becomes a finding
    open = False


class _CannotRequest(_NotRequested):
    open = True


@dataclass(slots=True)
class _Probing:
    client: PleoClient
    catalogue: Catalogue
    requested: Collection[str]
    """Names of the streams. If Pleo refuses another stream that they need, the refusal is reported for them."""
    traffic: Traffic = field(default_factory=Traffic)
    _first: dict[str, Record | ApiError | None] = field(default_factory=dict)
    """By stream: its first record, None where there is none, or the refusal."""
    _companies: tuple[str, ...] = ()
    """Their keys."""

    async def of(self, stream: Stream) -> Probed:
        """One stream; what Pleo refuses is part of the answer."""
        try:
            record = await self._record(stream)
        except _NotRequested as reason:
            return Probed(stream.name, f"not checked: {reason}", open=reason.open)
        except (JobFinished, ParentGone):
            return Probed(stream.name, "not checked: the record that it is read for has just ended")
        except ApiError as error:
            return Probed(stream.name, await self._refusal(stream, error), error=error)
        where = f" for company {self._companies[0]}" if stream.of_company and stream.parent is None else ""
        return Probed(stream.name, "Pleo answers" if record is not None else f"Pleo answers, and has none{where}")

    async def _record(self, stream: Stream) -> Record | None:
        """The first record of a stream; requested once."""
        if stream.name not in self._first:
            try:
                self._first[stream.name] = await (
                    self._list_companies(stream) if stream.company_in is CompanyIn.NOWHERE else self._first_record(stream)
                )
            except ApiError as error:
                self._first[stream.name] = error
        record = self._first[stream.name]
        if isinstance(record, ApiError):
            raise record
        return record

    async def _list_companies(self, listing: Stream) -> Record | None:
        companies = await discover(listing, self.client, self.traffic)
        self._companies = companies.ids
        if companies.error is not None:
            raise companies.error
        return {"id": companies.ids[0]} if companies.ids else None

    async def _first_record(self, stream: Stream) -> Record | None:
        if not stream.of_company:
            return await self._one(page_request(stream, limit=1), stream)
        if stream.parent is not None:
            above = await self._parent(stream.parent)
            return await self._one(page_request(stream, limit=1, parent_id=str(above["id"])), stream)
        return await self._one(page_request(stream, (await self._companies_known())[0], limit=1), stream)

    async def _parent(self, parent: Parent) -> Record:
        """A record that this stream can be read for, of the first companies that have one."""
        above = self.catalogue.stream(parent.stream)
        listed = open_only(self.catalogue) if parent.only_open else above  # of export items Pleo serves those of open jobs alone
        try:
            for company_id in (await self._companies_known())[:_COMPANIES]:
                if record := await self._one(page_request(listed, company_id, limit=1), above):
                    return record
        except Forbidden:
            if above.name not in self.requested:
                raise
            raise _CannotRequest(f"it is read for each of {above.name}, which Pleo refuses") from None
        raise _NotRequested(f"there are no {'open ' if parent.only_open else ''}{above.name.replace('_', ' ')} to read it for")

    async def _companies_known(self) -> tuple[str, ...]:
        """Keys of the companies; never empty. Requests use the first."""
        listing = next(stream for stream in self.catalogue if stream.company_in is CompanyIn.NOWHERE)
        try:
            await self._record(listing)
        except Forbidden as error:
            if not self._companies and listing.name not in self.requested:
                raise
            if not self._companies:
                raise _CannotRequest("Pleo refuses the list of companies") from error
        if not self._companies:
            raise _CannotRequest("the credential covers no company")
        return self._companies

    async def _one(self, request: PageRequest, stream: Stream) -> Record | None:
        def parse(body: bytes) -> Record | None:
            page = split_page(body, stream.paging, request.what)
            try:
                return msgspec.json.decode(page.records[0], type=Record) if page.records else None
            except (msgspec.DecodeError, UnicodeDecodeError):
                return {}  # a sync sets such a record aside

        return await self.client.fetch(request, parse, self.traffic)

    async def _refusal(self, stream: Stream, error: ApiError) -> str:
        """The refusal; for entries also whether single ones may be read, which is a separate right at Pleo."""
        if stream.name != _ENTRIES or not isinstance(error, Forbidden):
            return str(error)
        try:
            item = await self._record(self.catalogue.stream(_JOB_ITEMS))
            if item is None or "accountingEntryId" not in item:
                return str(error)
            single = PageRequest("GET", f"{_ENTRY}/{item['accountingEntryId']}", "a single entry", stream.scope)
            await self.client.fetch(single, bytes, self.traffic)
        except (ApiError, _NotRequested):
            return str(error)
        return (
            f"{error} Only the search is refused: single entries (GET {_ENTRY}/...) may be read, but the connector reads entries by search."
        )
