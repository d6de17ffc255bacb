"""The connections of a client in a token store, told without opening anything that is sealed."""

from __future__ import annotations

from dataclasses import dataclass

from pleo_connector.auth.stores import OpenedStore, Record, State, open_store
from pleo_connector.settings import Settings


@dataclass(frozen=True, slots=True)
class StoredConnection:
    """One connection as its store tells it; nothing here is secret."""

    label: str
    """Empty for the connection without one."""
    state: State
    reason: str
    refreshed_at: float | None
    """When tokens last arrived, in seconds since the epoch."""

    @property
    def works(self) -> bool:
        """Whether a run may use it, as far as the store knows."""
        return self.state in (State.ACTIVE, State.REFRESHING)


def list_labels(settings: Settings, opened: OpenedStore) -> list[str]:
    """Every label that the settings' client ever had in this environment, sorted; empty for the connection without one."""
    return sorted(_records(settings, opened))


def list_connections(settings: Settings, opened: OpenedStore | None = None) -> list[StoredConnection]:
    """What the store knows of each; it needs no key. TokenStoreCorrupt and TokenStoreUnavailable are raised."""
    opened = opened or open_store(settings.token_store, settings.host_marks)
    found = sorted(_records(settings, opened).items())
    return [StoredConnection(label, record.state, record.reason, record.refreshed_at) for label, record in found]


def _records(settings: Settings, opened: OpenedStore) -> dict[str, Record]:
    """By label, those of the settings' client and environment."""
    whole = settings.labelled("").connection
    return {
        record.connection[len(whole) :].lstrip("/"): record
        for record in opened.store.records()
        if record.connection == whole or record.connection.startswith(f"{whole}/")
    }
