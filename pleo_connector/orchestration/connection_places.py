"""The credential and the place in the warehouse of a connection's label, and which label has a place that two would use."""

from collections.abc import Iterable, Sequence

from pleo_connector.errors import ConfigurationError
from pleo_connector.orchestration.resources import PleoResource, WarehouseResource

PLACEHOLDER = "{connection}"
"""Stands for the label in the warehouse's URL, where each connection has a file or a database of its own."""

LONGEST_PREFIX = 22
"""Of 63 characters that a schema's name may have, a label takes 40 and the underscore before it one."""

API_KEY_IS_ONE = "PLEO_API_KEY is set, and an API key stands for one connection only; unset it to sync the connections of the token store."

_OUR_RAW = ("off", "warehouse")
_OUR_SNAPSHOT = ("off", "on")


def check_template(warehouse: WarehouseResource) -> None:
    """ConfigurationError where connections would share a place in the warehouse. Opens nothing."""
    settings = warehouse.settings()
    if PLACEHOLDER not in settings.warehouse and len(settings.schema_name) > LONGEST_PREFIX:
        raise ConfigurationError(
            f"The schema {settings.schema_name} is too long for one schema per connection, named {settings.schema_name}_<label>: "
            f"{LONGEST_PREFIX} characters at most, or write {PLACEHOLDER} into the warehouse's URL."
        )
    if PLACEHOLDER in settings.warehouse and settings.snapshot not in _OUR_SNAPSHOT and PLACEHOLDER not in settings.snapshot:
        raise ConfigurationError(
            f"PLEO_SNAPSHOT names one file for the copies of all connections; write {PLACEHOLDER} into it, or on for a copy beside each."
        )


def pleo_of(label: str, pleo: PleoResource) -> PleoResource:
    """The credential of one connection; ConfigurationError for what is no label, and for an API key, which has none."""
    settings = pleo.settings()
    if settings.uses_api_key:
        raise ConfigurationError(API_KEY_IS_ONE)
    settings.labelled(label)
    return pleo.model_copy(update={"connection_label": label})


def warehouse_of(label: str, warehouse: WarehouseResource) -> WarehouseResource:
    """Where one connection's tables go: a file of its own where the URL says so, else a schema of its own.

    Pages kept in a folder have a folder each: they are shared by content there, and one connection must not prune another's.
    """
    settings = warehouse.settings()
    return warehouse.model_copy(
        update={
            "warehouse": settings.warehouse.replace(PLACEHOLDER, label),
            "schema_name": schema_of(label, warehouse),
            "snapshot": settings.snapshot.replace(PLACEHOLDER, label),
            "raw": settings.raw if settings.raw in _OUR_RAW else f"{settings.raw.rstrip('/')}/{label}",
        }
    )


def schema_of(label: str, warehouse: WarehouseResource) -> str:
    """The schema of a connection: `<schema>_<label>` with _ for -, or in a place of its own simply `<schema>`."""
    settings = warehouse.settings()
    return settings.schema_name if PLACEHOLDER in settings.warehouse else f"{settings.schema_name}_{label.replace('-', '_')}"


def clash(label: str, warehouse: WarehouseResource, partitions: Sequence[str], stored: Iterable[str]) -> str | None:
    """Why the label cannot have its place, in one sentence, or None.

    Who was a partition first keeps the place, so a customer who comes later with a similar label takes nothing from anybody.
    `stored` are all labels that were ever connected: tables of one that is gone are still there.
    """
    if PLACEHOLDER in warehouse.settings().warehouse:
        return None
    schema = schema_of(label, warehouse)
    rivals = sorted(other for other in {*partitions, *stored} if other and other != label and schema_of(other, warehouse) == schema)
    order = {one: place for place, one in enumerate(partitions)}
    if not rivals or (label in order and all(order[label] < order.get(rival, len(order)) for rival in rivals)):
        return None
    return (
        f"{label} is not synced, because its tables would go to the schema {schema}, which {' and '.join(rivals)} uses too: "
        "connect it under another label."
    )
