"""The sample company whose entries have the shape that callers of the live API meet, which is not all in the published contract.

Its entries carry `merchant`, and some an inline `employee`. Their `accountId` is the category that the spender chose: no list has
those ids. `accountCode` and `supplier` never come, no entry is split, and one spender is in no list of employees. Export item lines
show the account of the chart that bookkeeping maps a category to.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from sample_entries import FIRST, LAST, EntryMaker
from sample_exports import Exports
from sample_world import World

Record = dict[str, Any]

SEED = 20261130
JOBS = ((0, 45, "completed", 18), (0, 0, "in_progress", 16))
RETIRED = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
"""From this month on entries are tagged in the second tag group; the first one is archived."""
UNTAGGED = LAST - dt.timedelta(days=2)
"""The newest entries have no tags yet."""
EDGES = (dt.datetime(2026, 3, 1, tzinfo=dt.UTC), dt.datetime(2026, 6, 1, tzinfo=dt.UTC))
"""Entries at a month's first instant."""

LIVE = World(
    name="Grachtwerk Vastgoed B.V.",
    country="NL",
    currency="EUR",
    registration="74118206",
    address={"addressLine1": "Oudegracht 219 bis", "postalCode": "3511 NH", "locality": "Utrecht", "country": "NL"},
    domain="grachtwerk.example",
    system="Exact Online",
    entries=150,
    people=(
        ("Maaike", "de Vries", "Directeur"),
        ("Sjoerd", "Brouwer", "Beheerder"),
        ("Yusuf", "Demir", "Onderhoud"),
        ("Carlijn", "van den Berg", "Boekhouding"),
        ("Pim", "Hoekstra", None),
        ("Noor", "Jansen", "Verhuur"),
    ),
    accounts=(
        ("4010", "Reiskosten"),
        ("4020", "Autokosten"),
        ("4030", "Representatie"),
        ("4100", "Software en licenties"),
        ("4110", "Kantoorbenodigdheden"),
        ("4120", "Telefoon en internet"),
        ("4200", "Onderhoud panden"),
        ("4210", "Gereedschap"),
        ("4300", "Advertentiekosten"),
        ("4400", "Heffingen en leges"),
        ("4990", "Vraagposten (oud)"),
    ),
    tax_codes=(
        ("NL21", "Btw hoog 21 %", 0.21, "inclusive"),
        ("NL9", "Btw laag 9 %", 0.09, "inclusive"),
        ("NL0", "Geen btw", 0, "inclusive"),
    ),
    tag_groups=(
        ("OBJ24", "Objecten 2024", True, (), ("Twijnstraat 8", "Lombok")),
        ("OBJ", "Objecten", False, (), ("Twijnstraat 8-10", "Lombok Zuid", "Kanaaleiland 4", "Algemeen")),
    ),
    vendors=(),
    notes=("Materiaal trappenhuis", "Treinreis naar bezichtiging", "Lunch met aannemer", "Abonnement", "Sleutels bijgemaakt"),
)

BUILDERS = (("BOUWHAL 0412 UTRECHT", "5200"), ("De Klusmarkt", "5200"), ("HAMER & ZAAG", "5251"), ("Toren Bouwmaterialen", "5039"))
CATEGORIES: tuple[tuple[int, tuple[tuple[str, str], ...]], ...] = (
    (0, (("Spoorlijn Reizen", "4112"), ("NACHTBUS 24", "4131"), ("Logeerbureau", "4722"))),
    (1, (("Snelstroom Laden", "5552"), ("Parkeergarage Springweg", "7523"), ("Tank & Wasstraat Oost", "5541"))),
    (2, (("Thaise Keuken", "5812"), ("BAKKERIJ VAN DAM", "5462"), ("Eetcafé De Brug", "5812"))),
    (3, (("Praatkanaal", "5734"), ("CODEKLUIS.COM", "5734"), ("Notulist", "5817"))),
    (4, (("Kantoorwinkel", "5943"), ("Papier & Zo", "5111"))),
    (5, (("TELEFOONDIENST NL", "4814"),)),
    (8, (("Huizenblad", "7311"), ("ZOEKADS", "7311"))),
    (9, (("Gemeente Utrecht", "9399"), ("Handelsregister", "9399"))),
    (0, (("Hotel Aan De Singel", "7011"),)),
    *(((6, BUILDERS),) * 5),
    *(((7, BUILDERS),) * 3),
)
"""17 categories: the account that bookkeeping maps each to, and merchants. The last eight cannot be told apart by their merchants."""
SUPPLIERS = ("Aannemersbedrijf Lekkerkerk", "Glaszetterij Helder", "Liftonderhoud Opwaarts")
KINDS = {
    6: ("WALLET", "LOAD"), 19: ("PLEO_INVOICE", "PLEO_INVOICE"), 33: ("CASHBACK", None), 47: ("BALANCE_AMENDMENT", "FEE"),
    58: ("OVERDRAFT", "INTEREST"), 71: ("REIMBURSEMENT", "REIMBURSEMENT_TO_EMPLOYEE"), 84: ("BILL_INVOICE_PAYMENT", None),
    97: ("PER_DIEM", None), 110: ("CREDIT_NOTE", None), 121: ("PLEO_INVOICE", "PLEO_INVOICE"), 133: ("WALLET", "LOAD"),
}  # fmt: skip
"""Families that come rarely, by the entry's number."""


class LiveEntryMaker(EntryMaker):
    """Makes entries of the live shape; everything else as for the other companies."""

    def entries(self, world: World, owner: str, parts: tuple[list[Record], ...]) -> None:
        """All entries of the company, `world.entries` of them."""
        people, _, taxes, tags = parts
        self.categories = [self.key() for _ in CATEGORIES]
        gone = {"id": self.key(), "email": f"tess.mulder@{world.domain}", "firstName": "Tess", "lastName": "Mulder"}
        self.spenders, self.taxes = [*people, gone], taxes
        self.tag_groups = {group: [tag for tag in tags if tag["group"]["name"] == group] for group in ("Objecten 2024", "Objecten")}
        moments = sorted(self.between(FIRST, LAST) for _ in range(world.entries - len(EDGES) - 2))
        for number, moment in enumerate([*EDGES, *moments]):
            family, sub_family = KINDS.get(number, ("", None))
            if not family:
                family, sub_family = self.dice.choices(
                    (
                        ("CARD_PURCHASE", "IN_STORE"),
                        ("CARD_PURCHASE", "ONLINE"),
                        ("OUT_OF_POCKET", None),
                        ("MILEAGE", None),
                        ("BILL_INVOICE", None),
                    ),
                    (46, 38, 7, 4, 5),
                )[0]
            self.live_entry(world, owner, (family, sub_family), moment, self.amount_of(family, sub_family))
        invoiced = dt.datetime(2026, 9, 10, 9, 15, tzinfo=dt.UTC)
        self.live_entry(world, owner, ("BILL_INVOICE", None), invoiced, 100_000, supplier=SUPPLIERS[0])
        self.live_entry(world, owner, ("CREDIT_NOTE", None), invoiced + dt.timedelta(days=12), -40_000, supplier=SUPPLIERS[0])

    def amount_of(self, family: str, sub_family: str | None) -> int:
        """Minor units; a refund, a cashback and a credit note are negative."""
        scale = {"WALLET": 300, "PLEO_INVOICE": 2, "BILL_INVOICE": 12, "BILL_INVOICE_PAYMENT": 12}.get(family, 1)
        minors = int(self.dice.lognormvariate(3.6, 1.0) * 100 * scale) + 100
        refund = family == "CARD_PURCHASE" and sub_family == "ONLINE" and self.chance(0.08)
        return -minors if refund or family in ("CASHBACK", "CREDIT_NOTE") else minors

    def live_entry(
        self, world: World, owner: str, kind: tuple[str, str | None], moment: dt.datetime, minors: int, supplier: str | None = None
    ) -> None:
        """One entry, added to its stream."""
        family, sub_family = kind
        personal = family in ("CARD_PURCHASE", "OUT_OF_POCKET", "MILEAGE", "PER_DIEM", "REIMBURSEMENT")
        booked = personal or family in ("BILL_INVOICE", "CREDIT_NOTE")
        record: Record = {"id": self.key(), "companyId": owner}
        if booked:
            record |= self.spender(inline=personal and self.chance(0.35))
        record["family"] = family
        if sub_family is not None:
            record["subFamily"] = sub_family
        performed = self.stamp(moment, 0 if moment in EDGES else 3)
        settled = moment + dt.timedelta(hours=self.dice.randrange(20, 80))
        old = moment < LAST - dt.timedelta(days=25)
        state = "COMPLETED" if settled < LAST else "PENDING"
        record["status"] = self.dice.choice(("CANCELLED", "REJECTED")) if family == "CARD_PURCHASE" and self.chance(0.03) else state
        record["reviewStatus"] = "OK" if old and self.chance(0.9) else self.dice.choice(("NOT_SET", "WAITING_FOR_REVIEWER"))
        record["exportStatus"] = "EXPORTED" if old and record["status"] == "COMPLETED" else "NOT_EXPORTED"
        record["performedAt"] = performed
        if record["status"] == "COMPLETED":
            record["settledAt"] = self.stamp(settled, 3)
            record["bookkeepingDate"] = performed if family in ("OUT_OF_POCKET", "MILEAGE", "PER_DIEM") else record["settledAt"]
        paid = {"currency": world.currency, "minors": minors}
        if family == "CARD_PURCHASE" and supplier is None and self.chance(0.08):
            paid = {"currency": "GBP", "minors": round(minors * 0.86) or 1}
        record |= {"transactionValue": paid, "totalBillValue": {"currency": world.currency, "minors": minors}}
        if booked:
            record |= self.category(family, supplier)
        if personal and self.chance(0.5):
            record["note"] = self.dice.choice(world.notes)
        record["tags"] = self.live_tags(moment) if booked and moment < UNTAGGED else []
        record |= {"attendees": [], "splitItems": []}
        record["receiptIds"] = [self.key()] if family in ("CARD_PURCHASE", "OUT_OF_POCKET") and self.chance(0.7) else []
        record["createdAt"] = self.stamp(moment + dt.timedelta(seconds=self.dice.randrange(1, 90)), 3)
        record["updatedAt"] = self.stamp(min(moment + dt.timedelta(hours=self.dice.randrange(2, 700)), LAST + dt.timedelta(hours=1)), 3)
        self.streams["accounting_entries"].append(record)

    def spender(self, *, inline: bool) -> Record:
        """`employeeId`, and for some the person as well."""
        person = self.dice.choices(self.spenders, (5, 8, 8, 3, 4, 5, 2))[0]
        found: Record = {"employeeId": person["id"]}
        if inline:
            found["employee"] = {name: person[name] for name in ("id", "email", "firstName", "lastName")}
        return found

    def category(self, family: str, supplier: str | None) -> Record:
        """The category and the merchant of an entry; some entries have no category, some no merchant."""
        number = self.dice.choices(range(len(CATEGORIES)), (9, 7, 7, 6, 3, 1, 2, 2, 2, 4, 4, 4, 3, 3, 3, 3, 3))[0]
        if family in ("BILL_INVOICE", "CREDIT_NOTE"):
            number = len(CATEGORIES) - 1 - number % 8
        elif family == "MILEAGE":
            number = 1
        found: Record = {} if self.chance(0.02) else {"accountId": self.categories[number], "taxCodeId": self.dice.choice(self.taxes)["id"]}
        if family in ("BILL_INVOICE", "CREDIT_NOTE"):
            return found | {"merchant": {"name": supplier or self.dice.choice(SUPPLIERS)}}
        name, code = self.dice.choice(CATEGORIES[number][1])
        if family == "OUT_OF_POCKET":
            return found | {"merchant": {"name": name, "merchantCategoryCode": None}}
        if family != "CARD_PURCHASE":
            return found
        return found | {"merchant": None if self.chance(0.02) else {"name": name, "merchantCategoryCode": code}}

    def live_tags(self, moment: dt.datetime) -> list[Record]:
        """One tag of the group that was in use then; some entries have none."""
        tag = self.dice.choice(self.tag_groups["Objecten 2024" if moment < RETIRED else "Objecten"])
        return [{"tagGroupId": tag["group"]["id"], "tagId": tag["id"]}] if self.chance(0.95) else []


class LiveExports(Exports):
    """Exports whose lines show the account that bookkeeping maps the entry's category to."""

    def __init__(self, streams: dict[str, list[Record]], categories: list[str]) -> None:
        self.mapped = {key: number for key, (number, _) in zip(categories, CATEGORIES, strict=True)}
        self.overruled = categories[0]
        super().__init__(streams, (LIVE,), JOBS, SEED)

    def supplier(self, entry: Record, owner: int) -> str | None:
        """The merchant's name as bookkeeping cleans it; not always the name on the entry."""
        del owner
        merchant = entry.get("merchant")
        return merchant["name"].title() if merchant else None

    def lines(self, entry: Record) -> list[Record]:
        """One line, with an account where the entry has a category.

        For the first entry of the first category in the open job the bookkeeper chose another account.
        """
        (line,) = super().lines(entry)
        category = entry.get("accountId")
        if category is not None:
            chart = self.streams["accounts"]
            account = chart[self.mapped[category]]
            if category == self.overruled and self.jobs[-1]["status"] == "in_progress":
                self.overruled, account = "", chart[4]
            line["account"] = {"id": account["id"], "code": account["code"], "identifier": account["externalId"], "name": account["name"]}
        return [line]
