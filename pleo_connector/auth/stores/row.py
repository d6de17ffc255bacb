"""A row of a token table, in whichever database, as a record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pleo_connector.auth.stores.protocol import Intent, Record, State


def record_of(row: Mapping[str, Any]) -> Record:
    """The record; `read_at`, `lineage` and `host` may be missing."""
    intent = None
    if row["intent_id"] is not None:
        intent = Intent(
            id=row["intent_id"],
            host=row["intent_host"],
            pid=row["intent_pid"],
            started=row["intent_started"],
            deadline=row["intent_deadline"],
            access_dead=bool(row["intent_access_dead"]),
            last_retry=bool(row["intent_last_retry"]),
        )
    return Record(
        connection=row["name"],
        generation=row["generation"],
        state=State(row["state"]),
        blob=row["blob"],
        intent=intent,
        reason=row["reason"],
        updated_at=row["updated_at"],
        refreshed_at=row["refreshed_at"],
        read_at=row.get("read_at"),
        lineage=row.get("lineage"),
        host=row.get("host"),
    )
