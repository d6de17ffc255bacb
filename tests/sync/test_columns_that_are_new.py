"""A warehouse made before columns were declared gets them, and its rows are filled as they are read again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pleo_connector import sync
from pleo_connector.analytics import refresh
from pleo_connector.catalogue import CATALOGUE, Catalogue
from pleo_connector.warehouses import open_warehouse
from tests.place import API_KEY, NOW, Place
from tests.postgres_server import new_database

NEW = ("merchant.name", "merchant.merchantCategoryCode", "employee.id", "employee.email", "employee.firstName", "employee.lastName")
ENTRIES = CATALOGUE.stream("accounting_entries")
EARLIER = Catalogue(
    *(replace(one, columns=tuple(c for c in one.columns if c.source not in NEW)) if one is ENTRIES else one for one in CATALOGUE)
)
"""The catalogue of a version that did not know these fields: they were kept in `_extra`."""


def url_of(kind: str, folder: Path) -> str:
    return {"duckdb": f"duckdb:///{folder / 'w.duckdb'}", "iceberg": f"iceberg:///{folder / 'lake'}"}.get(kind) or new_database()


@pytest.mark.parametrize("kind", ["duckdb", "postgres", "iceberg"])
def test_rows_of_an_earlier_version_are_filled_as_they_are_read_again(place: Place, tmp_path: Path, kind: str) -> None:
    warehouse = open_warehouse(url_of(kind, tmp_path), "books")
    connection = sync.Connection(place.pleo.url, API_KEY, requests_per_minute=1_000_000)
    company = next(one["id"] for one in place.pleo.state.records("companies") if one["address"]["country"] == "NL")
    plan = sync.SyncPlan(("accounting_entries",), companies=(company,))

    first = sync.run(plan, connection, warehouse, now=NOW, catalogue=EARLIER).streams["accounting_entries"]
    assert set(first.drift.unknown_fields) == {"merchant", "employee"}

    again = sync.run(replace(plan, mode=sync.Mode.FULL), connection, warehouse, now=NOW).streams["accounting_entries"]
    assert again.error is None
    assert (again.updated, again.inserted, again.drift.unknown_fields) == (first.inserted, 0, {})
    assert stored(warehouse) == served(place, company)

    refresh(warehouse)
    assert sync.run(replace(plan, mode=sync.Mode.FULL), connection, warehouse, now=NOW).written == 0


def stored(warehouse: Any) -> dict[str, tuple[Any, ...]]:
    columns = ("id", "merchant_name", "merchant_category_code", "inline_employee_id", "employee_email", "_extra")
    with warehouse.transaction() as transaction:
        rows = transaction.read(ENTRIES.tables()[0], columns).to_pylist()
    return {str(row["id"]): tuple(None if row[name] is None else str(row[name]) for name in columns[1:]) for row in rows}


def served(place: Place, company: str) -> dict[str, tuple[Any, ...]]:
    found = {}
    for entry in place.pleo.state.records("accounting_entries", company):
        merchant, employee = entry.get("merchant") or {}, entry.get("employee") or {}
        found[entry["id"]] = (merchant.get("name"), merchant.get("merchantCategoryCode"), employee.get("id"), employee.get("email"), None)
    return found
