"""Token stores, found by the value of `PLEO_TOKEN_STORE`."""

from __future__ import annotations

import re
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from platformdirs import user_state_path

from pleo_connector.auth.stores.host_marks import HostMarks
from pleo_connector.auth.stores.installation import Installation
from pleo_connector.auth.stores.notes import Notes
from pleo_connector.auth.stores.postgres import PostgresTokenStore
from pleo_connector.auth.stores.postgres_notes import PostgresNotes
from pleo_connector.auth.stores.protocol import Intent, LockHandle, Record, State, TokenStore
from pleo_connector.auth.stores.sqlite import SqliteTokenStore
from pleo_connector.auth.stores.sqlite_notes import SqliteNotes
from pleo_connector.errors import ConfigurationError
from pleo_connector.settings import default_host_marks

__all__ = [
    "Intent",
    "LockHandle",
    "Notes",
    "OpenedStore",
    "PostgresTokenStore",
    "Record",
    "SqliteTokenStore",
    "State",
    "TokenStore",
    "open_notes",
    "open_store",
]

_SCHEME = re.compile(r"^([a-z][a-z0-9+.-]+)://", re.IGNORECASE)  # two letters at least: C:\ is a path
_DUCKDB = (".duckdb", ".ddb")
SUPPORTED = "a file path, sqlite:///path/to/tokens.sqlite, or postgresql://user:password@host/database"


@dataclass(frozen=True, slots=True)
class OpenedStore:
    """A store with what belongs beside it."""

    store: TokenStore
    kind: str
    place: str
    """Where it is, for people; no passwords."""
    key_file: Path | None
    """Where the first login makes a key; None when several hosts need the same, and one must be given."""
    spill_folders: tuple[Path, ...]
    """Where new tokens go, sealed, when the store cannot be written after a rotation."""
    installation: Installation
    """The store as this host knows it."""


def open_store(setting: str, host_marks: str | None = None) -> OpenedStore:
    """The store that `PLEO_TOKEN_STORE` names, known to this host by `PLEO_HOST_MARKS`; ConfigurationError lists what there is."""
    path, marks = _file(setting), HostMarks(Path(host_marks or default_host_marks()))
    if path is not None:
        return _sqlite(path, marks)
    store = PostgresTokenStore(setting)
    folders = (user_state_path("pleo-connector"), Path(tempfile.gettempdir()))
    return OpenedStore(store, "postgresql", store.place, None, folders, Installation(marks, store.place, None))


def open_notes(setting: str, clock: Callable[[], float] = time.monotonic) -> Notes:
    """The notes beside the store that `PLEO_TOKEN_STORE` names, whether or not there is one yet; those in PostgreSQL go by its own clock."""
    path = _file(setting)
    return PostgresNotes(setting) if path is None else SqliteNotes(path.with_name(f"{path.name}.budget"), clock=clock)


def _file(setting: str) -> Path | None:
    """The path of an SQLite store; None for PostgreSQL."""
    scheme = _SCHEME.match(setting)
    if scheme is None:
        return Path(setting).expanduser()
    if scheme[1].lower() == "sqlite":
        path = setting[scheme.end() :]
        if path.startswith("/") and len(path) > 1:
            return Path(unquote(path[1:])).expanduser()
        raise ConfigurationError(
            "PLEO_TOKEN_STORE must name a file, as in sqlite:///tokens.sqlite or sqlite:////var/lib/pleo/tokens.sqlite."
        )
    if scheme[1].lower() in ("postgresql", "postgres"):
        return None
    raise ConfigurationError(f"PLEO_TOKEN_STORE names the scheme {scheme[1]}://, which is not supported; use {SUPPORTED}.")


def _sqlite(path: Path, marks: HostMarks) -> OpenedStore:
    if path.suffix.lower() in _DUCKDB and not path.exists():
        raise ConfigurationError(
            f"PLEO_TOKEN_STORE names a DuckDB file, {path}: only one process at a time can have one open, so it cannot keep tokens. "
            "Set it to another file, such as tokens.sqlite, or to postgresql://... for several hosts."
        )
    store = SqliteTokenStore(path, host=marks.host)
    folders = (store.path.parent, Path(tempfile.gettempdir()))
    installation = Installation(marks, str(store.path), lambda place, connection: SqliteTokenStore(Path(place)).read(connection))
    return OpenedStore(store, "sqlite", str(store.path), store.path.with_name(f"{store.path.name}.key"), folders, installation)
