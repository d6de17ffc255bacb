"""A date or time outside the years 0001 to 9999 sets its record aside, in every field of every stream."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pleo_connector.catalogue import CATALOGUE, Stream
from tests.frames.records import entry, example, first, load

MOMENT, DAY = "2026-01-02T03:04:05.678Z", "2026-01-02"
OUTSIDE = ("0000-12-31", "10000-01-01", "+10000-01-01", "-0001-01-01", "-2147-01-01")


@pytest.mark.parametrize("stream", CATALOGUE, ids=lambda stream: stream.name)
def test_every_date_and_time_of_a_stream(stream: Stream) -> None:
    text = json.dumps(example(stream, full=True))
    places = list(re.finditer(f'"{DAY}(T[^"]*)?"', text))
    assert places or not any(column.type.value in ("timestamp", "date") for column in stream.columns)
    for number, place in enumerate(places):
        record = text[: place.start()] + f'"{OUTSIDE[number % len(OUTSIDE)]}{place[1] or ""}"' + text[place.end() :]
        batch = load(record.encode(), stream=stream)
        reasons = [str(reason) for reason in batch.quarantined["reason"]]
        assert len(reasons) == 1 and reasons[0].endswith("of the years 0001 to 9999"), (place.group(), reasons)


@given(
    moment=st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999_999)),  # noqa: DTZ001 - with and without an offset
    hours=st.integers(-14, 14),
    digits=st.sampled_from(["", ".0", ".123456789", ".999999999"]),
)
def test_what_lies_within_in_utc_is_kept_exactly(moment: datetime, hours: int, digits: str) -> None:
    text = moment.replace(microsecond=0).isoformat() + digits
    offset = f"{'-' if hours < 0 else '+'}{abs(hours):02}:00"
    batch = load(entry(performedAt=text + offset))
    try:
        utc = datetime.fromisoformat(text).replace(tzinfo=timezone(timedelta(hours=hours))).astimezone(UTC)
    except OverflowError:
        assert list(batch.quarantined["field"]) == ["performedAt"]
        return
    assert first(batch)["performed_at"] == utc
