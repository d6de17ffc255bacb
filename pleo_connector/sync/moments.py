"""Times read straight from raw records, where a walk must know them before the record is typed."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import cache

import msgspec

from pleo_connector.catalogue import Stream
from pleo_connector.frames import Page


def moment_in(page: Page, place: int, stream: Stream, column: str) -> datetime | None:
    """The time in `column` of the record at `place` (0 the first, -1 the last) of a page; None when the page is empty."""
    return moments_of([page.records[place]], stream, column)[0] if page.records else None


def moments_of(records: Iterable[bytes | msgspec.Raw], stream: Stream, column: str) -> list[datetime | None]:
    """The time in `column` of each record, in UTC. None when the record does not say: it is quarantined when it is loaded."""
    decoder = _decoder(next(declared.source for declared in stream.columns if declared.name == column))
    return [_moment(record, decoder) for record in records]


class _Timed(msgspec.Struct):
    moment: str


@cache
def _decoder(source: str) -> msgspec.json.Decoder[_Timed]:
    """Reads one field of a record and passes over the rest."""
    return msgspec.json.Decoder(msgspec.defstruct("_Timed", [("moment", str)], bases=(_Timed,), rename={"moment": source}))


def _moment(record: bytes | msgspec.Raw, decoder: msgspec.json.Decoder[_Timed]) -> datetime | None:
    try:
        moment = datetime.fromisoformat(decoder.decode(record).moment)
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (msgspec.DecodeError, ValueError, OverflowError):  # the last: year 0 or 10000 in UTC
        return None
