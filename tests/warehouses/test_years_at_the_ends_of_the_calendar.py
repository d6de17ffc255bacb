"""The first and last years that are loaded live in every warehouse; records of other years are set aside by all alike."""

from __future__ import annotations

import uuid
from typing import Any

from pleo_connector import sync
from pleo_connector.sandbox import RunningSandbox, SandboxConfig, running
from pleo_connector.sync import Mode, SyncPlan
from pleo_connector.sync.forecast import forecast
from pleo_connector.warehouses import open_warehouse
from tests.place import API_KEY, NOW

HELD = (
    "0001-01-01T00:00:00Z",
    "0999-06-01T12:00:00Z",
    "1969-12-31T23:59:59.999999Z",
    "1970-01-01T00:00:00Z",
    "2026-11-01T00:00:00Z",
    "2262-04-12T00:00:00Z",
    "9999-12-31T23:59:59.999999999Z",
)
NOT_HELD = (
    "0000-01-01T00:00:00Z",
    "0001-01-01T00:30:00+01:00",
    "-0044-03-15T00:00:00Z",
    "9999-12-31T23:30:00-01:00",
    "10000-01-01T00:00:00Z",
    "+12026-01-01T00:00:00Z",
)


def put(pleo: RunningSandbox) -> str:
    """One company's entries at these moments; some of other years in other fields and streams."""
    entries = pleo.state.records("accounting_entries")
    vendor = pleo.state.records("vendors")[0]
    company = str(vendor["companyId"])
    for entry in entries:
        pleo.state.remove("accounting_entries", entry["id"])
    example = next(entry for entry in entries if entry["companyId"] == company and not entry.get("deletedAt"))
    for number, moment in enumerate((*HELD, *NOT_HELD)):
        pleo.state.put("accounting_entries", example | {"id": key(number), "performedAt": moment})
    pleo.state.put("accounting_entries", example | {"id": key(50), "performedAt": HELD[4], "settledAt": NOT_HELD[0]})
    pleo.state.put("vendors", vendor | {"createdAt": NOT_HELD[0]})
    return company


def key(number: int) -> str:
    return str(uuid.UUID(int=number + 1, version=4))


def test_a_sync_ends_well_and_the_next_one_writes_nothing(url: str) -> None:
    with running(SandboxConfig(port=0, requests_per_minute=0)) as pleo:
        company = put(pleo)
        plan: dict[str, Any] = {"streams": ("companies", "accounting_entries", "vendors"), "companies": (company,)}
        warehouse, connection = open_warehouse(url, "pleo"), sync.Connection(pleo.url, API_KEY, requests_per_minute=1_000_000)
        first = sync.run(SyncPlan(**plan), connection, warehouse, now=NOW)
        entries, vendors = first.streams["accounting_entries"], first.streams["vendors"]
        assert (first.failures, entries.warnings) == ({}, [])
        assert (entries.inserted, entries.quarantined, vendors.quarantined) == (len(HELD), len(NOT_HELD) + 1, 1)
        walks = forecast(SyncPlan(**plan, mode=Mode.FULL), warehouse, requests_per_minute=500, now=NOW).walks
        assert [walk.rows for walk in walks if walk.stream == "accounting_entries"] == [4, 3]
        again = sync.run(SyncPlan(**plan, mode=Mode.FULL), connection, warehouse, now=NOW)
        assert (again.failures, again.written, again.streams["accounting_entries"].absent) == ({}, 0, 0)
        pleo.state.remove("accounting_entries", key(0))
        pleo.state.put("accounting_entries", pleo.state.records("accounting_entries")[0] | {"id": key(6), "performedAt": HELD[0]})
        changed = sync.run(SyncPlan(**plan, mode=Mode.FULL), connection, warehouse, now=NOW).streams["accounting_entries"]
        assert (changed.updated, changed.absent, changed.error) == (1, 1, None)
    with warehouse.transaction() as transaction:
        reasons = transaction.scalar("SELECT count(DISTINCT reason) FROM {schema}._quarantine")
        years = transaction.scalar(
            "SELECT string_agg(CAST(y AS VARCHAR), ' ' ORDER BY y) FROM (SELECT CAST(extract(year FROM performed_at) AS INTEGER) AS y "
            "FROM {schema}.accounting_entries WHERE _deleted_at IS NULL) AS years"
        )
    assert (reasons, years) == (1, "1 999 1969 1970 2026 2262")
