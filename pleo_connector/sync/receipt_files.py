"""Fetching the files of receipts: after their rows are committed, for all that have none yet, so many in one run.

Links are requested for each run, some dozen at a time, and used at once. So there is one way for a new receipt and for one that failed before, and
no link is held while rows load.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from urllib.parse import urlsplit

from pleo_connector.api import FileClient, PleoClient, Refusal, Traffic
from pleo_connector.catalogue import Stream
from pleo_connector.errors import ApiError
from pleo_connector.file_options import FilesOfDeleted, ReceiptFiles
from pleo_connector.setting_values import LOOPBACK
from pleo_connector.sync import receipt_table
from pleo_connector.sync.errors import folded
from pleo_connector.sync.receipt_folder import ReceiptFolder, StoredFile
from pleo_connector.sync.receipt_links import ENTRIES, links
from pleo_connector.sync.receipt_report import WAITING, FilesReport
from pleo_connector.sync.receipt_table import NOT_SERVED, RECEIPT_FILES, Wanted
from pleo_connector.warehouses import Transaction, Warehouse

AT_ONCE = 4
"""Files on their way at a time: each is held in memory until it is whole."""

Outcome = StoredFile | str


class FileFetching:
    """Brings the folder and its table in step with the receipts in the warehouse."""

    def __init__(self, options: ReceiptFiles, stream: Stream, warehouse: Warehouse, api_url: str, proxy: str) -> None:
        self._options = options
        self._stream = stream
        self._warehouse = warehouse
        self._proxy = proxy
        self._plain_http = urlsplit(api_url).hostname in LOOPBACK
        self._folder = ReceiptFolder(options.folder)

    def prepare(self, transaction: Transaction) -> None:
        """Make table and folder; ConfigurationError when the folder cannot be used."""
        self._folder.prepare()
        transaction.ensure([RECEIPT_FILES])

    async def run(self, client: PleoClient, companies: Sequence[str], traffic: Traffic, report: FilesReport) -> list[str]:
        """Fetch what is missing; what stopped that for a company, in sentences.

        Raises what no stream survives (credential, warehouse), and ConfigurationError when the folder refuses. `report` says at any moment what was done.
        """
        if self._options.of_deleted is FilesOfDeleted.REMOVE:
            report.removed = await asyncio.to_thread(self._remove_deleted, companies)
        every = await asyncio.to_thread(self._wanted, companies)
        report.left.update(one.failure if one.resting and one.failure else WAITING for one in every)
        now = of_this_run(every, self._options)
        if not now:
            return []
        rest = await asyncio.to_thread(self._adopt, now, report)
        stopped: dict[str | None, ApiError] = {}
        async with FileClient(plain_http=self._plain_http, proxy=self._proxy, connections=AT_ONCE) as files:
            for company_id, some in portions(rest):
                if company_id in stopped:
                    continue
                try:
                    urls = await links(self._stream, company_id, some, client, traffic)
                except ApiError as error:
                    stopped[company_id] = error
                else:
                    await self._fetch(files, some, urls, report)
        return [f"The files are left for the next run: {error}" for error in folded(stopped)]

    def _wanted(self, companies: Sequence[str]) -> list[Wanted]:
        with self._warehouse.transaction() as transaction:
            return receipt_table.wanted(transaction, self._stream, companies, datetime.now(UTC))

    def _adopt(self, some: Sequence[Wanted], report: FilesReport) -> list[Wanted]:
        """Note those whose file is in the folder already; returns the others."""
        there = self._folder.index()
        adopted: list[tuple[Wanted, Outcome]] = [
            (one, self._folder.adopt(there[one.receipt_id])) for one in some if one.receipt_id in there
        ]
        self._note(adopted)
        report.adopted += len(adopted)
        report.left[WAITING] -= len(adopted)
        return [one for one in some if one.receipt_id not in there]

    async def _fetch(self, files: FileClient, some: Sequence[Wanted], urls: Mapping[str, str], report: FilesReport) -> None:
        limits = asyncio.Semaphore(AT_ONCE)

        async def one_file(one: Wanted) -> Outcome:
            async with limits:
                if (link := urls.get(one.receipt_id)) is None:
                    return NOT_SERVED
                file = await files.fetch(link, self._options.largest)
                if isinstance(file, Refusal):
                    return file.value
                return await asyncio.to_thread(self._folder.keep, one.receipt_id, file.content, file.content_type, one.mime_type)

        results = await asyncio.gather(*(one_file(one) for one in some), return_exceptions=True)
        outcomes = [(one, result) for one, result in zip(some, results, strict=True) if not isinstance(result, BaseException)]
        await asyncio.to_thread(self._note, outcomes)
        for _, outcome in outcomes:
            report.left[WAITING] -= 1
            if isinstance(outcome, StoredFile):
                report.fetched += 1
                report.bytes += outcome.size
            else:
                report.left[outcome] += 1
        for result in results:
            if isinstance(result, BaseException):
                raise result

    def _note(self, outcomes: Sequence[tuple[Wanted, Outcome]]) -> None:
        if outcomes:
            with self._warehouse.transaction() as transaction:
                receipt_table.note(transaction, outcomes)

    def _remove_deleted(self, companies: Sequence[str]) -> int:
        """Files first, then their rows: a run that is killed between the two finds nothing to remove, and notes it."""
        with self._warehouse.transaction() as transaction:
            rows = receipt_table.of_deleted(transaction, self._stream, companies)
        for row in rows:
            self._folder.remove(row["path"])
        if rows:
            with self._warehouse.transaction() as transaction:
                receipt_table.note_removed(transaction, rows)
        return len(rows)


def of_this_run(every: Sequence[Wanted], options: ReceiptFiles) -> list[Wanted]:
    """Those that one run fetches."""
    return [one for one in every if not one.resting][: options.per_run]


def portions(some: Sequence[Wanted]) -> Iterator[tuple[str, list[Wanted]]]:
    """By company, as many as one question to Pleo may name entries."""
    for company_id in dict.fromkeys(one.company_id for one in some):
        mine = [one for one in some if one.company_id == company_id]
        for start in range(0, len(mine), ENTRIES):
            yield company_id, mine[start : start + ENTRIES]
