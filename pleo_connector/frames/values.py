"""One declared value from its text to the warehouse's types, a column at a time.

The usual form of a value is read by Arrow. What is written otherwise goes to DuckDB, whose
casts give NULL for what is impossible instead of refusing the column.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal
from functools import cache

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from pleo_connector.catalogue import LogicalType
from pleo_connector.catalogue.types import AMOUNT_SCALE, MONEY_SCALE, RATE_SCALE, UNDEFINED, VALUE_SCALE
from pleo_connector.frames.currencies import exponents
from pleo_connector.frames.reading import literal, select

_OFFSET = r"([Zz]|[+-]\d\d(:?[0-5]\d)?)?"
_ISO = rf"\d{{4}}-\d\d-\d\d[Tt ]\d\d:\d\d(:\d\d([.,]\d+)?)?{_OFFSET}"
_ISO_DATE = rf"\d{{4}}-\d\d-\d\d([Tt ]\d\d:\d\d(:\d\d([.,]\d+)?)?{_OFFSET})?"

USUAL = {
    LogicalType.UUID: "^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$",
    LogicalType.INTEGER: r"^(0|-?[1-9]\d{0,17})$",
    LogicalType.BOOLEAN: "^(true|false)$",
    LogicalType.TIMESTAMP: r"^([1-9]\d{3}|0[1-9]\d\d|00[1-9]\d|000[1-9])-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$",
}
"""The form that Arrow reads."""

_SIX_PLACES = r"-?\d+(\.\d{1,6})?|-?\d(\.\d{1,2})?e-04|-?\d(\.\d)?e-05|-?\de-06"
"""Numbers of at most `VALUE_SCALE` places, as the JSON reader writes them."""
_DECIMALS = 2
_HUNDREDTH = pa.scalar(Decimal("0.01"), pa.decimal128(3, 2))
_UTC_DIGITS = len("2026-01-02T03:04:05.123456")


def _moment(raw: pa.Array) -> pa.Array:
    """Digits after the sixth are cut off, not rounded."""
    return pc.utf8_slice_codeunits(pc.ascii_rtrim(raw, "Z"), 0, _UTC_DIGITS).cast(pa.timestamp("us"))


_QUICK: dict[LogicalType, Callable[[pa.Array], pa.Array]] = {
    LogicalType.UUID: pc.ascii_lower,
    LogicalType.INTEGER: lambda raw: raw.cast(pa.int64()),
    LogicalType.BOOLEAN: lambda raw: pc.equal(raw, "true"),
    LogicalType.TIMESTAMP: _moment,
}


def _any_timestamp() -> str:
    """Every ISO 8601 date-time, to UTC; without an offset it is UTC already.

    DuckDB's own cast ignores offsets, and its 1.4 wants seconds, so the pieces are put together here. A leap second (23:59:60 UTC)
    is the first second of the next day, as in PostgreSQL: no warehouse has a place of its own for it.
    """
    seconds = "coalesce(nullif(regexp_extract(rec, '^.{16}(:\\d\\d([.,]\\d+)?)', 1), ''), ':00')"
    offset = "regexp_extract(rec, '^.{16,}([+-])(\\d\\d):?(\\d\\d)?$', ['sign', 'hours', 'minutes'])"
    minutes = f"coalesce(TRY_CAST({offset}.hours AS INTEGER), 0) * 60 + coalesce(TRY_CAST({offset}.minutes AS INTEGER), 0)"
    shift = f"to_minutes(CASE WHEN {offset}.sign = '-' THEN 1 ELSE -1 END * ({minutes}))"

    def moment(seconds: str) -> str:
        return f"TRY_CAST((substr(rec, 1, 10) || ' ' || substr(rec, 12, 5) || replace({seconds}, ',', '.')) AS TIMESTAMP) + {shift}"

    after_leap = moment(f"replace({seconds}, ':60', ':59')") + " + INTERVAL 1 SECOND"
    return (
        f"CASE WHEN NOT regexp_full_match(rec, {literal(_ISO)}) THEN NULL WHEN NOT starts_with({seconds}, ':60') THEN {moment(seconds)}"
        f" WHEN date_trunc('second', {after_leap}) = date_trunc('day', {after_leap}) THEN {after_leap} END"
    )


_COMPLETE = {
    LogicalType.UUID: "CASE WHEN length(rec) IN (36, 32) THEN TRY_CAST(rec AS UUID)::VARCHAR END",
    LogicalType.INTEGER: (
        "TRY_CAST(CASE WHEN ends_with(rec, '.0') THEN left(rec, -2)"
        " WHEN NOT contains(rec, '.') AND NOT contains(rec, 'e') THEN rec END AS BIGINT)"
    ),
    LogicalType.RATE: f"TRY_CAST(rec AS DECIMAL(18, {RATE_SCALE}))",
    # The JSON reader holds 15 digits beside a point: what it may have rounded is not known exactly.
    LogicalType.MONEY_TIMES_100: (
        f"CASE WHEN regexp_full_match(rec, {literal(_SIX_PLACES)})"
        " AND (NOT contains(rec, '.') OR length(replace(replace(rec, '-', ''), '.', '')) <= 15)"
        f" THEN TRY_CAST(rec AS DECIMAL(28, {VALUE_SCALE})) END"
    ),
    LogicalType.TIMESTAMP: _any_timestamp(),
    LogicalType.DATE: f"CASE WHEN regexp_full_match(rec, {literal(_ISO_DATE)}) THEN TRY_CAST(substr(rec, 1, 10) AS DATE) END",
}

WANTED = {
    LogicalType.UUID: "a UUID",
    LogicalType.BOOLEAN: "true or false",
    LogicalType.INTEGER: "a 64-bit integer",
    LogicalType.RATE: "a decimal number",
    LogicalType.MONEY_TIMES_100: "a number that is known exactly",
    LogicalType.TIMESTAMP: "an ISO 8601 date-time of the years 0001 to 9999",
    LogicalType.DATE: "an ISO 8601 date of the years 0001 to 9999",
}
"""What the declaration promises, in words for a reason."""


_YEARS: dict[LogicalType, tuple[date, date]] = {
    LogicalType.TIMESTAMP: (datetime.min, datetime.max),  # noqa: DTZ901 - UTC
    LogicalType.DATE: (date.min, date.max),
}
"""The first and last values that every warehouse and its readers hold, in UTC."""


def _complete(con: duckdb.DuckDBPyConnection, kind: LogicalType, raw: pa.Array) -> pa.Array:
    value = select(con, _COMPLETE[kind], raw)
    if kind not in _YEARS:
        return value
    first, last = _YEARS[kind]
    held = pc.and_(pc.greater_equal(value, first), pc.less_equal(value, last))
    return pc.if_else(held, value, None)


def typed(con: duckdb.DuckDBPyConnection, kind: LogicalType, raw: pa.Array) -> pa.Array:
    """The values; NULL for what is absent or impossible. Text, and JSON, stay as they are."""
    if kind in (LogicalType.COUNTRY, LogicalType.CURRENCY):
        return pc.if_else(pc.equal(raw, UNDEFINED), pa.scalar(None, pa.string()), raw)
    if kind not in WANTED:
        return raw
    if kind not in USUAL:
        return _complete(con, kind, raw)
    usual = pc.match_substring_regex(raw, USUAL[kind])
    odd = pc.invert(usual)
    mixed = pc.any(odd).as_py()
    try:
        quick = _QUICK[kind](pc.if_else(usual, raw, pa.scalar(None, raw.type)) if mixed else raw)
    except pa.ArrowInvalid:  # the thirteenth month
        return _complete(con, kind, raw)
    if not mixed or kind not in _COMPLETE:
        return quick
    odd = pc.fill_null(odd, fill_value=False)
    slow = _complete(con, kind, raw.filter(odd))
    return pc.replace_with_mask(quick, odd, slow.cast(quick.type))


@cache
def _units() -> tuple[pa.Array, pa.Array]:
    """Currency codes, and what one smallest unit of each is worth."""
    known = exponents()
    units = [Decimal(1).scaleb(-exponent) for exponent in known.values()]
    return pa.array(list(known), pa.string()), pa.array(units, pa.decimal128(5, MONEY_SCALE))


def amounts(minors: pa.Array, currency: pa.Array) -> pa.Array:
    """Exact amounts; NULL where the currency is unknown to ISO 4217 or has no smallest unit."""
    codes, units = _units()
    exact = pc.multiply(minors.cast(pa.decimal128(19, 0)), units.take(pc.index_in(currency, codes)))
    return exact.cast(pa.decimal128(38, MONEY_SCALE))


@cache
def _two_decimals() -> pa.Array:
    return pa.array([code for code, exponent in exponents().items() if exponent == _DECIMALS], pa.string())


def hundredths(value: pa.Array, currency: pa.Array) -> pa.Array:
    """Exact hundredths of values served times 100; NULL where the currency has not two decimals: Pleo documents no rule for those."""
    unit = pc.if_else(pc.is_in(currency, _two_decimals()), _HUNDREDTH, None)
    exact = pc.multiply(value.cast(pa.decimal128(28, VALUE_SCALE)), unit)
    return exact.cast(pa.decimal128(38, AMOUNT_SCALE))


def has_unit(currency: pa.Array) -> pa.Array:
    """Whether a code has a known smallest unit; false for no code."""
    return pc.is_in(currency, _units()[0])
