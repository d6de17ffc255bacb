"""The table of tokens in an SQLite file."""

from __future__ import annotations

import sqlite3

TABLE = """
create table connection (
  name text primary key,
  generation integer not null,
  state text not null check (state in ('active', 'refreshing', 'reauth_required', 'disconnected')),
  blob blob,
  reason text not null default '',
  updated_at real not null,
  refreshed_at real,
  intent_id text,
  intent_host text,
  intent_pid integer,
  intent_started real,
  intent_deadline real,
  intent_access_dead integer,
  intent_last_retry integer,
  padding blob,
  lineage text,
  host text
) strict
"""
_LATER_COLUMNS = ("lineage", "host")
"""Stores of the first version lack them and get them at the next write; that version goes on reading such a store."""
NO_INTENT = (
    "intent_id = null, intent_host = null, intent_pid = null, intent_started = null, intent_deadline = null, "
    "intent_access_dead = null, intent_last_retry = null, padding = null"
)


def add_later_columns(db: sqlite3.Connection) -> None:
    """Bring a table of the first version up to date."""
    there = {row["name"] for row in db.execute("select name from pragma_table_info('connection')")}
    for column in _LATER_COLUMNS:
        if there and column not in there:
            db.execute(f"alter table connection add column {column} text")
