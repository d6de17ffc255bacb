"""Times as Pleo writes them (ISO 8601, UTC, 0 to 9 fractional digits) and as integers of nanoseconds."""

from __future__ import annotations

import datetime as dt
import re
from functools import lru_cache

SECOND = 1_000_000_000
DAY = 86_400 * SECOND

_DIGITS = 9
_FORM = re.compile(r"([+-]?\d{4,})(-\d\d-\d\d[Tt]\d\d:\d\d:\d\d)(?:\.(\d{1,9})\d*)?([Zz]|[+-]\d\d:\d\d)")
_CYCLE, _DAYS_OF_CYCLE = 400, 146_097
"""Years after which the calendar repeats itself, and the days in them."""
_EPOCH = dt.date(1970, 1, 1)


def nanoseconds(text: str) -> int:
    """Nanoseconds since 1970 in UTC, of any year; ValueError for anything that is not a date-time with an offset."""
    match = _FORM.fullmatch(text)
    if match is None:
        raise ValueError(f"not a date-time: {text!r}")
    year, rest, fraction, offset = match.groups()
    cycles, within = divmod(int(year), _CYCLE)
    moment = dt.datetime.fromisoformat(f"{within + 5 * _CYCLE}{rest.upper()}" + ("+00:00" if offset in "Zz" else offset))
    days = (cycles - 5) * _DAYS_OF_CYCLE
    return days * DAY + int(moment.timestamp()) * SECOND + int((fraction or "").ljust(_DIGITS, "0"))


def iso(moment: int, digits: int) -> str:
    """Nanoseconds as text with that many fractional digits; what does not fit is cut off."""
    days, rest = divmod(moment, DAY)
    seconds, fraction = divmod(rest, SECOND)
    minutes, second = divmod(seconds, 60)
    hour, minute = divmod(minutes, 60)
    text = f"{_day(days)}T{hour:02}:{minute:02}:{second:02}"
    return f"{text}.{fraction:09}"[: len(text) + 1 + digits] + "Z" if digits else f"{text}Z"


@lru_cache(maxsize=4096)
def _day(days: int) -> str:
    return (_EPOCH + dt.timedelta(days=days)).isoformat()
