"""Tables and frames that look like what the sync engine hands to a warehouse."""

from __future__ import annotations

import uuid
from datetime import UTC, date, datetime
from decimal import Decimal

import pandas as pd
import pyarrow as pa

from pleo_connector.catalogue import SYSTEM_FIELDS, Field, Storage, Table
from pleo_connector.warehouses import SEEN_KEYS, MergeCounts, Warehouse
from pleo_connector.warehouses.staging import ARROW

FIRST = datetime(2026, 1, 31, 23, 59, 59, 999_999, tzinfo=UTC)
LATER = datetime(2026, 2, 1, 8, 30, tzinfo=UTC)

BILLS = Table(
    "bills",
    "What was billed; it's the parent.",
    (
        Field("id", Storage.UUID, "Bill key."),
        Field("company_id", Storage.UUID, "Owning company."),
        Field("note", Storage.TEXT, "The spender's note.", personal=True),
        Field("paid", Storage.BOOLEAN, "True once paid."),
        Field("amount_minors", Storage.BIGINT, "Amount as served."),
        Field("amount", Storage.MONEY, "Amount."),
        Field("rate", Storage.RATE, "Tax rate."),
        Field("performed_at", Storage.TIMESTAMP, "When it happened."),
        Field("due_on", Storage.DATE, "Due date."),
        Field("details", Storage.JSON, "Anything."),
        *SYSTEM_FIELDS,
    ),
    ("id",),
    "bills",
    window_column="performed_at",
)

LINES = Table(
    "bill_lines",
    "Lines of a bill.",
    (
        Field("bill_id", Storage.UUID, "The bill this belongs to."),
        Field("position", Storage.BIGINT, "Place in the list."),
        Field("text", Storage.TEXT, "What the line says."),
        Field("_company_id", Storage.UUID, "The company this row was read for."),
        *SYSTEM_FIELDS,
    ),
    ("bill_id", "position"),
    "bills",
    parent="bills",
    parent_key=("bill_id",),
)

SEEN = Table(
    SEEN_KEYS,
    "Keys seen by running sweeps.",
    (
        Field("sweep_id", Storage.TEXT, "The sweep."),
        Field("stream", Storage.TEXT, "The stream."),
        Field("key", Storage.UUID, "The key."),
    ),
    ("sweep_id", "stream", "key"),
    "_state",
)

CURSORS = Table(
    "_cursors",
    "Where each walk stands.",
    (
        Field("stream", Storage.TEXT, "The stream."),
        Field("window", Storage.TEXT, "The window."),
        Field("cursor", Storage.TEXT, "The cursor."),
    ),
    ("stream", "window"),
    "_state",
)

TABLES = [BILLS, LINES]

COMPANY = "c0000000-0000-4000-8000-000000000001"
OTHER_COMPANY = "c0000000-0000-4000-8000-000000000002"


def key(number: int) -> str:
    """The n-th key."""
    return str(uuid.UUID(int=(0x5 << 124) | number))


def frame(table: Table, rows: list[dict[str, object]]) -> pd.DataFrame:
    """Rows as the engine hands them over: Arrow-backed dtypes, and NULL for what is not given."""
    return pd.DataFrame(
        {
            field.name: pd.Series(
                pa.array([row.get(field.name) for row in rows], ARROW[field.storage]), dtype=pd.ArrowDtype(ARROW[field.storage])
            )
            for field in table.fields
        }
    )


def bill(number: int, **values: object) -> dict[str, object]:
    """One bill with a value in every column; `values` replace some of them."""
    return {
        "id": key(number),
        "company_id": COMPANY,
        "note": f"Frokost nr. {number} \N{HOT BEVERAGE}\n\"og\" 'kaffe'",
        "paid": number % 2 == 0,
        "amount_minors": 9_223_372_036_854_775_807 - number,
        "amount": Decimal(f"{10**34 - 1 - number}.9999"),
        "rate": Decimal("0.250000001"),
        "performed_at": FIRST,
        "due_on": date(2026, 2, 28),
        "details": '{"nested": [1, 2.50, null, "æ"]}',
        "_synced_at": FIRST,
        "_row_hash": f"hash-{number}",
        "_sweep_id": "sweep-1",
    } | values


def bills(*rows: dict[str, object]) -> pd.DataFrame:
    """A frame of bills."""
    return frame(BILLS, list(rows))


def lines(*of: tuple[int, int], text: str = "line", **values: object) -> pd.DataFrame:
    """A frame of lines: (bill number, how many lines it has)."""
    return frame(
        LINES,
        [
            {
                "bill_id": key(number),
                "position": position,
                "text": f"{text} {position}",
                "_company_id": COMPANY,
                "_synced_at": FIRST,
                "_row_hash": "x",
            }
            | values
            for number, many in of
            for position in range(1, many + 1)
        ],
    )


def seen(sweep: str, *numbers: int, stream: str = "bills") -> pd.DataFrame:
    """A frame of seen keys."""
    return frame(SEEN, [{"sweep_id": sweep, "stream": stream, "key": key(number)} for number in numbers])


def load(warehouse: Warehouse, *rows: dict[str, object], children: pd.DataFrame | None = None) -> MergeCounts:
    """Merge bills and their lines in a transaction of their own."""
    with warehouse.transaction() as work:
        return work.merge(TABLES, {"bills": bills(*rows), "bill_lines": lines() if children is None else children})


def stored(warehouse: Warehouse, table: Table = BILLS) -> list[dict[str, object]]:
    """All rows of a table in the order of their keys."""
    with warehouse.transaction() as work:
        rows: list[dict[str, object]] = work.read(table).to_pylist()
    return sorted(rows, key=lambda row: [str(row[name]) for name in table.key])
