"""Records that other walks are for: tag groups for their columns, export jobs for their items.

They are listed anew by each run, and the walks of their records wait for the list.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import msgspec

from pleo_connector.catalogue import Parent, Stream, SyncMode
from pleo_connector.errors import PleoError
from pleo_connector.sync.sweep import ServedPage


class _Listed(msgspec.Struct, rename="camel"):
    id: uuid.UUID
    status: str | None = None
    last_updated_at: str | None = None


@dataclass(frozen=True, slots=True)
class ParentRecord:
    """The parent record of a walk."""

    id: str
    status: str
    state: str
    """Status and last change as listed: while it stays the same, a final record's own records stay the same."""

    def is_open(self, parent: Parent) -> bool:
        """Whether its records may still change; an unknown status counts as open."""
        return self.status not in parent.final


@dataclass(slots=True)
class ParentRecords:
    """The records of one parent stream, as this run listed them; `done` is set when the list is complete."""

    records: dict[str | None, dict[str, ParentRecord]] = field(default_factory=dict)
    """By company and key."""
    failed: dict[str | None, PleoError] = field(default_factory=dict)
    """Companies whose list could not be read to its end."""
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def note(self, served: ServedPage) -> None:
        """Remember a page's records; one without a readable key is left to the load, which quarantines it."""
        of_company = self.records.setdefault(served.sweep.company_id, {})
        for record in served.page.records:
            try:
                listed = msgspec.json.decode(record, type=_Listed)
            except msgspec.DecodeError:
                continue
            key = str(listed.id)
            of_company[key] = ParentRecord(key, listed.status or "", f"{listed.status} {listed.last_updated_at}")


def due(stream: Stream, parent: Parent, records: Iterable[ParentRecord], done: Mapping[str, str], *, full: bool) -> Iterator[ParentRecord]:
    """The parents whose records are read now; `done` maps parents to their state when their records were last read to the end."""
    for record in records:
        is_open = record.is_open(parent)
        changed = stream.mode is SyncMode.SNAPSHOT or full or done.get(record.id) != record.state
        if is_open or (changed and not parent.only_open):
            yield record
