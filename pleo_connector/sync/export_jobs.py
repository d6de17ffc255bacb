"""Polls Pleo for its companies and their open export jobs. Writes nothing, and ends within a given time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from pleo_connector.api import PleoClient, Traffic
from pleo_connector.catalogue import CATALOGUE, Catalogue, CompanyIn, Stream
from pleo_connector.errors import Forbidden
from pleo_connector.sync.companies import discover
from pleo_connector.sync.parents import ParentRecords
from pleo_connector.sync.plan import Connection
from pleo_connector.sync.sweep import ServedPage, Sweep, walk

PATIENCE = 5.0
"""Seconds for which a failing request is tried again; the next poll follows soon."""


@dataclass(slots=True)
class PolledJobs:
    """The result of a poll, as far as its time allowed."""

    companies: tuple[str, ...] = ()
    open_jobs: dict[str, str] = field(default_factory=dict)
    """Key -> status."""
    listed: list[str] = field(default_factory=list)
    """Companies whose jobs were listed to the end, or refused."""

    @property
    def complete(self) -> bool:
        """Whether every company was polled."""
        return bool(self.companies) and self.next_company is None

    @property
    def next_company(self) -> str | None:
        """The company that the next poll should begin with."""
        return next((company for company in self.companies if company not in self.listed), None)


def poll_companies(connection: Connection, *, seconds: float, catalogue: Catalogue = CATALOGUE) -> tuple[str, ...]:
    """The ids of the companies; empty where Pleo did not list them within so many seconds. PleoError as in a sync."""
    return asyncio.run(_poll(connection, seconds, None, catalogue, jobs=False)).companies


def poll_export_jobs(connection: Connection, *, seconds: float, first: str | None = None, catalogue: Catalogue = CATALOGUE) -> PolledJobs:
    """List the companies and the open export jobs of each, beginning with `first`; blocks for so many seconds at most.

    PleoError as in a sync; Forbidden only where no company's jobs may be listed. It spends from the connection's request budget, as every run does.
    """
    return asyncio.run(_poll(connection, seconds, first, catalogue, jobs=True))


async def _poll(connection: Connection, seconds: float, first: str | None, catalogue: Catalogue, *, jobs: bool) -> PolledJobs:
    polled, traffic = PolledJobs(), Traffic()
    listing = next(stream for stream in catalogue if stream.company_in is CompanyIn.NOWHERE)
    budget = connection.budget(connection.requests_per_minute)
    refused: list[Forbidden] = []
    try:
        async with asyncio.timeout(seconds), connection.client(budget, patience=PATIENCE) as client:
            polled.companies = (await discover(listing, client, traffic)).ids
            for company in _from(polled.companies, first) if jobs else ():
                try:
                    polled.open_jobs |= await _open_jobs(open_only(catalogue), company, client, traffic)
                except Forbidden as error:
                    refused.append(error)
                polled.listed.append(company)
    except TimeoutError:
        return polled  # the next poll begins where this one stopped
    finally:
        await budget.close()
    if refused and len(refused) == len(polled.companies):
        raise refused[0]
    return polled


async def _open_jobs(stream: Stream, company: str, client: PleoClient, traffic: Traffic) -> dict[str, str]:
    parent_records = ParentRecords()

    async def note(page: ServedPage) -> None:
        parent_records.note(page)

    await walk(Sweep(stream, company), client, traffic, note)
    return {record.id: record.status for record in parent_records.records.get(company, {}).values()}


def open_only(catalogue: Catalogue = CATALOGUE) -> Stream:
    """The stream of export jobs, limited to those whose items Pleo still serves."""
    parent = next(stream.parent for stream in catalogue if stream.parent is not None and stream.parent.only_open)
    jobs = catalogue.stream(parent.stream)
    statuses = next(column.values for column in jobs.columns if column.source == "status")
    return replace(jobs, query=(*jobs.query, *(("statuses", status) for status in statuses if status not in parent.final)))


def _from(companies: Sequence[str], first: str | None) -> Sequence[str]:
    place = companies.index(first) if first in companies else 0
    return [*companies[place:], *companies[:place]]
