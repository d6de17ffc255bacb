"""The table of tokens in PostgreSQL, and what a login does to it."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any

from pleo_connector.auth.stores.postgres_lock import lock_key
from pleo_connector.auth.stores.postgres_notes import TABLE as NOTES
from pleo_connector.auth.stores.postgres_session import driver

if TYPE_CHECKING:
    import psycopg

_VERSION = 1
_SCHEMA = """
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


def ensured(db: psycopg.Connection[dict[str, Any]]) -> bool:
    """Create what is missing, in the transaction that is open; whether logins get a name there."""
    db.execute("select pg_advisory_xact_lock(%s)", (lock_key("create the schema"),))
    # What is there already is not asked for again: this user may not be allowed to create anything.
    there = db.execute("select to_regclass('pleo_connector.connection') is not null as there").fetchone()
    if there is not None and not there["there"]:
        db.execute(_SCHEMA.format(version=_VERSION, notes=NOTES))
    return _names_logins(db)


def stored(db: psycopg.Connection[dict[str, Any]], connection: str, blob: bytes, *, named: bool) -> dict[str, Any] | None:
    """Store the tokens of a new login; a row with its generation."""
    name, value, change = (", lineage", ", %s", ", lineage = excluded.lineage") if named else ("", "", "")
    return db.execute(
        f"insert into pleo_connector.connection as c (name, generation, state, blob, updated_at, refreshed_at{name}) "
        f"values (%s, 1, 'active', %s, {NOW}, {NOW}{value}) "
        "on conflict (name) do update set generation = c.generation + 1, state = 'active', blob = excluded.blob, reason = '', "
        f"updated_at = excluded.updated_at, refreshed_at = excluded.refreshed_at{change}, {NO_INTENT} returning generation",
        (connection, blob, *([secrets.token_hex(8)] if named else [])),
    ).fetchone()


def _names_logins(db: psycopg.Connection[dict[str, Any]]) -> bool:
    """Whether there is a column for a login's name: tables of the first version get it if this user may add it."""
    there = db.execute(
        "select from pg_attribute where attrelid = 'pleo_connector.connection'::regclass and attname = 'lineage' and not attisdropped"
    ).fetchone()
    if there is not None:
        return True
    try:
        with db.transaction():
            db.execute("alter table pleo_connector.connection add column lineage text")
    except driver().errors.InsufficientPrivilege:
        return False
    return True
