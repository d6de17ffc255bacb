"""The closed set of types: what a Pleo field means, and how a warehouse stores it.

A `LogicalType` says what a JSON value means. It becomes one or more `Field`s, each with a
`Storage` kind, and `Storage` is all that a warehouse has to know about types.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

NIL_UUID = "00000000-0000-0000-0000-000000000000"
"""Pleo sends this in `accountId` and `tagId` when the user chose "do not know"."""

UNDEFINED = "UNDEFINED"
"""A legal country and currency at Pleo that stands for none."""

MONEY_SCALE = 4
"""Decimal places of every money column: ISO 4217 knows no currency with more."""

RATE_SCALE = 9

VALUE_SCALE = 6
"""Decimal places of an amount that is served times 100; more make its record impossible rather than rounded."""

AMOUNT_SCALE = VALUE_SCALE + 2


class Storage(StrEnum):
    """How a warehouse keeps a value; each warehouse maps these eleven to its own types."""

    TEXT = "text"
    UUID = "uuid"
    BOOLEAN = "boolean"
    BIGINT = "bigint"
    MONEY = "money"
    """DECIMAL(38, 4)."""
    AMOUNT = "amount"
    """DECIMAL(38, 8)."""
    RATE = "rate"
    """DECIMAL(18, 9)."""
    TIMESTAMP = "timestamp"
    """UTC, microseconds."""
    DATE = "date"
    JSON = "json"
    BYTES = "bytes"
    """Bytes as they are. No Pleo field has them: they hold pages as they were served, compressed."""


class LogicalType(StrEnum):
    """What a JSON value means."""

    TEXT = "text"
    UUID = "uuid"
    UUID_OR_UNKNOWN = "uuid_or_unknown"
    """A UUID whose all-zero value means "do not know": NULL and a boolean `<name>_unknown`."""
    BOOLEAN = "boolean"
    INTEGER = "integer"
    MONEY = "money"
    """`{currency, minors}`: minors count the currency's own smallest unit."""
    MONEY_TIMES_100 = "money_times_100"
    """`{currency, value}` of export items: value is the amount times 100, and not the same thing as minors."""
    RATE = "rate"
    """A fraction: 20 % is 0.20."""
    TIMESTAMP = "timestamp"
    DATE = "date"
    JSON = "json"
    """Free-form data, kept as served."""
    COUNTRY = "country"
    """Text; `UNDEFINED` becomes NULL."""
    CURRENCY = "currency"
    """Text; `UNDEFINED` becomes NULL."""


_STORAGE = {
    LogicalType.TEXT: Storage.TEXT,
    LogicalType.UUID: Storage.UUID,
    LogicalType.UUID_OR_UNKNOWN: Storage.UUID,
    LogicalType.BOOLEAN: Storage.BOOLEAN,
    LogicalType.INTEGER: Storage.BIGINT,
    LogicalType.MONEY: Storage.MONEY,
    LogicalType.MONEY_TIMES_100: Storage.AMOUNT,
    LogicalType.RATE: Storage.RATE,
    LogicalType.TIMESTAMP: Storage.TIMESTAMP,
    LogicalType.DATE: Storage.DATE,
    LogicalType.JSON: Storage.JSON,
    LogicalType.COUNTRY: Storage.TEXT,
    LogicalType.CURRENCY: Storage.TEXT,
}


@dataclass(frozen=True, slots=True)
class Field:
    """One column of a warehouse table."""

    name: str
    storage: Storage
    description: str
    personal: bool = False


def fields_of(name: str, kind: LogicalType, description: str, *, personal: bool = False) -> tuple[Field, ...]:
    """The warehouse columns that one declared column becomes, in order."""
    main = Field(name, _STORAGE[kind], description, personal)
    if kind is LogicalType.MONEY:
        exact = f"{description} Exact, in units of the currency; NULL when the currency is not an ISO 4217 one."
        return (
            Field(name, Storage.MONEY, exact, personal),
            Field(f"{name}_minors", Storage.BIGINT, f"{description} As served: in the currency's smallest unit.", personal),
            Field(f"{name}_currency", Storage.TEXT, f"{description} The ISO 4217 code.", personal),
        )
    if kind is LogicalType.MONEY_TIMES_100:
        exact = (
            f"{description} Exact, in units of the currency: the served value divided by 100. NULL when the currency has not two decimals "
            "or is none: Pleo does not say what its value counts there."
        )
        served = f"{description} As served: the amount times 100. For currencies without two decimals Pleo documents no rule."
        return (
            Field(name, Storage.AMOUNT, exact, personal),
            Field(f"{name}_value", Storage.AMOUNT, served, personal),
            Field(f"{name}_currency", Storage.TEXT, f"{description} The ISO 4217 code.", personal),
        )
    if kind is LogicalType.UUID_OR_UNKNOWN:
        return (main, Field(f"{name}_unknown", Storage.BOOLEAN, f"True when Pleo's user chose 'do not know' for {name}.", personal))
    return (main,)


def snake_case(source: str) -> str:
    """`companyId` -> `company_id`, `address.addressLine1` -> `address_address_line1`."""
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", source.replace(".", "_"))
    return words.lower()
