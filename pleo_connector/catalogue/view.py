"""A view over the tables for analysts: its SQL, and the description and source of each column."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from pleo_connector.catalogue.types import Storage


@dataclass(frozen=True, slots=True)
class ViewColumn:
    """One column of a view."""

    name: str
    storage: Storage
    description: str
    sources: tuple[tuple[str, str], ...] = ()
    """(table or view, column) pairs that its values are made of."""


@dataclass(frozen=True, slots=True)
class View:
    """A named SELECT that names its columns itself. It names tables and other views bare: they are those of its own schema."""

    name: str
    description: str
    sql: str
    columns: tuple[ViewColumn, ...]
    reads: tuple[str, ...]
    """Tables and views that the SQL reads."""

    def __post_init__(self) -> None:
        names = [column.name for column in self.columns]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"view {self.name}: needs columns with names of their own")
        strangers = {table for column in self.columns for table, _ in column.sources} - set(self.reads)
        if strangers:
            raise ValueError(f"view {self.name}: columns come from {sorted(strangers)}, which it does not read")

    @property
    def fingerprint(self) -> str:
        """Changes when the SQL or a description does; the view's comment in the warehouse ends with it."""
        texts = [self.sql, self.description, *(f"{column.name}: {column.description}" for column in self.columns)]
        return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:8]
