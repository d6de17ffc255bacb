"""Generated accounting entries: entry number i is computed when asked for, never stored.

Numbers run in order of `performedAt`, over all companies, so a date window is a bisection. The
same seed and number of rows give the same entries. An id carries its number, scrambled.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import msgspec

from pleo_connector.catalogue import CATALOGUE
from pleo_connector.catalogue.types import NIL_UUID
from pleo_connector.errors import ConfigurationError
from pleo_connector.sandbox.samples import Record, Stored
from pleo_connector.sandbox.times import DAY, SECOND, iso, nanoseconds

FIRST = nanoseconds("2025-10-01T00:00:00Z")
LAST = nanoseconds("2026-11-22T00:00:00Z")
PERIOD = LAST - FIRST

STREAM = CATALOGUE.stream("accounting_entries").name

_COARSE = 4 * SECOND  # above this distance times may be cut to whole seconds and stay in order
_SHARES = (0, 1, 0, 2, 1, 0, 3, 2, 0, 1)  # which company each of ten entries in a row belongs to
_SCRAMBLE = 0x9E37_79B9_7F4B  # odd, so multiplying by it can be undone
_MASK = (1 << 48) - 1
_UNSCRAMBLE = pow(_SCRAMBLE, -1, 1 << 48)

# Shares of 256: how many entries are of a kind.
_REFUND = 10
_AT_HOME = 210
_SETTLED = 248
_REVIEWED = 200
_ACCOUNT_UNKNOWN = 8
_SPLIT = 26
_WITH_RECEIPT = 230

_HOME_CURRENCY = {"DK": "DKK", "DE": "EUR", "SE": "SEK", "FR": "EUR"}
_PER_HUNDRED = {"DKK": 10_000, "EUR": 1_340, "GBP": 1_150, "SEK": 14_900, "JPY": 2_180, "KWD": 4_600}
"""Smallest units that 100 kroner buy (10,000 øre)."""
_TRAVEL = ("EUR", "GBP", "SEK", "DKK", "JPY", "KWD")
_NOTES = (
    "Lunch with the team",
    "Taxi to the airport \\ud83d\\ude95",
    "Kaffe og k\\u00f8rsel",
    "B\\u00fcromaterial",
    "Tåg till Malmö",
    "Déjeuner client\\nrefacturable",
    "Software licence, monthly",
    "Hotel, 2 nights",
)
_FAMILIES = (
    ("CARD_PURCHASE", "ONLINE"),
    ("CARD_PURCHASE", "IN_STORE"),
    ("CARD_PURCHASE", "IN_STORE"),
    ("OUT_OF_POCKET", None),
    ("CARD_PURCHASE", "ONLINE"),
    ("MILEAGE", None),
    ("CARD_PURCHASE", "ONLINE"),
    ("BILL_INVOICE", None),
)


@dataclass(frozen=True, slots=True)
class _Company:
    """What entries of one company draw from."""

    id: str
    currency: str
    employees: tuple[str, ...]
    accounts: tuple[tuple[str, str], ...]
    tax_codes: tuple[str, ...]
    tags: tuple[str, ...]
    """JSON of `{tagGroupId, tagId}`, one per tag."""


class GeneratedEntries:
    """`rows` entries over the sample companies."""

    def __init__(self, rows: int, seed: int, samples: Mapping[str, Sequence[Stored]]) -> None:
        self.rows = rows
        self._companies = tuple(_company(stored.record, samples) for stored in samples["companies"][: max(_SHARES) + 1])
        if len(self._companies) <= max(_SHARES):
            raise ConfigurationError(f"Generated rows need {max(_SHARES) + 1} sample companies; there are {len(self._companies)}.")
        self.company_ids = tuple(company.id for company in self._companies)
        self._places = tuple(
            tuple(place for place, owner in enumerate(_SHARES) if owner == number) for number in range(len(self._companies))
        )
        step = PERIOD // max(rows, 1)
        self._coarse = step >= _COARSE
        self._step = step - step % SECOND if self._coarse else step
        self._key = hashlib.blake2b(f"entries {seed}".encode(), digest_size=32).digest()
        self._offset = int.from_bytes(self._key[:6])

    # --- where things are ----------------------------------------------------------------------

    def count(self, company_id: str) -> int:
        """How many entries a company has."""
        places = self._places[self.company_ids.index(company_id)]
        tens, rest = divmod(self.rows, len(_SHARES))
        return tens * len(places) + sum(place < rest for place in places)

    def number(self, company_id: str, position: int) -> int:
        """The number of a company's entry at `position`, counted in time order from 0."""
        places = self._places[self.company_ids.index(company_id)]
        tens, rest = divmod(position, len(places))
        return tens * len(_SHARES) + places[rest]

    def company_of(self, number: int) -> str:
        """The company of an entry."""
        return self.company_ids[_SHARES[number % len(_SHARES)]]

    def number_of(self, entry_id: str) -> int | None:
        """The number behind an id, or None when no generated entry has it."""
        try:
            number = (int(entry_id[-12:], 16) - self._offset) * _UNSCRAMBLE & _MASK
        except ValueError:
            return None
        return number if number < self.rows and self.id(number) == entry_id else None

    # --- what they hold ------------------------------------------------------------------------

    def _dice(self, number: int) -> bytes:
        return hashlib.blake2b(number.to_bytes(8), key=self._key, digest_size=32).digest()

    def id(self, number: int) -> str:
        """The entry's key."""
        return self._id(number, self._dice(number))

    def _id(self, number: int, dice: bytes) -> str:
        return f"{_uuid_start(dice)}-{(number * _SCRAMBLE + self._offset) & _MASK:012x}"

    def performed(self, number: int) -> int:
        """When the spend happened, in nanoseconds; grows with the number."""
        return self._performed(number, self._dice(number))

    def _performed(self, number: int, dice: bytes) -> int:
        moment = FIRST + number * self._step + (int.from_bytes(dice[27:32]) * self._step >> 40)
        unit = 10 ** (9 - dice[20] % 10) if self._coarse else 1
        return moment - moment % unit

    def is_deleted(self, number: int) -> bool:
        """Whether the entry has a deletion time."""
        return _is_deleted(self._dice(number))

    def record(self, number: int) -> Record:
        """The entry as a dictionary."""
        return msgspec.json.decode(self.body(number), type=Record)

    def body(self, number: int) -> bytes:
        """The entry as JSON. One template, because a page is a hundred of these."""
        dice = self._dice(number)
        company = self._companies[_SHARES[number % len(_SHARES)]]
        digits = dice[20] % 10 if self._coarse else 9
        performed = self._performed(number, dice)
        family, sub_family = _FAMILIES[dice[14] & 7]
        settled = performed + (1 + dice[21] % 3) * DAY + dice[22] * SECOND
        is_settled = settled < LAST and dice[21] < _SETTLED
        deleted = _is_deleted(dice)

        bill = 500 + int.from_bytes(dice[10:13]) % 400_000
        if dice[13] < _REFUND:
            bill = -bill
        currency = company.currency if dice[24] < _AT_HOME else _TRAVEL[dice[24] % 6]
        paid = bill if currency == company.currency else _exchanged(bill, company.currency, currency)

        account_id, account_code = company.accounts[dice[15] % len(company.accounts)]
        employee = company.employees[dice[16] % len(company.employees)]
        parts = [f'{{"id":"{self._id(number, dice)}","companyId":"{company.id}","employeeId":"{employee}","family":"{family}"']
        if sub_family:
            parts.append(f',"subFamily":"{sub_family}"')
        exported = is_settled and settled < LAST - 20 * DAY
        parts.append(
            f',"status":"{"COMPLETED" if is_settled else "PENDING"}","reviewStatus":"{"OK" if dice[26] < _REVIEWED else "WAITING_FOR_REVIEWER"}"'
            f',"exportStatus":"{"EXPORTED" if exported else "NOT_EXPORTED"}","performedAt":"{iso(performed, digits)}"'
        )
        if is_settled:
            booked = settled if family == "CARD_PURCHASE" else performed
            parts.append(f',"settledAt":"{iso(settled, digits)}","bookkeepingDate":"{iso(booked, digits)}"')
        parts.append(
            f',"transactionValue":{{"currency":"{currency}","minors":{paid}}},"totalBillValue":{{"currency":"{company.currency}","minors":{bill}}}'
        )
        if dice[25] < _ACCOUNT_UNKNOWN:
            parts.append(f',"accountId":"{NIL_UUID}"')
        else:
            parts.append(f',"accountId":"{account_id}","accountCode":"{account_code}"')
        tax = company.tax_codes[dice[17] % len(company.tax_codes)]
        parts.append(f',"taxCodeId":"{tax}"')
        if dice[23] & 3:
            parts.append(f',"note":"{_NOTES[dice[23] >> 2 & 7]}"')
        created = iso(performed + 90 * SECOND, 3)
        updated = iso(performed + (5 * DAY if exported else 2 * 3600 * SECOND), 6)
        tag = company.tags[dice[18] % len(company.tags)]
        times = f'"createdAt":"{created}","updatedAt":"{updated}"'
        splits = self._splits(number, dice, company, (currency, paid, bill), times) if dice[19] < _SPLIT else ""
        receipt = f'"{_uuid_start(dice[8:])}-{dice[16:22].hex()}"' if dice[23] < _WITH_RECEIPT else ""
        parts.append(f',"tags":[{tag if dice[18] & 3 else ""}],"splitItems":[{splits}],"attendees":[],"receiptIds":[{receipt}]')
        parts.append(f",{times}")
        parts.append(f',"deletedAt":"{iso(performed + 4 * DAY, digits)}"}}' if deleted else "}")
        return "".join(parts).encode()

    def _splits(self, number: int, dice: bytes, company: _Company, money: tuple[str, int, int], times: str) -> str:
        """Two or three parts that add up to the entry, in both currencies."""
        currency, paid, bill = money
        count = 2 + (dice[19] & 1)
        more = hashlib.blake2b(number.to_bytes(8) + b"split", key=self._key, digest_size=48).digest()
        rest_paid, rest_bill, parts = paid, bill, []
        for part in range(count):
            last = part == count - 1
            share_paid, share_bill = (rest_paid, rest_bill) if last else (paid // (count + 1), bill // (count + 1))
            rest_paid, rest_bill = rest_paid - share_paid, rest_bill - share_bill
            piece = more[part * 16 : part * 16 + 16]
            account_id, account_code = company.accounts[piece[0] % len(company.accounts)]
            tag = company.tags[piece[1] % len(company.tags)]
            parts.append(
                f'{{"id":"{_uuid_start(piece)}-{piece[10:].hex()}","transactionValue":{{"currency":"{currency}","minors":{share_paid}}}'
                f',"totalBillValue":{{"currency":"{company.currency}","minors":{share_bill}}},"accountId":"{account_id}","accountCode":"{account_code}"'
                f',"tags":[{tag}],{times}}}'
            )
        return ",".join(parts)


def _is_deleted(dice: bytes) -> bool:
    return dice[12] == 0 and dice[13] & 1 == 0


def _uuid_start(dice: bytes) -> str:
    text = dice[:10].hex()
    return f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{'89ab'[dice[8] & 3]}{text[17:20]}"


def _exchanged(minors: int, home: str, away: str) -> int:
    sign = -1 if minors < 0 else 1
    return sign * max(1, abs(minors) * _PER_HUNDRED[away] // _PER_HUNDRED[home])


def _company(record: Record, samples: Mapping[str, Sequence[Stored]]) -> _Company:
    def of(stream: str) -> list[Record]:
        return [found.record for found in samples[stream] if found.record["companyId"] == record["id"]]

    return _Company(
        id=record["id"],
        currency=_HOME_CURRENCY[record["address"]["country"]],
        employees=tuple(employee["id"] for employee in of("employees")),
        accounts=tuple((account["id"], account["code"]) for account in of("accounts") if account.get("code") and not account["archived"]),
        tax_codes=tuple(code["id"] for code in of("tax_codes") if not code["archived"]),
        tags=tuple(f'{{"tagGroupId":"{tag["group"]["id"]}","tagId":"{tag["id"]}"}}' for tag in of("tags") if not tag["archived"]),
    )
