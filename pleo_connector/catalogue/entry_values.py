"""What the values of an accounting entry mean, after Pleo's API reference, and which families are spend.

The sets are open: a value that is not here loads, and is reported. A family that is not here counts as spend, so that money is never missing
from a sum without a word; the check `family_is_known` names its entries.
"""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """What an entry is to the company that reads its spend."""

    SPEND = "spend"
    COST = "cost"
    """What Pleo itself costs: its invoices, fees and interest, less cashback."""
    MOVEMENT = "movement"
    """Money that only changes its place; what it pays for is an entry of its own."""


FAMILIES: dict[str, tuple[Kind, str]] = {
    "BALANCE_AMENDMENT": (Kind.MOVEMENT, "a correction of the wallet by hand; a cost where its sub_family is FEE or INTEREST"),
    "BILL_INVOICE": (Kind.SPEND, "an invoice of a supplier, also while its payment is still to come"),
    "CARD_PURCHASE": (Kind.SPEND, "paid with a Pleo card, cash withdrawals included; a refund is negative"),
    "CASHBACK": (Kind.COST, "money that Pleo gives back on card purchases"),
    "CREDIT_NOTE": (Kind.SPEND, "a credit note of a supplier; it is negative and lowers the spend"),
    "MILEAGE": (Kind.SPEND, "driving with an employee's own vehicle"),
    "OUT_OF_POCKET": (Kind.SPEND, "paid by an employee out of their own pocket"),
    "OVERDRAFT": (Kind.COST, "the monthly fee of Pleo Overdraft, or interest"),
    "PER_DIEM": (Kind.SPEND, "a daily allowance of an employee who travels"),
    "PLEO_INVOICE": (Kind.COST, "Pleo's invoice for its service, or a refund of one"),
    "REIMBURSEMENT": (Kind.MOVEMENT, "money between the company and an employee; what was bought is an entry of its own"),
    "WALLET": (Kind.MOVEMENT, "money loaded into the Pleo wallet or taken out of it"),
    "BILL_INVOICE_PAYMENT": (Kind.MOVEMENT, "the payment of an invoice; the invoice is an entry of its own"),
}
"""Each family with its kind and meaning, in the order of the contract."""

COST_SUB_FAMILIES = ("FEE", "INTEREST")
"""Sub-families that make a cost of what would be a movement."""

SUB_FAMILIES: dict[str, str] = {
    "ATM": "a card purchase at a cash machine",
    "IN_STORE": "a card purchase in a shop",
    "ONLINE": "a card purchase online",
    "PLEO_INVOICE": "a paid invoice of Pleo",
    "PLEO_INVOICE_REFUND": "a refunded invoice of Pleo",
    "REIMBURSEMENT_TO_COMPANY": "an employee paid the company",
    "REIMBURSEMENT_TO_EMPLOYEE": "the company paid an employee",
    "REIMBURSEMENT_TO_EMPLOYEE_REFUND": "a payment to an employee that came back",
    "LOAD": "money into the wallet",
    "UNLOAD": "money out of the wallet",
    "WITHDRAWAL": "a withdrawal from the wallet",
    "FEE": "a fee, such as that of the overdraft",
    "INTEREST": "interest on the overdraft",
    "BILL_INVOICE_PAYMENT_RETURNED": "a payment of an invoice that came back",
    "BILL_INVOICE_PAYMENT_RECEIVED": "a payment of an invoice that was received",
}

STATUSES: dict[str, tuple[bool, str]] = {
    "DRAFT": (False, "not final; its details may change"),
    "PENDING": (True, "the amount is final, the funds are not settled yet"),
    "COMPLETED": (True, "settled"),
    "COMPLETED_EXTERNALLY": (True, "paid outside Pleo, without the wallet"),
    "CANCELLED": (False, "cancelled by the user, Pleo or somebody else"),
    "REJECTED": (False, "rejected by the user, Pleo or somebody else"),
    "ERROR": (False, "an error kept it from being settled"),
}
"""Each payment state: whether an entry in it counts in the views, and its meaning."""

REVIEW_STATUSES: dict[str, str] = {
    "NOT_OK": "reviewed and not approved",
    "NOT_REQUIRED": "needs no review",
    "NOT_SET": "not reviewed yet",
    "OK": "reviewed and approved",
    "WAITING_FOR_EXPENSE_OWNER": "waits for details from the spender",
    "WAITING_FOR_REVIEWER": "waits for a reviewer",
    "WAITING_FOR_COMPANY_REVIEWER": "waits for a reviewer of the company",
    "WAITING_FOR_TEAM_REVIEWER": "waits for a reviewer of the team",
    "WAITING_FOR_TAG_REVIEWER": "waits for a reviewer of a tag",
}

EXPORT_STATUSES: dict[str, str] = {
    "CREATED": "created, and not exported yet",
    "EXPORTED": "in the accounting system",
    "EXPORTING": "being exported",
    "NOT_CREATED": "not exported; Pleo publishes no meaning",
    "NOT_EXPORTED": "not exported; Pleo publishes no meaning",
    "QUEUED": "waits in the queue for its export",
}

FAMILY_MEANINGS = tuple((name, f"{kind}: {meaning}") for name, (kind, meaning) in FAMILIES.items())
STATUS_MEANINGS = tuple((name, meaning if counts else f"{meaning}; in no view of spend") for name, (counts, meaning) in STATUSES.items())
