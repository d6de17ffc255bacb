"""Warehouse tables as the catalogue derives them; every warehouse creates just these."""

from __future__ import annotations

from dataclasses import dataclass

from pleo_connector.catalogue.types import Field, Storage

SYSTEM_FIELDS = (
    Field("_synced_at", Storage.TIMESTAMP, "When the connector last wrote this row; moves only when the row changed."),
    Field(
        "_deleted_at", Storage.TIMESTAMP, "When Pleo deleted the record, or a sweep first found it missing; NULL while the record exists."
    ),
    Field(
        "_deleted_source",
        Storage.TEXT,
        "How the deletion was detected: api_flag (Pleo reported it) or sweep_absent (missing from a complete sweep).",
    ),
    Field("_row_hash", Storage.TEXT, "Fingerprint of the record with its children, as served; decides whether a row changed."),
    Field("_sweep_id", Storage.TEXT, "The sweep that last wrote this row."),
    Field("_extra", Storage.JSON, "Fields that Pleo served and the catalogue does not declare, by path; NULL when there were none."),
)
"""Columns that every table ends with."""

COMPANY_FIELD = Field("_company_id", Storage.UUID, "The company this row was read for.")


@dataclass(frozen=True, slots=True)
class Table:
    """One warehouse table: `key` is unique and never NULL; `parent` is set on child tables."""

    name: str
    description: str
    fields: tuple[Field, ...]
    key: tuple[str, ...]
    stream: str
    parent: str | None = None
    parent_key: tuple[str, ...] = ()
    """Columns of a child table that hold its top parent's key, in the parent's key order."""
    window_column: str | None = None
    """The time column that the stream's windows act on, of a parent table that is read window by window."""

    def __post_init__(self) -> None:
        names = [field.name for field in self.fields]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise ValueError(f"table {self.name}: columns declared twice: {sorted(twice)}")
        missing = ({*self.key, *self.parent_key, self.window_column} - {None}) - set(names)
        if missing:
            raise ValueError(f"table {self.name}: {sorted(map(str, missing))} are not columns")
        if not self.key:
            raise ValueError(f"table {self.name}: needs a key")

    @property
    def column_names(self) -> tuple[str, ...]:
        """Names of all columns, in order."""
        return tuple(field.name for field in self.fields)

    @property
    def company_column(self) -> str | None:
        """The column with the company of a row; None for tables without companies."""
        names = self.column_names
        return next((name for name in ("company_id", "_company_id") if name in names), None)

    @property
    def changed_column(self) -> str | None:
        """The column in which Pleo says when it last changed the record; None where it does not say."""
        return "updated_at" if "updated_at" in self.column_names else None
