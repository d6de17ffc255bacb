"""SQL for one declared value: from its JSON text as served to the warehouse's types.

Every expression takes `raw`, SQL for the JSON text of the value (a string keeps its quotes), and
gives NULL for a value that is absent, null, or impossible; the caller tells these apart by `raw`.
"""

from __future__ import annotations

from pleo_connector.catalogue.types import NIL_UUID, RATE_SCALE, UNDEFINED, LogicalType

_ISO = r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d([.,]\d+)?)?([Zz]|[+-]\d\d(:?[0-5]\d)?)?"
_ISO_DATE = r"\d{4}-\d\d-\d\d([Tt ]\d\d:\d\d(:\d\d([.,]\d+)?)?([Zz]|[+-]\d\d(:?[0-5]\d)?)?)?"


def quoted(name: str) -> str:
    """An SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(value: str) -> str:
    """An SQL string."""
    return "'" + value.replace("'", "''") + "'"


def inner(raw: str) -> str:
    """The characters between a string's quotes, still escaped; NULL when it is no string."""
    return f"CASE WHEN starts_with({raw}, '\"') THEN substring({raw}, 2, length({raw}) - 2) END"


def text(raw: str) -> str:
    """A string's content; numbers and booleans as their text; NULL for objects and lists."""
    plain = f"substring({raw}, 2, length({raw}) - 2)"
    string = f"CASE WHEN contains({raw}, '\\') THEN json_extract_string({raw}, '$') ELSE {plain} END"
    return f"CASE WHEN starts_with({raw}, '\"') THEN {string} WHEN NOT {is_container(raw)} THEN {raw} END"


def is_container(raw: str) -> str:
    """Whether the value is an object or a list."""
    return f"(starts_with({raw}, '{{') OR starts_with({raw}, '['))"


def uuid(raw: str) -> str:
    """Canonical lower-case text."""
    return f"CASE WHEN length({raw}) IN (38, 34) THEN TRY_CAST({inner(raw)} AS UUID)::VARCHAR END"


def integer(raw: str) -> str:
    """Exact 64 bits; 15.0 is an integer, 1.5 and 1e-7 are not."""
    whole = (
        f"CASE WHEN ends_with({raw}, '.0') THEN left({raw}, -2) WHEN NOT contains({raw}, '.') AND NOT contains({raw}, 'e') THEN {raw} END"
    )
    return f"TRY_CAST({whole} AS BIGINT)"


def boolean(raw: str) -> str:
    """True or false, and nothing that looks like them."""
    return f"CASE {raw} WHEN 'true' THEN true WHEN 'false' THEN false END"


def rate(raw: str) -> str:
    """An exact decimal; a number in quotes is not one."""
    return f"TRY_CAST({raw} AS DECIMAL(18, {RATE_SCALE}))"


def timestamp(raw: str) -> str:
    """The usual form, `YYYY-MM-DDTHH:MM:SS[.digits]Z`; digits after the sixth are cut off, not rounded."""
    usual = f"{raw}[12] = 'T' AND ends_with({raw}, 'Z\"') AND length({raw}) >= 22 AND NOT contains({raw}, ' ')"
    return f"CASE WHEN {usual} THEN TRY_CAST({inner(raw)} AS TIMESTAMP) END"


def any_timestamp(raw: str) -> str:
    """Every ISO 8601 date-time, to UTC; without an offset it is UTC already.

    DuckDB's own cast ignores offsets, and its 1.4 wants seconds, so the pieces are put together here.
    """
    value = inner(raw)
    day, clock = f"substr({value}, 1, 10)", f"substr({value}, 12, 5)"
    seconds = f"coalesce(nullif(regexp_extract({value}, '^.{{16}}(:\\d\\d([.,]\\d+)?)', 1), ''), ':00')"
    offset = f"regexp_extract({value}, '^.{{16,}}([+-])(\\d\\d):?(\\d\\d)?$', ['sign', 'hours', 'minutes'])"
    minutes = f"coalesce(TRY_CAST({offset}.hours AS INTEGER), 0) * 60 + coalesce(TRY_CAST({offset}.minutes AS INTEGER), 0)"
    moment = f"TRY_CAST(({day} || ' ' || {clock} || replace({seconds}, ',', '.')) AS TIMESTAMP)"
    shift = f"to_minutes(CASE WHEN {offset}.sign = '-' THEN 1 ELSE -1 END * ({minutes}))"
    return f"CASE WHEN regexp_full_match({value}, {literal(_ISO)}) THEN {moment} + {shift} END"


def date(raw: str) -> str:
    """The day as served, of a date or a date-time."""
    value = inner(raw)
    return f"CASE WHEN regexp_full_match({value}, {literal(_ISO_DATE)}) THEN TRY_CAST(substr({value}, 1, 10) AS DATE) END"


def known(raw: str) -> str:
    """A string's content, `UNDEFINED` being none."""
    return f"nullif({text(raw)}, {literal(UNDEFINED)})"


def nil_to_null(value: str) -> str:
    """NULL for Pleo's "do not know"."""
    return f"nullif({value}, {literal(NIL_UUID)})"


SIMPLE = {
    LogicalType.TEXT: text,
    LogicalType.COUNTRY: known,
    LogicalType.CURRENCY: known,
    LogicalType.UUID: uuid,
    LogicalType.UUID_OR_UNKNOWN: uuid,
    LogicalType.BOOLEAN: boolean,
    LogicalType.INTEGER: integer,
    LogicalType.RATE: rate,
    LogicalType.TIMESTAMP: timestamp,
    LogicalType.DATE: date,
}
"""How each type that is one JSON value is read; MONEY and JSON are read by the plan."""

WANTED = {
    LogicalType.TEXT: "text",
    LogicalType.COUNTRY: "text",
    LogicalType.CURRENCY: "text",
    LogicalType.UUID: "a UUID",
    LogicalType.UUID_OR_UNKNOWN: "a UUID",
    LogicalType.BOOLEAN: "true or false",
    LogicalType.INTEGER: "a 64-bit integer",
    LogicalType.RATE: "a decimal number",
    LogicalType.TIMESTAMP: "an ISO 8601 date-time",
    LogicalType.DATE: "an ISO 8601 date",
}
"""What the declaration promises, in words for a reason."""
