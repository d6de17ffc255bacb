"""Times read straight from raw records, where a walk must know them before the record is typed."""

from __future__ import annotations

from datetime import UTC, datetime

import msgspec

from pleo_connector.catalogue import Stream
from pleo_connector.frames import Page


def moment_in(page: Page, place: int, stream: Stream, column: str) -> datetime | None:
    """The time in `column` of the record at `place` (0 the first, -1 the last) of a page, in UTC.

    None when the page is empty or the record does not say: such a record is quarantined when it is loaded.
    """
    if not page.records:
        return None
    source = next(declared.source for declared in stream.columns if declared.name == column)
    try:
        value = msgspec.json.decode(page.records[place], type=dict[str, msgspec.Raw])[source]
        moment = datetime.fromisoformat(msgspec.json.decode(value, type=str))
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except (msgspec.DecodeError, KeyError, ValueError, OverflowError):  # the last: year 0 or 10000 in UTC
        return None
