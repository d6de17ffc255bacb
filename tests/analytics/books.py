"""A few rows that can be added up by hand, in a DuckDB file with all views."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb

COMPANY = "c0000000-0000-4000-8000-000000000001"
ANNA = "e0000000-0000-4000-8000-000000000001"
TRAVEL, FOOD = "a0000000-0000-4000-8000-000000000001", "a0000000-0000-4000-8000-000000000002"
REDUCED = "70000000-0000-4000-8000-000000000001"
GROUP = "60000000-0000-4000-8000-000000000001"
BERLIN, PARIS = "b0000000-0000-4000-8000-000000000001", "b0000000-0000-4000-8000-000000000002"


class Books:
    """A DuckDB file with the connector's tables; rows are written the way a person would."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.open()
        self._entries = 0

    def open(self) -> None:
        self._connection = duckdb.connect(str(self.file))
        self._connection.execute("USE pleo; SET TimeZone = 'America/New_York'")  # a mart's months are UTC wherever it is read

    def close(self) -> None:
        self._connection.close()

    def add(self, table: str, **values: Any) -> None:
        names = ", ".join(f'"{name}"' for name in values)
        marks = ", ".join("?" for _ in values)
        self._connection.execute(f'INSERT INTO "{table}" ({names}) VALUES ({marks})', list(values.values()))

    def entry(self, amount: str | None, **values: Any) -> str:
        self._entries += 1
        key = f"f0000000-0000-4000-8000-{self._entries:012d}"
        usual = {
            "company_id": COMPANY, "employee_id": ANNA, "family": "CARD_PURCHASE", "status": "COMPLETED", "review_status": "OK",
            "export_status": "EXPORTED", "performed_at": "2026-03-10T12:00:00Z", "settled_at": "2026-03-11T12:00:00Z", "_synced_at": "2026-03-12T12:00:00Z",
            "transaction_value": amount, "transaction_value_currency": "EUR",
            "total_bill_value": amount, "total_bill_value_currency": "EUR" if amount else None,
        }  # fmt: skip
        self.add("accounting_entries", id=key, **{**usual, **values})
        return key

    def split(self, entry: str, position: int, amount: str | None, **values: Any) -> None:
        currency = {"total_bill_value_currency": "EUR" if amount else None}
        self.add("accounting_entry_splits", accounting_entry_id=entry, position=position, total_bill_value=amount, **currency, **values)

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(sql).fetchall()

    def entries_of(self, view: str) -> set[str]:
        return {str(key) for (key,) in self.ask(f"SELECT entry_id FROM {view}")}
