"""The raw landing: pages as served, kept by content, in the transaction that loads their rows."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol
from urllib.parse import urlencode

import msgspec
import pyarrow as pa

from pleo_connector.api import PageRequest
from pleo_connector.sync.ledger import frame_of
from pleo_connector.sync.raw_folder import RawFolder
from pleo_connector.sync.raw_policy import RawPolicy
from pleo_connector.sync.raw_report import RawReport
from pleo_connector.sync.raw_tables import RAW_LOADS, RAW_PAGES, RAW_REQUESTS, RAW_TABLES
from pleo_connector.sync.sweep import ServedPage, Sweep
from pleo_connector.warehouses import Transaction

_CODEC = pa.Codec("zstd", compression_level=3)


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


@dataclass(frozen=True, slots=True)
class KeptPage:
    """A page on its way to the landing, compressed before the warehouse is held."""

    content: str
    size: int
    packed: bytes


def packed(body: bytes) -> KeptPage:
    """The page by content, compressed."""
    return KeptPage(hashlib.sha256(body).hexdigest(), len(body), _CODEC.compress(body, asbytes=True))


def unpacked(page: bytes, size: int) -> bytes:
    """The page as it was kept."""
    found: bytes = _CODEC.decompress(page, decompressed_size=size, asbytes=True) if size else b""
    return found


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

    def pack(self, pages: Iterable[ServedPage]) -> list[KeptPage]:
        """The pages compressed, and in the folder if there is one: a page without a row does no harm there, a row without one would."""
        if not self.policy.is_on:
            return []
        found = [packed(page.body) for page in pages]
        if self._folder is not None:
            for one in found:
                self._folder.keep(one.content, one.packed)
        return found

    def land(
        self,
        transaction: Transaction,
        pages: Sequence[ServedPage],
        kept: Sequence[KeptPage],
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
        told = [
            {
                "stream": name,
                "allow_mass_delete": allow_mass_delete,
                "whole": sorted(work.whole),
                "sweeps": [_told(sweep) for sweep in work.sweeps],
                "abandoned": [_told(sweep) for sweep in work.abandoned],
            }
            for name, work in ended.items()
        ]
        row = {"load": load, "run": run, "loaded_at": at, "ended": msgspec.json.encode(told).decode()}
        transaction.upsert(RAW_LOADS, frame_of(RAW_LOADS, [row]))
        if pages:
            rows = [
                _walked(served) | {"load": load, "run": run, "place": place, "content": one.content}
                for place, (served, one) in enumerate(zip(pages, kept, strict=True))
            ]
            transaction.upsert(RAW_REQUESTS, frame_of(RAW_REQUESTS, rows))
            self._keep(transaction, {one.content: one for one in kept}, at)
        self.report.pages += len(pages)
        self.report.served_bytes += sum(one.size for one in kept)

    def _keep(self, transaction: Transaction, kept: Mapping[str, KeptPage], at: datetime) -> None:
        known = set(transaction.read(RAW_PAGES, ("content",), content=list(kept))["content"].to_pylist())
        new = [one for content, one in kept.items() if content not in known]
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

    def measure(self, transaction: Transaction) -> None:
        """Note what is kept in all."""
        if self.policy.is_on:
            self.report.total_pages = int(str(transaction.scalar("SELECT count(*) FROM {schema}._raw_pages") or 0))
            self.report.total_bytes = int(str(transaction.scalar("SELECT sum(stored) FROM {schema}._raw_pages") or 0))


def asked(request: PageRequest) -> dict[str, str | None]:
    """The request as the tables keep it: without credentials."""
    return {
        "method": request.method,
        "path": request.path,
        "query": urlencode(request.params),
        "body": msgspec.json.encode(request.body).decode() if request.body is not None else None,
    }


def _walked(served: ServedPage) -> dict[str, Any]:
    sweep = served.sweep
    return asked(served.request) | {
        "sweep_id": sweep.sweep_id,
        "number": served.number,
        "stream": sweep.stream.name,
        "company_id": sweep.company_id,
        "span_start": sweep.span.start if sweep.span else None,
        "span_end": sweep.span.end if sweep.span else None,
        "parent_id": sweep.parent_id,
        "parent_state": sweep.parent_state,
        "floor_at": sweep.floor,
        "started_at": sweep.started_at,
        "cursor": served.cursor_in,
        "fetched_at": served.fetched_at,
        "served": served.sha256,
    }


def _told(sweep: Sweep) -> dict[str, Any]:
    """A sweep at its end: what it read, and what it can prove."""
    return {
        "sweep_id": sweep.sweep_id,
        "company_id": sweep.company_id,
        "span": [sweep.span.start, sweep.span.end] if sweep.span else None,
        "parent_id": sweep.parent_id,
        "parent_state": sweep.parent_state,
        "floor": sweep.floor,
        "started_at": sweep.started_at,
        "pages": sweep.pages,
        "proves_absence": sweep.proves_absence,
        "failed": sweep.error is not None,
    }
