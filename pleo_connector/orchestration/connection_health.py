"""The health of each connection of the token store: which are partitions, which can be synced, and why the others cannot."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from pleo_connector.errors import ConfigurationError
from pleo_connector.orchestration.connection_places import clash
from pleo_connector.orchestration.resources import WarehouseResource

if TYPE_CHECKING:
    from pleo_connector.auth.connections import StoredConnection
    from pleo_connector.settings import Settings


@dataclass(frozen=True, slots=True)
class ConnectionHealth:
    """The store's connections compared with Dagster's partitions. A connection that needs a new consent keeps its partition, and is idle."""

    works: list[str] = field(default_factory=list)
    add: list[str] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)
    """Partitions of connections that were disconnected. Their tables stay."""
    idle: dict[str, str] = field(default_factory=dict)
    """Label -> why no run can be requested, in one sentence."""


def health_of(
    stored: "Sequence[StoredConnection]", partitions: Sequence[str], settings: "Settings", warehouse: WarehouseResource
) -> ConnectionHealth:
    """The health of the stored connections, compared with these partitions."""
    health, labels = ConnectionHealth(), [one.label for one in stored]
    for one in stored:
        if one.state == "disconnected":
            if one.label in partitions:
                health.remove.append(one.label)
            continue
        why = _refusal(one.label, settings.labelled) or clash(one.label, warehouse, partitions, labels)
        if why is None and one.label not in partitions:
            health.add.append(one.label)
        if why is None and not one.works:
            because = f" ({one.reason})" if one.reason else ""
            why = f"{one.label} is not synced until a person connects it again{because}; {_remedy(one.label)}."
        if why is None:
            health.works.append(one.label)
        else:
            health.idle[one.label] = why
    for label in partitions:
        if label not in labels:  # a store forgets no label: this is another store, or was added by hand
            health.idle[label] = f"{label} is a partition, but the token store has no such connection; the partition is not removed."
    return health


def _refusal(label: str, labelled: "Callable[[str], Settings]") -> str | None:
    if not label:
        return "The connection without a label is not synced here: connect it with a label, or build separate definitions for it."
    try:
        labelled(label)
    except ConfigurationError as error:
        return f"{label!r} is not synced: {error}"
    return None


def _remedy(label: str) -> str:
    return f"run `pleo-connector connect --connection {label}`, or send a link of the portal"
