"""The raw landing: pages as served, kept by content, in the transaction that loads their rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol
from urllib.parse import urlencode

import msgspec

from pleo_connector.api import PageRequest
from pleo_connector.catalogue import Catalogue
from pleo_connector.frames import withholds
from pleo_connector.sync.raw_folder import RawFolder
from pleo_connector.sync.raw_packing import PackedPage, packed
from pleo_connector.sync.raw_policy import RawPolicy
from pleo_connector.sync.raw_prune import prune
from pleo_connector.sync.raw_report import RawReport
from pleo_connector.sync.raw_tables import RAW_FAILED, RAW_LOADS, RAW_PAGES, RAW_REQUESTS, RAW_TABLES
from pleo_connector.sync.state import frame_of
from pleo_connector.sync.sweep import FailedPage, ServedPage, Sweep
from pleo_connector.warehouses import Transaction, Warehouse


class Ended(Protocol):
    """A stream whose walks have all ended (`loader.StreamWork`)."""

    @property
    def sweeps(self) -> list[Sweep]:
        """The walks of this run."""

    @property
    def abandoned(self) -> list[Sweep]:
        """Those that will not go on."""

    @property
    def whole(self) -> set[str]:
        """Companies whose parents are all known."""


class RawLanding:
    """Keeps pages as the policy says. `land` writes within the transaction that loads their rows."""

    def __init__(self, policy: RawPolicy) -> None:
        self.policy = policy
        self._folder = RawFolder(policy.folder) if policy.folder is not None else None
        self.report = RawReport(policy.place if policy.is_on else "")

    def ensure(self, transaction: Transaction) -> None:
        """Make the tables."""
        if self.policy.is_on:
            transaction.ensure(RAW_TABLES)

    def pack(self, pages: Iterable[ServedPage], already_packed: Mapping[str, PackedPage]) -> list[PackedPage]:
        """The compressed pages, also written to the folder if there is one. A page without a row does no harm, a row without a page would.

        `already_packed` are pages that are compressed already, by fingerprint as served.
        """
        if not self.policy.is_on:
            return []
        packed_pages = [already_packed.get(page.sha256) or packed(page.body) for page in pages]
        if self._folder is not None:
            for one in packed_pages:
                self._folder.keep(one.content, one.packed)
        return packed_pages

    def land(
        self,
        transaction: Transaction,
        pages: Sequence[ServedPage],
        packed_pages: Sequence[PackedPage],
        ended: Mapping[str, Ended],
        *,
        run: str,
        at: datetime,
        allow_mass_delete: bool,
    ) -> None:
        """Keep the pages of one load, and how its ended streams ended."""
        if not self.policy.is_on or not (pages or ended):
            return
        last = transaction.scalar('SELECT max("load") FROM {schema}._raw_loads')
        load = int(str(last or 0)) + 1
        ends = [
            {
                "stream": name,
                "allow_mass_delete": allow_mass_delete,
                "whole": sorted(work.whole),
                "sweeps": [_sweep_end(sweep) for sweep in work.sweeps],
                "abandoned": [_sweep_end(sweep) for sweep in work.abandoned],
            }
            for name, work in ended.items()
        ]
        row = {"load": load, "run": run, "loaded_at": at, "ended": msgspec.json.encode(ends).decode()}
        transaction.upsert(RAW_LOADS, frame_of(RAW_LOADS, [row]))
        if pages:
            rows = [
                _walked(served) | {"load": load, "run": run, "place": place, "content": one.content}
                for place, (served, one) in enumerate(zip(pages, packed_pages, strict=True))
            ]
            transaction.upsert(RAW_REQUESTS, frame_of(RAW_REQUESTS, rows))
            self._keep(transaction, {one.content: one for one in packed_pages}, at)
        self.report.pages += len(pages)
        self.report.served_bytes += sum(one.size for one in packed_pages)

    def _keep(self, transaction: Transaction, by_content: Mapping[str, PackedPage], at: datetime) -> None:
        stored = set(transaction.read(RAW_PAGES, ("content",), content=list(by_content))["content"].to_pylist())
        new = [one for content, one in by_content.items() if content not in stored]
        rows = [
            {
                "content": one.content,
                "size": one.size,
                "stored": len(one.packed),
                "kept_at": at,
                "page": one.packed if self._folder is None else None,
            }
            for one in new
        ]
        if rows:
            transaction.upsert(RAW_PAGES, frame_of(RAW_PAGES, rows))
        self.report.new += len(new)
        self.report.new_bytes += sum(len(one.packed) for one in new)

    def keep_failed(self, warehouse: Warehouse, failed: FailedPage) -> str:
        """Keep an answer that could not be read, in a transaction of its own. Returns a sentence that says where it is.

        Only its fingerprint is kept if it may hold values that must not be stored.
        """
        if not self.policy.is_on:
            return ""
        answer, sweep = packed(failed.body), failed.sweep
        withheld = withholds(sweep.stream, failed.body)
        row = request_columns(failed.request) | {
            "sweep_id": sweep.sweep_id,
            "number": failed.number,
            "stream": sweep.stream.name,
            "company_id": sweep.company_id,
            "failed_at": failed.failed_at,
            "reason": failed.reason,
            "content": answer.content,
            "size": answer.size,
            "answer": None if withheld else answer.packed,
        }
        with warehouse.transaction() as transaction:
            transaction.ensure([RAW_FAILED])
            transaction.upsert(RAW_FAILED, frame_of(RAW_FAILED, [row]))
        subject = "Its fingerprint is" if withheld else "The answer is"
        return f"{subject} kept in {warehouse.relation(RAW_FAILED)} (content {answer.content[:12]})."

    def prune(self, transaction: Transaction, catalogue: Catalogue, now: datetime) -> list[str]:
        """Delete pages that are older than the retention and no longer needed; call `forget` with them after the commit."""
        if not self.policy.is_on or not self.policy.days:
            return []
        gone = prune(transaction, catalogue, now - timedelta(days=self.policy.days))
        self.report.pruned = len(gone)
        return gone

    def forget(self, contents: Iterable[str]) -> None:
        """Remove pages from the folder, where they are in one."""
        if self._folder is not None:
            for content in contents:
                self._folder.forget(content)

    def measure(self, transaction: Transaction) -> None:
        """Note the number and size of all stored pages."""
        if self.policy.is_on:
            kept = str(
                transaction.scalar(
                    "SELECT CAST(count(*) AS VARCHAR) || ' ' || CAST(coalesce(sum(stored), 0) AS VARCHAR) FROM {schema}._raw_pages"
                )
            )
            self.report.total_pages, self.report.total_bytes = map(int, kept.split())


def request_columns(request: PageRequest) -> dict[str, str | None]:
    """The request as the tables keep it: without credentials."""
    return {
        "method": request.method,
        "path": request.path,
        "query": urlencode(request.params),
        "body": msgspec.json.encode(request.body).decode() if request.body is not None else None,
    }


def _walked(served: ServedPage) -> dict[str, Any]:
    sweep = served.sweep
    return request_columns(served.request) | {
        "sweep_id": sweep.sweep_id,
        "number": served.number,
        "stream": sweep.stream.name,
        "company_id": sweep.company_id,
        "span_start": sweep.span.limits[0] if sweep.span else None,
        "span_end": sweep.span.limits[1] if sweep.span else None,
        "parent_id": sweep.parent_id,
        "parent_state": sweep.parent_state,
        "floor_at": sweep.floor,
        "tier": sweep.tier,
        "started_at": sweep.started_at,
        "cursor": served.cursor_in,
        "fetched_at": served.fetched_at,
        "served": served.sha256,
    }


def _sweep_end(sweep: Sweep) -> dict[str, Any]:
    """A sweep at its end: what it read, and what it can prove."""
    return {
        "sweep_id": sweep.sweep_id,
        "company_id": sweep.company_id,
        "span": [sweep.span.start, sweep.span.end] if sweep.span else None,
        "parent_id": sweep.parent_id,
        "parent_state": sweep.parent_state,
        "floor": sweep.floor,
        "tier": sweep.tier,
        "started_at": sweep.started_at,
        "pages": sweep.pages,
        "proves_absence": sweep.proves_absence,
        "failed": sweep.error is not None,
    }
