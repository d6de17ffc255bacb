"""The raw landing read back: loads in the order of their commits, with their pages and sweeps."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from urllib.parse import parse_qsl

import msgspec

from pleo_connector.api import Interval, PageRequest
from pleo_connector.catalogue import Catalogue, Stream
from pleo_connector.errors import ConfigurationError, PleoError
from pleo_connector.frames import cut_page, split_page
from pleo_connector.sync.raw_folder import RawFolder
from pleo_connector.sync.raw_packing import PackedPage, unpacked
from pleo_connector.sync.raw_tables import RAW_LOADS, RAW_PAGES, RAW_REQUESTS
from pleo_connector.sync.sweep import ServedPage, Sweep, served_page
from pleo_connector.warehouses import Transaction


class SweepEnd(msgspec.Struct):
    """A sweep at its end, as `raw.land` recorded it."""

    sweep_id: str
    started_at: datetime
    pages: int
    proves_absence: bool
    failed: bool
    company_id: str | None = None
    span: tuple[datetime, datetime] | None = None
    parent_id: str | None = None
    parent_state: str | None = None
    floor: datetime | None = None
    tier: str | None = None


class StreamEnd(msgspec.Struct):
    """How a stream ended in a run."""

    stream: str
    allow_mass_delete: bool
    whole: list[str]
    sweeps: list[SweepEnd]
    abandoned: list[SweepEnd]


@dataclass(frozen=True, slots=True)
class RawLoad:
    """One transaction of a run: rows of `_raw_requests` in their order, and what ended."""

    run: str
    at: datetime
    requests: Sequence[Mapping[str, Any]]
    ended: Sequence[StreamEnd]


PAGES = 200
"""How many are unpacked at once; a load may have many more."""


@dataclass(slots=True)
class RawReader:
    """Reads the landing of some streams. Sweeps keep their state from load to load, as they did when they were walked."""

    transaction: Transaction
    catalogue: Catalogue
    streams: Collection[str]
    folder: RawFolder | None
    _sweeps: dict[str, Sweep] = field(default_factory=dict)

    def loads(self) -> Iterator[RawLoad]:
        """The loads of these streams, oldest first; nothing of their pages is read yet."""
        by_load: dict[tuple[int, str], list[dict[str, Any]]] = {}
        for row in self.transaction.read(RAW_REQUESTS, stream=sorted(self.streams)).to_pylist():
            by_load.setdefault((row["load"], row["run"]), []).append(row)
        loads = sorted(self.transaction.read(RAW_LOADS).to_pylist(), key=lambda row: (row["load"], row["loaded_at"], row["run"]))
        for row in loads:
            requests = sorted(by_load.get((row["load"], row["run"]), []), key=lambda request: request["place"])
            ended = [end for end in msgspec.json.decode(row["ended"], type=list[StreamEnd]) if end.stream in self.streams]
            if requests or ended:
                yield RawLoad(row["run"], row["loaded_at"], requests, ended)

    def pages(self, load: RawLoad) -> Iterator[tuple[list[ServedPage], dict[str, PackedPage]]]:
        """The pages of a load in portions, as if they had just been served, with the stored pages that need no change, by fingerprint as served."""
        for start in range(0, len(load.requests), PAGES):
            requests = load.requests[start : start + PAGES]
            contents = sorted({row["content"] for row in requests})
            stored = {row["content"]: row for row in self.transaction.read(RAW_PAGES, content=contents).to_pylist()}
            pages: list[ServedPage] = []
            packed_pages: dict[str, PackedPage] = {}
            for row in requests:
                page, packed_page = self._page(row, stored.get(row["content"]))
                pages.append(page)
                if packed_page is not None:
                    packed_pages[page.sha256] = packed_page
            yield pages, packed_pages

    def sweep(self, stream: Stream, end: SweepEnd) -> Sweep | None:
        """A sweep as it ended; None when its pages are no longer stored."""
        sweep = self._sweeps.get(end.sweep_id)
        if sweep is None:
            if end.pages:
                return None
            span = Interval(*end.span) if end.span is not None else None
            sweep = Sweep(
                stream,
                end.company_id,
                span,
                end.parent_id,
                end.parent_state,
                end.floor,
                tier=end.tier,
                sweep_id=end.sweep_id,
                started_at=end.started_at,
            )
        sweep.proves_absence = end.proves_absence
        sweep.error = PleoError("The sweep failed when it was walked.") if end.failed else None
        return sweep

    def _page(self, row: Mapping[str, Any], stored: Mapping[str, Any] | None) -> tuple[ServedPage, PackedPage | None]:
        stream = self.catalogue.stream(row["stream"])
        if stored is None or (stored["page"] is None and self.folder is None):
            raise ConfigurationError(
                f"The raw page {row['content'][:12]}… of {stream.name} is not in the warehouse; set PLEO_RAW to the folder that holds it."
            )
        packed = stored["page"] if stored["page"] is not None or self.folder is None else self.folder.read(row["content"])
        body = unpacked(packed, stored["size"])
        sweep = self._sweeps.setdefault(row["sweep_id"], _sweep(stream, row))
        request = PageRequest(
            row["method"],
            row["path"],
            str(sweep),
            stream.scope,
            tuple(parse_qsl(row["query"], keep_blank_values=True)),
            msgspec.json.decode(row["body"]) if row["body"] is not None else None,
            row["cursor"],
        )
        # The rules may drop fields now that they kept then.
        page, cut = cut_page(stream, split_page(body, stream.paging, f"page {row['number']} of {sweep}"), body)
        served = served_page(sweep, row["number"], row["cursor"], page, cut, request, row["served"], row["fetched_at"])
        return served, PackedPage(row["content"], stored["size"], packed) if cut == body else None


def _sweep(stream: Stream, row: Mapping[str, Any]) -> Sweep:
    return Sweep(
        stream,
        row["company_id"],
        Interval.of(row["span_start"], row["span_end"]),
        row["parent_id"],
        row["parent_state"],
        row["floor_at"],
        tier=row["tier"],
        sweep_id=row["sweep_id"],
        started_at=row["started_at"],
    )
