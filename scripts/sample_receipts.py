"""Sample receipts: one for each receipt key of the sample entries, drawn after everything else, from a seed of their own."""

from __future__ import annotations

import datetime as dt
import random
import uuid
from typing import Any

Record = dict[str, Any]

SEED = 20261124
FILES = "https://files.pleo-sandbox.example/receipts"
"""Links in the sample lead nowhere; Pleo's end after 24 hours."""


def receipts(entries: list[Record]) -> list[Record]:
    """Every receipt, in the order of its entry."""
    dice = random.Random(SEED)
    return [_receipt(dice, entry, key) for entry in entries for key in entry["receiptIds"]]


def _receipt(dice: random.Random, entry: Record, key: str) -> Record:
    mime = dice.choices(("image/jpeg", "application/pdf", "image/png", "image/heic", "unknown"), (60, 25, 10, 4, 1))[0]
    performed = dt.datetime.fromisoformat(entry["performedAt"][:19] + "+00:00")
    created = performed + dt.timedelta(seconds=dice.randrange(20, 6 * 86_400 if dice.random() < 0.2 else 7_200))
    digits = dice.randrange(10)
    fraction = f".{dice.randrange(10**9):09}"[: digits + 1] if digits else ""
    record: Record = {
        "id": key,
        "accountingEntryId": entry["id"],
        "fileType": "ORIGINAL",
        "mimeType": mime,
        "sizeInBytes": int(dice.lognormvariate(12, 1)) + 900,
        "source": dice.choices(("CAMERA", "USER", "EMAIL_FORWARDING", "EMAIL_FETCHING", "LOST_RECEIPT"), (55, 20, 15, 8, 2))[0],
        "url": f"{FILES}/{key}",
        "createdAt": f"{created:%Y-%m-%dT%H:%M:%S}{fraction}Z",
    }
    if mime != "unknown" and dice.random() < 0.6:
        record["ocrDocumentId"] = str(uuid.UUID(int=dice.getrandbits(128), version=4))
    return record
