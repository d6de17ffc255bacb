"""Sample tag group dimensions and bookkeeping exports, drawn after everything else, from a seed of their own."""

from __future__ import annotations

import datetime as dt
import random
import uuid
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from sample_world import WORLDS, World

from pleo_connector.sandbox.exports import moved_item, moved_job, new_job

Record = dict[str, Any]

SEED = 20261125
JOBS = (
    # (company, days before the newest, status, items)
    (0, 64, "completed", 16),
    (0, 33, "completed_with_errors", 6),
    (0, 5, "failed", 3),
    (0, 0, "in_progress", 7),
    (1, 40, "completed", 9),
    (1, 0, "pending", 5),
    (2, 12, "expired", 4),
)
"""The fourth company never exported anything."""
NEWEST = dt.datetime(2026, 11, 22, 9, 30, tzinfo=dt.UTC)
DECIMALS = {"DKK": 2, "EUR": 2, "GBP": 2, "SEK": 2, "JPY": 0, "KWD": 3}
KINDS = {"CARD_PURCHASE": "card_purchase", "OUT_OF_POCKET": "out_of_pocket", "MILEAGE": "mileage", "BILL_INVOICE": "invoice"}
FILES = "https://files.pleo-sandbox.example/exports"


class Exports:
    """Jobs, their items, and the export items of their entries."""

    def __init__(
        self,
        streams: dict[str, list[Record]],
        worlds: Sequence[World] = WORLDS,
        jobs: Sequence[tuple[int, int, str, int]] = JOBS,
        seed: int = SEED,
    ) -> None:
        self.dice = random.Random(seed)
        self.streams, self.worlds = streams, worlds
        self.by_id = {record["id"]: record for name in ("employees", "accounts", "tags", "tax_codes") for record in streams[name]}
        self.jobs: list[Record] = []
        self.job_items: list[Record] = []
        self.items: dict[str, Record] = {}
        for company, days, status, count in jobs:
            self.job(streams["companies"][company]["id"], NEWEST - dt.timedelta(days=days), status, count)

    def key(self) -> str:
        """A random UUID."""
        return str(uuid.UUID(int=self.dice.getrandbits(128), version=4))

    def job(self, company_id: str, created: dt.datetime, status: str, count: int) -> None:
        """One job over entries that are in no other."""
        fitting = [
            entry
            for entry in self.streams["accounting_entries"]
            if entry["companyId"] == company_id
            and entry["family"] in KINDS
            and entry.get("totalBillValue")
            and entry["id"] not in self.items
        ]
        chosen = self.dice.sample(fitting, count)
        job = new_job(self.key(), company_id, count, f"{created:%Y-%m-%dT%H:%M:%SZ}")
        if status != "pending":
            job = moved_job(job, "failed" if status == "expired" else status, expired=status == "expired")
        if status == "failed":
            job |= {"failureReasonType": "accounting_system_unreachable", "failureReason": "The accounting system did not answer."}
        self.jobs.append(job)
        for place, entry in enumerate(chosen):
            item = {"exportJobId": job["id"], "accountingEntryId": entry["id"], "status": "pending"}
            self.job_items.append(moved_item(item, job, last=place == count - 1) if status != "pending" else item)
            self.items[entry["id"]] = self.item(entry)

    def item(self, entry: Record) -> Record:
        """An entry as bookkeeping sees it."""
        owner = next(number for number, company in enumerate(self.streams["companies"]) if company["id"] == entry["companyId"])
        employee = self.by_id.get(entry.get("employeeId"))
        vendors = [vendor for vendor in self.streams["vendors"] if vendor["companyId"] == entry["companyId"]]
        vendor = self.dice.choice(vendors) if vendors else {}
        bills = entry["family"] == "BILL_INVOICE"
        record: Record = {
            "_links": {"web": {"self": f"https://app.pleo-sandbox.example/e/{entry['id']}"}},
            "companyId": entry["companyId"],
            "accountingEntryId": entry["id"],
            "type": KINDS[entry["family"]],
            "subType": None,
            "date": entry["performedAt"][:19] + "Z",
            "amount": self.amount(entry),
            "note": entry.get("note"),
            "bookkeeping": {"method": "accounts_payable" if bills else "journal"},
            "contraAccount": {"id": self.key(), "code": "5820", "identifier": None, "name": "Pleo wallet"},
            "supplier": {"name": self.supplier(entry, owner), "country": self.dice.choice((self.worlds[owner].country, "UNDEFINED", None))},
            "vendor": {name: vendor[name] for name in ("id", "name", "code", "country", "defaultCurrency") if vendor.get(name)}
            if bills and vendor
            else None,
            "user": {"id": employee["id"], "name": f"{employee['firstName']} {employee['lastName']}", "code": employee.get("code")}
            if employee
            else None,
            "team": {"id": entry["teamId"], "code": None, "name": "Team 1"} if entry.get("teamId") else None,
            "files": [
                {"type": "image/jpeg", "size": 20_000 + place, "url": f"{FILES}/{key}"} for place, key in enumerate(entry["receiptIds"])
            ]
            or None,
            "accountingEntryLines": self.lines(entry),
            "additionalInformation": {
                "reconciliationId": f"R-{entry['id'][:8]}",
                "attendees": None,
                "reconciledEntries": None if bills else [entry["id"], None],
            },
        }
        if entry["attendees"]:
            record["additionalInformation"]["attendees"] = [person["attendableId"] for person in entry["attendees"]] + [None]
        if bills:
            record["additionalInformation"]["invoiceInformation"] = {
                "invoiceNumber": f"{self.dice.randrange(10**6):06}",
                "invoiceDate": entry["performedAt"][:10],
                "dueDate": None,
                "status": "paid",
                "supplierBankAccount": {
                    "bankName": "Bank of Samples",
                    "country": self.worlds[owner].country,
                    "iban": "DK5000400440116243",
                    "bic": None,
                },
            }
            record["servicePeriod"] = {"from": entry["performedAt"][:10] + "T00:00:00Z", "to": "2026-12-31T00:00:00Z"}
        return record

    def supplier(self, entry: Record, owner: int) -> str | None:
        """The name of the supplier: the company's first vendor, whatever the entry."""
        del entry
        return self.worlds[owner].vendors[0][0]

    def lines(self, entry: Record) -> list[Record]:
        """One line for each part of a split entry, or one for all of it."""
        found = []
        for part in entry["splitItems"] or [entry]:
            account, tax = self.by_id.get(part.get("accountId")), self.by_id.get(part.get("taxCodeId"))
            gross = self.amount(part)
            share = Decimal(str(tax["rate"])) / (1 + Decimal(str(tax["rate"]))) if tax else Decimal(0)
            taxes = {name: {**money, "value": self.number(round(Decimal(str(money["value"])) * share))} for name, money in gross.items()}
            net = {
                name: {**money, "value": self.number(Decimal(str(money["value"])) - taxes[name]["value"])} for name, money in gross.items()
            }
            tags = [self.by_id[tag["tagId"]] for tag in part["tags"] if tag.get("tagId") in self.by_id]
            found.append(
                {
                    "accountingEntryLineId": part["id"],
                    "lineAmount": gross,
                    "netAmount": net,
                    "account": {"id": account["id"], "code": account["code"], "identifier": account["externalId"], "name": account["name"]}
                    if account
                    else None,
                    "tax": {"id": tax["id"], "code": tax["code"], "type": tax["type"], "rate": tax["rate"], "amount": taxes}
                    if tax
                    else None,
                    "tags": [{"id": tag["id"], "code": tag["code"], "groupCode": tag["group"]["code"]} for tag in tags] or None,
                }
            )
        return found

    def amount(self, part: Record) -> Record:
        """Both amounts of an entry or a part, times 100."""
        paid = part["transactionValue"]
        return {"inSupplierCurrency": self.times_100(paid), "inWalletCurrency": self.times_100(part.get("totalBillValue") or paid)}

    def times_100(self, money: Record) -> Record:
        """Minor units as "amount times 100": the sandbox's guess for currencies without two decimals, of which Pleo says nothing."""
        return {"currency": money["currency"], "value": self.number(Decimal(money["minors"]).scaleb(2 - DECIMALS[money["currency"]]))}

    @staticmethod
    def number(value: Decimal | int) -> int | float:
        """A JSON number."""
        return int(value) if value == int(value) else float(value)


def dimensions(tags: list[Record], groups: list[Record]) -> list[Record]:
    """The columns of each tag group, as its tags show them; each created with its group."""
    created = {group["id"]: (group["createdAt"], group["updatedAt"]) for group in groups}
    found: dict[str, Record] = {}
    for tag in tags:
        group = tag["group"]["id"]
        for dimension in tag["dimensions"]:
            times = {"createdAt": created[group][0], "updatedAt": created[group][1]}
            found[dimension["id"]] = {name: value for name, value in dimension.items() if name != "value"} | {"groupId": group} | times
    return list(found.values())
