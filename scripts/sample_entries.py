"""Sample accounting entries: every draw that makes one, in a fixed sequence."""

# ruff: noqa: D102 - names say what is drawn

from __future__ import annotations

import datetime as dt
import random
import uuid
from typing import Any

from sample_world import World

Record = dict[str, Any]

FIRST = dt.datetime(2025, 10, 1, tzinfo=dt.UTC)
LAST = dt.datetime(2026, 11, 22, tzinfo=dt.UTC)
NIL = "00000000-0000-0000-0000-000000000000"
DKK_PER_UNIT = {"DKK": 100, "EUR": 746, "GBP": 872, "SEK": 67, "JPY": 4.6, "KWD": 2180}  # kroner per 100 units
DECIMALS = {"DKK": 2, "EUR": 2, "GBP": 2, "SEK": 2, "JPY": 0, "KWD": 3}
MILEAGE_RATE = 381


class EntryMaker:
    """Makes the entries of one company after the other; `streams` collects them."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.teams: list[str] = []
        self.streams: dict[str, list[Record]] = {}

    def key(self) -> str:
        return str(uuid.UUID(int=self.dice.getrandbits(128), version=4))

    def chance(self, share: float) -> bool:
        return self.dice.random() < share

    def stamp(self, moment: dt.datetime, digits: int | None = None) -> str:
        """ISO 8601 in UTC with 0 to 9 fractional digits."""
        digits = self.dice.randrange(10) if digits is None else digits
        fraction = f"{self.dice.randrange(10**9):09}"[:digits]
        return f"{moment:%Y-%m-%dT%H:%M:%S}{'.' + fraction if digits else ''}Z"

    def between(self, first: dt.datetime, last: dt.datetime) -> dt.datetime:
        return first + dt.timedelta(seconds=self.dice.randrange(int((last - first).total_seconds())))

    def entries(self, world: World, owner: str, parts: tuple[list[Record], list[Record], list[Record], list[Record]]) -> None:
        moments = sorted(self.moment() for _ in range(world.entries - 3))
        edges = [
            dt.datetime(2025, 12, 31, 23, 59, 59, tzinfo=dt.UTC),
            dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
            dt.datetime(2026, 2, 28, 23, 30, tzinfo=dt.UTC),
        ]
        previous = ""
        for number, drawn in enumerate([*edges, *moments]):
            moment = drawn
            performed = {0: "2025-12-31T23:59:59.999999999Z", 1: "2026-01-01T00:00:00Z"}.get(number, self.stamp(moment, number % 10))
            if number % 97 == 50:  # two entries of one moment
                performed = previous
                moment = dt.datetime.fromisoformat(performed[:19] + "+00:00")
            previous = performed
            self.streams["accounting_entries"].append(self.entry(world, owner, parts, (number, moment, performed)))

    def moment(self) -> dt.datetime:
        """Working hours on most days, nights and weekends on few."""
        while True:
            moment = self.between(FIRST, LAST)
            if (moment.weekday() < 5 and 6 <= moment.hour < 20) or self.chance(0.1):
                return moment

    def entry(self, world: World, owner: str, parts: tuple[list[Record], ...], when: tuple[int, dt.datetime, str]) -> Record:
        people, accounts, taxes, tags = parts
        number, moment, performed = when
        family, sub_family = self.kind(number)
        personal = family in ("CARD_PURCHASE", "OUT_OF_POCKET", "MILEAGE", "PER_DIEM", "REIMBURSEMENT")
        record: Record = {"id": self.key(), "companyId": owner}
        if personal or family == "BILL_INVOICE":
            record["employeeId"] = self.dice.choice(people)["id"]
            if self.chance(0.7):
                record["teamId"] = self.dice.choice(self.teams)
        record["family"] = family
        if sub_family is not None or self.chance(0.3):
            record["subFamily"] = sub_family
        self.states(record, family, (moment, performed))
        self.money(record, world, family, sub_family)
        record["tags"] = []
        if personal or family in ("BILL_INVOICE", "CREDIT_NOTE"):
            self.booking(record, accounts, taxes)
            record["tags"] = self.choices(tags, 0.75)
        self.words(record, world, moment, personal=personal)
        record["attendees"] = self.attendees(people) if personal and self.chance(0.08) else []
        record["receiptIds"] = [self.key() for _ in range(self.dice.choices((0, 1, 2, 3), (2, 12, 2, 1))[0])] if personal else []
        if self.chance(0.1):
            record["foreignExtensionId"] = f"ext-{self.dice.getrandbits(32):08x}"
        updated = min(moment + dt.timedelta(hours=self.dice.randrange(1, 900)), LAST)
        record["createdAt"] = self.stamp(moment + dt.timedelta(seconds=self.dice.randrange(1, 120)), 3)
        record["updatedAt"] = self.stamp(max(updated, moment + dt.timedelta(minutes=3)), 6)
        record["splitItems"] = self.splits(record, accounts, taxes, tags) if personal and self.chance(0.12) else []
        if self.chance(0.02):
            record["deletedAt"] = record["updatedAt"]
        elif self.chance(0.05):
            record["deletedAt"] = None
        return record

    def words(self, record: Record, world: World, moment: dt.datetime, *, personal: bool) -> None:
        """The note and the supplier's document, each sometimes absent, null or empty."""
        family = record["family"]
        if self.chance(0.8):
            record["note"] = self.dice.choice(world.notes) if personal else f"{family.replace('_', ' ').capitalize()} {moment:%Y-%m}"
        elif self.chance(0.5):
            record["note"] = None
        if family in ("BILL_INVOICE", "CREDIT_NOTE"):
            record["supplier"] = {
                "documentNumber": f"{moment:%y%m}-{self.dice.randrange(10**5):05}",
                "documentType": "FACTURA",
                "externalSupplierId": f"K{7000 + self.dice.randrange(4)}",
            }
            if self.chance(0.3):
                record["supplier"] |= {"cif": f"B{self.dice.randrange(10**7):07}{self.dice.randrange(10)}", "externalAccountNumber": None}
        elif self.chance(0.03):
            record["supplier"] = self.dice.choice(({}, None))

    def kind(self, number: int) -> tuple[str, str | None]:
        rare = {
            11: ("WALLET", "LOAD"), 23: ("PLEO_INVOICE", "PLEO_INVOICE"), 37: ("CASHBACK", None), 41: ("REIMBURSEMENT", "REIMBURSEMENT_TO_EMPLOYEE"),
            53: ("CREDIT_NOTE", None), 59: ("BALANCE_AMENDMENT", "FEE"), 61: ("BILL_INVOICE_PAYMENT", None), 67: ("CARD_PURCHASE", "ATM"),
            71: ("OVERDRAFT", "INTEREST"), 73: ("PER_DIEM", None),
        }  # fmt: skip
        if number % 80 in rare:
            return rare[number % 80]
        families = (
            ("CARD_PURCHASE", "ONLINE"),
            ("CARD_PURCHASE", "IN_STORE"),
            ("OUT_OF_POCKET", None),
            ("MILEAGE", None),
            ("BILL_INVOICE", None),
        )
        return self.dice.choices(families, (40, 38, 10, 5, 7))[0]

    def states(self, record: Record, family: str, when: tuple[dt.datetime, str]) -> None:
        moment, performed = when
        settled = moment + dt.timedelta(hours=self.dice.randrange(20, 96))
        is_settled = settled < LAST and self.chance(0.985)
        if is_settled:
            record["status"] = "COMPLETED_EXTERNALLY" if family == "BILL_INVOICE" and self.chance(0.3) else "COMPLETED"
        else:
            record["status"] = "PENDING" if settled >= LAST else self.dice.choice(("PENDING", "CANCELLED", "REJECTED", "ERROR", "DRAFT"))
        old = moment < LAST - dt.timedelta(days=30)
        record["reviewStatus"] = (
            "OK"
            if old and self.chance(0.93)
            else self.dice.choice(
                ("NOT_REQUIRED", "NOT_SET", "NOT_OK", "WAITING_FOR_EXPENSE_OWNER", "WAITING_FOR_REVIEWER", "WAITING_FOR_TEAM_REVIEWER")
            )
        )
        exported = is_settled and old and self.chance(0.95)
        record["exportStatus"] = "EXPORTED" if exported else self.dice.choice(("NOT_CREATED", "NOT_EXPORTED", "CREATED", "QUEUED"))
        record["performedAt"] = performed
        if is_settled:
            record["settledAt"] = self.stamp(settled)
            record["bookkeepingDate"] = performed if family in ("OUT_OF_POCKET", "MILEAGE", "PER_DIEM") else record["settledAt"]
        elif self.chance(0.3):
            record |= {"settledAt": None, "bookkeepingDate": None}

    def money(self, record: Record, world: World, family: str, sub_family: str | None) -> None:
        home = world.currency
        scale = {"WALLET": 400, "PLEO_INVOICE": 20, "BILL_INVOICE": 12, "BILL_INVOICE_PAYMENT": 12}.get(family, 1)
        bill = int(self.dice.lognormvariate(5.2, 1.1) * 100 * scale * (1 if home in ("DKK", "SEK") else 0.15)) + 100
        if family == "MILEAGE":
            bill = self.dice.randrange(4, 400) * MILEAGE_RATE
        if family in ("CASHBACK", "CREDIT_NOTE") or (family == "CARD_PURCHASE" and sub_family != "ATM" and self.chance(0.05)):
            bill = -bill
        away = (
            self.dice.choices(("DKK", "EUR", "GBP", "SEK", "JPY", "KWD"), (3, 6, 4, 3, 2, 2))[0]
            if family == "CARD_PURCHASE" and self.chance(0.22)
            else home
        )
        paid = (
            bill
            if away == home
            else round(bill / 10 ** DECIMALS[home] * DKK_PER_UNIT[home] / DKK_PER_UNIT[away] * 10 ** DECIMALS[away]) or 1
        )
        record["transactionValue"] = {"currency": away, "minors": paid}
        if record["status"] not in ("DRAFT", "ERROR"):
            record["totalBillValue"] = {"currency": home, "minors": bill}
        elif self.chance(0.5):
            record["totalBillValue"] = None

    def booking(self, record: Record, accounts: list[Record], taxes: list[Record]) -> None:
        draw = self.dice.random()
        if draw < 0.88:
            account = self.dice.choice(accounts)
            record["accountId"] = account["id"]
            if account["code"] is not None:
                record["accountCode"] = account["code"]
        elif draw < 0.93:
            record["accountId"] = NIL
        elif draw < 0.95:
            record |= {"accountId": None, "accountCode": None}
        if self.chance(0.85):
            record["taxCodeId"] = self.dice.choice(taxes)["id"]
        elif self.chance(0.3):
            record["taxCodeId"] = None

    def choices(self, tags: list[Record], share: float) -> list[Record]:
        """At most one tag of each group; sometimes "do not know", sometimes a group without a choice."""
        chosen: list[Record] = []
        for group in dict.fromkeys(tag["group"]["id"] for tag in tags):
            if not self.chance(share):
                continue
            draw = self.dice.random()
            mine = [tag for tag in tags if tag["group"]["id"] == group]
            tag_id = NIL if draw < 0.04 else self.dice.choice(mine)["id"]
            chosen.append({"tagGroupId": group} if draw > 0.98 else {"tagGroupId": group, "tagId": tag_id})
        return chosen

    def attendees(self, people: list[Record]) -> list[Record]:
        found = [{"id": self.key(), "attendableId": person["id"], "attendableType": "EMPLOYEE"} for person in self.dice.sample(people, 2)]
        return [*found, {"id": self.key(), "attendableId": self.key(), "attendableType": "CONTACT"}]

    def splits(self, record: Record, accounts: list[Record], taxes: list[Record], tags: list[Record]) -> list[Record]:
        """Two to four parts that add up to the entry in every currency they carry."""
        count = self.dice.choice((2, 2, 3, 4))
        shares = {name: self.divided(record[name], count) for name in ("transactionValue", "totalBillValue") if record.get(name)}
        parts = []
        for place in range(count):
            part: Record = {"id": self.key()} | {name: values[place] for name, values in shares.items()}
            self.booking(part, accounts, taxes)
            parts.append(part | {"tags": self.choices(tags, 0.4), "createdAt": record["createdAt"], "updatedAt": record["updatedAt"]})
        return parts

    def divided(self, money: Record, count: int) -> list[Record]:
        rest, parts = money["minors"], []
        for left in range(count, 1, -1):
            part = int(rest * self.dice.uniform(0.4, 1.1) / left)
            parts.append(part)
            rest -= part
        return [{"currency": money["currency"], "minors": minors} for minors in (*parts, rest)]
