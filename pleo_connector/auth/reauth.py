"""When a person must consent again, and the words that say so."""

from __future__ import annotations

from datetime import UTC, datetime

from pleo_connector.auth.advice import how_to_begin_anew, how_to_connect
from pleo_connector.auth.stores.protocol import Intent, Record, State
from pleo_connector.errors import ReauthRequired, WrongKey


def connected(record: Record | None, connection: str, looked: str = "") -> Record:
    """The record if it can be used; else ReauthRequired with what to do. `looked` says where it was looked for."""
    if record is None or record.state is State.DISCONNECTED or record.blob is None:
        raise ReauthRequired(f"Nothing is connected as {connection}{looked}; {how_to_connect(connection)}.")
    if record.state is State.REAUTH_REQUIRED:
        raise reauth(connection, record.reason)
    return record


def reauth(connection: str, reason: str) -> ReauthRequired:
    """The error for a grant that is gone."""
    return ReauthRequired(f"Re-authorisation of {connection} is required: {reason}; {how_to_connect(connection)}.")


def outcome_unknown(record: Record, intent: Intent) -> str:
    """The reason for a refresh that was sent, and whose new tokens nobody holds."""
    return _uncertain(record, unanswered(intent, "reached Pleo and its answer was not stored"))


def refused_after_doubt(record: Record, error: str) -> str:
    """The reason for a refusal that follows a refresh whose outcome was in doubt, which the record names."""
    return _uncertain(record, f"{record.reason}, and the next one was refused ({error})")


def _uncertain(record: Record, what: str) -> str:
    last = "unknown" if record.refreshed_at is None else utc(record.refreshed_at)
    return f"rotation outcome unknown (rotation uncertain): {what}, last good refresh {last}"


def unanswered(intent: Intent, why: str = "was not answered") -> str:
    """What is kept of a refresh that was sent and, as far as Pleo tells, did not go through."""
    return f"a refresh started {utc(intent.started)} by host={intent.host} pid={intent.pid} {why}"


def utc(seconds: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def missing_key(connection: str) -> WrongKey:
    """The error for stored tokens without any key to open them."""
    return WrongKey(
        f"Tokens of {connection} are stored, and there is no key to open them: PLEO_TOKEN_KEYS is not set, and there is no "
        f"key file beside the token store. Restore the key; if it is lost, {how_to_begin_anew(connection)}."
    )
