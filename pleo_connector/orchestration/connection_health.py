"""How each connection of the token store stands: which are partitions, which can be synced, and why the others cannot."""

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
class Standing:
    """What the store and Dagster say together. A connection that needs a new consent keeps its partition, and is idle."""

    works: list[str] = field(default_factory=list)
    add: list[str] = field(default_factory=list)
    remove: list[str] = field(default_factory=list)
    """Partitions of connections that were disconnected. Their tables stay."""
    idle: dict[str, str] = field(default_factory=dict)
    """Label -> why no run can be asked for, in one sentence."""


def standing(
    found: "Sequence[StoredConnection]", partitions: Sequence[str], settings: "Settings", warehouse: WarehouseResource
) -> Standing:
    """How the store's connections stand, beside the partitions that there are."""
    told, labels = Standing(), [one.label for one in found]
    for one in found:
        if one.state == "disconnected":
            if one.label in partitions:
                told.remove.append(one.label)
            continue
        why = _refused(one.label, settings.labelled) or clash(one.label, warehouse, partitions, labels)
        if why is None and one.label not in partitions:
            told.add.append(one.label)
        if why is None and not one.works:
            because = f" ({one.reason})" if one.reason else ""
            why = f"{one.label} is not synced until a person connects it again{because}; {_how(one.label)}."
        if why is None:
            told.works.append(one.label)
        else:
            told.idle[one.label] = why
    for label in partitions:
        if label not in labels:  # a store forgets no label: this is another store, or was added by hand
            told.idle[label] = f"{label} is a partition, and the token store has never had it; nothing is removed."
    return told


def _refused(label: str, labelled: "Callable[[str], Settings]") -> str | None:
    if not label:
        return "The connection without a label is not synced here: connect it under one, or give it definitions of its own."
    try:
        labelled(label)
    except ConfigurationError as error:
        return f"{label!r} is not synced: {error}"
    return None


def _how(label: str) -> str:
    return f"run `pleo-connector connect --connection {label}`, or send a link of the portal"
