"""The table of tokens in PostgreSQL, and a row of it as a record."""

from __future__ import annotations

from typing import Any

from pleo_connector.auth.stores.protocol import Intent, Record, State

VERSION = 1
SCHEMA = """
create schema if not exists pleo_connector;
create table if not exists pleo_connector.token_store (version integer not null);
insert into pleo_connector.token_store select {version} where not exists (select from pleo_connector.token_store);
create table if not exists pleo_connector.connection (
  name text primary key,
  generation bigint not null,
  state text not null check (state in ('active', 'refreshing', 'reauth_required', 'disconnected')),
  blob bytea,
  reason text not null default '',
  updated_at double precision not null,
  refreshed_at double precision,
  intent_id text,
  intent_host text,
  intent_pid integer,
  intent_started double precision,
  intent_deadline double precision,
  intent_access_dead boolean,
  intent_last_retry boolean,
  lineage text
);
{notes}
"""
NOW = "extract(epoch from clock_timestamp())::double precision"
NO_INTENT = (
    "intent_id = null, intent_host = null, intent_pid = null, intent_started = null, intent_deadline = null, "
    "intent_access_dead = null, intent_last_retry = null"
)


def record_of(row: dict[str, Any]) -> Record:
    """The record of a row, which has `read_at` beside the table's columns."""
    intent = None
    if row["intent_id"] is not None:
        intent = Intent(
            id=row["intent_id"],
            host=row["intent_host"],
            pid=row["intent_pid"],
            started=row["intent_started"],
            deadline=row["intent_deadline"],
            access_dead=row["intent_access_dead"],
            last_retry=row["intent_last_retry"],
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
        read_at=row["read_at"],
        lineage=row.get("lineage"),
    )
