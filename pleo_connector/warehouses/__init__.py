"""Floor 2: the warehouses. `open_warehouse(url, schema)` opens one; `protocol.py` says what each must do.

Built in: `duckdb:///spend.duckdb` (relative), `duckdb:////data/spend.duckdb` (absolute), `md:name` for MotherDuck
(the same code, not tested here), `postgresql://user@host/database` (extra `postgres`), `iceberg:///folder` and
`iceberg://name` for a catalogue that PyIceberg's configuration names (extra `iceberg`).
Another warehouse is an entry point in the group `pleo_connector.warehouses` whose
name is the URL scheme and whose value is a callable `(url, schema, *, wait) -> Warehouse`.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

from pleo_connector.errors import ConfigurationError
from pleo_connector.warehouses.duckdb import STORAGE_VERSION, DuckDBWarehouse
from pleo_connector.warehouses.protocol import SEEN_KEYS, Batches, Gathers, MergeCounts, Publishes, Scope, Transaction, Warehouse
from pleo_connector.warehouses.snapshot import snapshot_path

GROUP = "pleo_connector.warehouses"
"""Entry point group of warehouses from other packages."""

FORMS = (
    "duckdb:///spend.duckdb for a file in the current folder, duckdb:////data/spend.duckdb for an absolute path, "
    "postgresql://user@host/database for PostgreSQL, iceberg:///lake for Iceberg tables in a folder"
)

_CATALOGUE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
"""A name that PyIceberg's configuration can hold, in its variables too."""

_STORES = ("s3", "s3a", "s3n", "gs", "gcs", "r2", "az", "azure", "abfs", "abfss", "wasb", "wasbs", "hdfs")
"""Schemes of object stores."""

_FILES = ("sqlite", "sqlite3", "file")
"""Schemes of other databases that are one file, as DuckDB's are."""

__all__ = [
    "GROUP",
    "SEEN_KEYS",
    "Batches",
    "Gathers",
    "MergeCounts",
    "Publishes",
    "Scope",
    "Transaction",
    "Warehouse",
    "is_missing",
    "open_warehouse",
    "require_made",
]


def open_warehouse(url: str, schema: str, *, wait: float = 60.0, snapshot: str = "", storage_version: str = STORAGE_VERSION) -> Warehouse:
    """The warehouse of a URL; nothing is opened or created yet. ConfigurationError says what is wrong with the URL.

    `wait` is how many seconds a transaction waits for its turn; `snapshot` and `storage_version` are what
    PLEO_SNAPSHOT and PLEO_STORAGE_VERSION say.
    """
    if not schema or "\0" in schema:
        raise ConfigurationError("PLEO_SCHEMA must name a schema: it is empty or holds a NUL character.")
    scheme, colon, rest = url.strip().partition(":")
    if (store := _store_in(scheme, rest)) and store not in {plugin.name for plugin in entry_points(group=GROUP)}:
        raise ConfigurationError(
            f"PLEO_WAREHOUSE names an object store ({store}://), and only Iceberg tables with a catalogue can be stored there: describe the "
            "catalogue in PyIceberg's configuration and write iceberg://name (docs/warehouses.md), or write duckdb:///spend.duckdb."
        )
    if colon and scheme == "duckdb":
        return _duckdb(url.strip(), schema, wait=wait, snapshot=snapshot, storage_version=storage_version)
    if snapshot_path(snapshot, Path("any")) is not None:
        raise ConfigurationError("PLEO_SNAPSHOT works with a DuckDB file only, and readers of other warehouses need none; unset it.")
    builders: dict[str, Callable[..., Warehouse]] = {
        "duckdb": _duckdb,
        "md": _motherduck,
        "postgresql": _postgres,
        "postgres": _postgres,
        "iceberg": _iceberg,
    }
    if colon and scheme in builders:
        return builders[scheme](url.strip(), schema, wait=wait)
    for plugin in entry_points(group=GROUP):
        if colon and plugin.name == scheme:
            try:
                build = plugin.load()
            except Exception as error:
                raise ConfigurationError(
                    f"The warehouse plug-in for {scheme}: URLs ({plugin.value}) cannot be imported: {error}."
                ) from error
            warehouse: Warehouse = build(url.strip(), schema, wait=wait)
            return warehouse
    raise _unknown(url.strip(), scheme if colon else "", [*builders, *(plugin.name for plugin in entry_points(group=GROUP))])


def missing(warehouse: Warehouse, sources: str) -> str:
    """The message for a DuckDB file or Iceberg folder that does not exist yet, empty for others; `sources` names the settings."""
    if warehouse.kind not in ("duckdb", "iceberg"):
        return ""
    place = Path(warehouse.location)
    if warehouse.kind == "iceberg":
        from pleo_connector.warehouses.iceberg import CATALOGUE_FILE  # noqa: PLC0415 - its library comes with an extra

        place /= CATALOGUE_FILE
    if not place.is_absolute() or place.exists():  # MotherDuck and catalogues elsewhere have a name
        return ""
    return (
        f"There is no warehouse at {warehouse.location} yet (settings are those of {sources}): run a sync, which creates it, "
        "or set PLEO_WAREHOUSE to the address of an existing one."
    )


def require_made(warehouse: Warehouse, sources: str) -> None:
    """ConfigurationError when the file or folder does not exist: a reader creates no warehouse."""
    if reason := missing(warehouse, sources):
        raise ConfigurationError(reason)


def _duckdb(url: str, schema: str, *, wait: float, snapshot: str = "", storage_version: str = STORAGE_VERSION) -> Warehouse:
    path = url.removeprefix("duckdb:///")
    if path == url:
        raise ConfigurationError(
            f"PLEO_WAREHOUSE must have three slashes before a relative path and four before an absolute one: did you mean {_guess(url)}?"
        )
    if not path.strip("/") or path.endswith("/"):
        raise ConfigurationError(f"PLEO_WAREHOUSE names no file; write {FORMS}.")
    if ":memory:" in path:
        raise ConfigurationError(f"PLEO_WAREHOUSE cannot be a database in memory, because each load opens it again; write {FORMS}.")
    if "?" in path:
        raise ConfigurationError(f"PLEO_WAREHOUSE takes no options after '?'; write {FORMS}.")
    place = snapshot_path(snapshot, Path(path).expanduser().absolute())
    if place is not None and (place.is_dir() or place == Path(path).expanduser().absolute()):
        raise ConfigurationError(
            f"PLEO_SNAPSHOT must name a file other than the warehouse's own, and {place} is not one; name another file, or write on."
        )
    return DuckDBWarehouse(path, schema, wait=wait, snapshot=place, storage_version=storage_version)


def _store_in(scheme: str, rest: str) -> str:
    """The scheme of an object store, by itself or where a path of DuckDB or Iceberg should be; empty where there is none."""
    match = re.match(r"/*([a-z0-9]+):/", rest) if scheme in ("duckdb", "iceberg") else None
    store = match[1] if match else scheme
    return store if store in _STORES else ""


def _motherduck(url: str, schema: str, *, wait: float) -> Warehouse:
    if "?" in url:  # its token would end up in messages and logs
        raise ConfigurationError(
            "PLEO_WAREHOUSE takes no options after '?'; write md:name, and give the token in the variable motherduck_token."
        )
    if not url.removeprefix("md:").strip():
        raise ConfigurationError("PLEO_WAREHOUSE names no database of MotherDuck; write md:name.")
    return DuckDBWarehouse(url, schema, wait=wait)


def _postgres(url: str, schema: str, *, wait: float) -> Warehouse:
    try:
        from pleo_connector.warehouses.postgres import PostgresWarehouse  # noqa: PLC0415 - its driver comes with an extra
        from pleo_connector.warehouses.postgres_url import FORM, address  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"PLEO_WAREHOUSE asks for PostgreSQL, whose driver is not installed ({error.name}); run: pip install 'pleo-connector[postgres]'"
        ) from None
    if "://" not in url:
        raise ConfigurationError(f"PLEO_WAREHOUSE must have two slashes after the colon; write {FORM}.")
    return PostgresWarehouse(address(url), schema, wait=wait)


def _iceberg(url: str, schema: str, *, wait: float) -> Warehouse:
    try:
        from pleo_connector.warehouses.iceberg import IcebergWarehouse  # noqa: PLC0415 - its library comes with an extra
        from pleo_connector.warehouses.iceberg_named_catalog import NamedIcebergWarehouse  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"PLEO_WAREHOUSE asks for Iceberg, whose library is not installed ({error.name}); run: pip install 'pleo-connector[iceberg]'"
        ) from None
    if _CATALOGUE.fullmatch(name := url.removeprefix("iceberg://")):
        return NamedIcebergWarehouse(name, schema, wait=wait)
    folder = url.removeprefix("iceberg:///")
    if folder == url:
        raise ConfigurationError(
            "PLEO_WAREHOUSE must have three slashes before a relative folder and four before an absolute one: "
            "iceberg:///lake for the folder `lake` here, iceberg:////data/lake for an absolute path; or two before the name of a catalogue "
            "in PyIceberg's configuration: iceberg://name."
        )
    if not folder.strip("/"):
        raise ConfigurationError("PLEO_WAREHOUSE names no folder; write iceberg:///lake or iceberg:////data/lake.")
    if "?" in folder or "#" in folder:
        raise ConfigurationError("PLEO_WAREHOUSE takes no options after '?', and no '#'; write iceberg:///lake or iceberg:////data/lake.")
    return IcebergWarehouse(folder, schema, wait=wait)


def _guess(url: str) -> str:
    """The URL that a person probably meant. One leading slash may stand for the separator or for an absolute path."""
    path = url.partition(":")[2] if ":" in url else url
    if path.startswith("//"):
        path = path.removeprefix("//").removeprefix("/")
    elif ":" in url and path.startswith("/") and "/" not in path[1:]:
        return f"duckdb:///{path} or duckdb:///{path[1:]}"
    return f"duckdb:///{path}" if path.strip("/") else "duckdb:///spend.duckdb"


def _unknown(url: str, scheme: str, known: list[str]) -> ConfigurationError:
    if scheme.partition("+")[0] in ("postgres", "postgresql"):
        return ConfigurationError(f"PLEO_WAREHOUSE starts with {scheme}:, which names a driver too; write postgresql://user@host/database.")
    if not scheme or (len(scheme) == 1 and scheme.isalpha()):  # a bare path, or a Windows drive
        return ConfigurationError(f"PLEO_WAREHOUSE must be a URL: did you mean {_guess(url) if not scheme else 'duckdb:///' + url}?")
    near = difflib.get_close_matches(scheme.lower(), known, n=1)
    if (near == ["duckdb"] or scheme.lower() in _FILES) and "@" not in url:
        return ConfigurationError(f"PLEO_WAREHOUSE starts with {scheme}:, which is no warehouse; did you mean {_guess(url)}?")
    return ConfigurationError(
        f"PLEO_WAREHOUSE starts with {scheme}:, which is no known warehouse ({', '.join(known)}); write {FORMS}, or install the package that provides {scheme}:."
    )
