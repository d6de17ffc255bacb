"""ISO 4217: how many decimals the smallest unit of each currency has."""

from __future__ import annotations

from functools import cache

from iso4217 import Currency

WITHDRAWN = {
    "ANG": 2, "BGN": 2, "BYR": 0, "CUC": 2, "HRK": 2, "LTL": 2, "MRO": 2,
    "RUR": 2, "SLL": 2, "STD": 2, "USS": 2, "VEF": 2, "ZWL": 2,
}  # fmt: skip
"""Codes that left the standard but stay on old entries."""


@cache
def exponents() -> dict[str, int]:
    """Decimals by code; codes without a smallest unit (gold, test codes) are left out."""
    current = {currency.code: currency.exponent for currency in Currency if currency.exponent is not None}
    return {**WITHDRAWN, **current}
