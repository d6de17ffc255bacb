"""Checks of `doctor` that stay on this machine: settings, versions, warehouse."""

from __future__ import annotations

import os
import platform
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import SecretStr

from pleo_connector.analytics import categories_of
from pleo_connector.cli.app import installed_version
from pleo_connector.cli.findings import Finding, fine, worth_a_look, wrong
from pleo_connector.cli.output import plural
from pleo_connector.errors import PleoError
from pleo_connector.settings import Environment, Settings, unknown_variables, variable_of
from pleo_connector.warehouses import Warehouse, open_warehouse
from pleo_connector.warehouses.duckdb import DuckDBWarehouse

_LITTLE_SPACE = 1 << 30
"""Bytes of free disk below which a person should know."""

_OLDEST_READER = "SELECT tags['storage_version'] FROM duckdb_databases() WHERE database_name = current_database()"
"""Such as `v1.4.0+`."""

_PACKAGES = ("dagster", "duckdb", "pandas", "pyarrow", "httpx", "authlib")


def check_settings(settings: Settings, environ: Mapping[str, str] | None) -> Iterator[Finding]:
    """Every setting as it is in force, secrets masked; `environ` as in `Output`."""
    given = os.environ if environ is None else environ
    for field in Settings.model_fields:
        value = getattr(settings, field)
        plain = "given, not shown" if isinstance(value, SecretStr) and value.get_secret_value() else _without_password(str(value))
        name = variable_of(field)
        source = "" if given.get(name) else " (from .env or the default)"
        yield fine(name, f"{plain}{source}" if plain else "not set")
    yield fine("folder of the settings", f"{settings.folder} (for .env, pleo.toml and relative paths)")
    for warning in unknown_variables(given, Path(".env") if environ is None else None):
        yield worth_a_look("unknown variable", warning, "rename or unset it")


def _without_password(text: str) -> str:
    """A URL may hold one, before the @ or among its options."""
    return re.sub(r"(?<=password=)[^&]*", "***", re.sub(r"^(\w[\w+.-]*://[^:@/?]*:).*@", r"\1***@", text))


def check_environment(settings: Settings) -> Iterator[Finding]:
    """Whether a host of one Pleo is used with the name of another."""
    for field in ("api_url", "auth_url"):
        for environment in Environment:
            theirs = getattr(Settings(environment=environment), field)
            if getattr(settings, field) == theirs and environment is not settings.environment:
                yield wrong(
                    "environment",
                    f"PLEO_ENVIRONMENT is {settings.environment} and {variable_of(field)} is that of {environment}",
                    f"set PLEO_ENVIRONMENT={environment}, or unset {variable_of(field)}",
                )


def check_versions() -> Finding:
    """What is installed, for a bug report."""
    found = [f"pleo-connector {installed_version()}", f"Python {platform.python_version()}"]
    for name in _PACKAGES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            return wrong("versions", f"{name} is not installed", "install pleo-connector again")
    return fine("versions", ", ".join(found))


def check_warehouse(settings: Settings) -> Iterator[Finding]:
    """Whether the warehouse opens and may be written; a missing file is not created."""
    try:
        warehouse = open_warehouse(settings.warehouse, settings.schema_name, wait=5.0, snapshot=settings.snapshot)
    except PleoError as error:
        yield wrong("warehouse", str(error))
        return
    if warehouse.kind == "postgres":
        yield from _check_postgres(warehouse)
        return
    if warehouse.location.startswith(("iceberg://", "md:")):
        yield _check_service(warehouse)
        return
    file = Path(warehouse.location) / ("catalog.db" if warehouse.kind == "iceberg" else "")
    if not file.exists():
        yield _may_write(file)
    else:
        try:
            with warehouse.transaction() as transaction:
                engine = transaction.scalar("SELECT version()")
                readers = f"; DuckDB {transaction.scalar(_OLDEST_READER)} can read it" if warehouse.kind == "duckdb" else ""
        except PleoError as error:
            yield wrong("warehouse", str(error))
            return
        if warehouse.kind == "iceberg":
            engine = f"(PyIceberg {version('pyiceberg')})"
            file = file.parent
            if (closed := _closed(file)) is not None:
                advice = "give this user write access to the folder and its files, or set PLEO_WAREHOUSE to another place"
                yield wrong("warehouse", f"The warehouse {file} cannot be written: {closed} is closed to this user, or read-only", advice)
                return
        size = sum(one.stat().st_size for one in ([file] if file.is_file() else file.rglob("*")) if one.is_file())
        yield fine("warehouse", f"{warehouse.kind} {engine}, {file}, {size / 1e6:,.1f} MB, opens for writing{readers}")
    folder = next((parent for parent in file.parents if parent.is_dir()), None)
    if folder is not None:
        free = shutil.disk_usage(folder).free
        told = f"{free / 1e9:,.1f} GB free in {folder}"
        if isinstance(warehouse, DuckDBWarehouse) and warehouse.snapshot is not None:
            yield _snapshot(warehouse.snapshot)
        yield fine("disk space", told) if free >= _LITTLE_SPACE else worth_a_look("disk space", told, "free some space before a large sync")


def check_categories(settings: Settings) -> Iterator[Finding]:
    """Whether the file with names of categories can be used, where there is one."""
    try:
        found = categories_of(settings.categories)
    except PleoError as error:
        yield wrong("categories", str(error))
        return
    if found is not None:
        yield fine("categories", f"{settings.categories} names {plural(len(found), 'category', 'categories')}")


def _closed(folder: Path) -> Path | None:
    """The catalogue or the first folder of an Iceberg warehouse that this user may not write; None when all may be."""
    catalogue = folder / "catalog.db"
    if not os.access(catalogue, os.R_OK | os.W_OK):
        return catalogue
    for above, names, _ in os.walk(folder):
        for name in names:
            if not os.access(Path(above, name), os.R_OK | os.W_OK | os.X_OK):
                return Path(above, name)
    return None


def _check_service(warehouse: Warehouse) -> Finding:
    """Whether the catalogue or the service answers; nothing is written."""
    try:
        with warehouse.transaction() as transaction:
            engine = transaction.scalar("SELECT version()")
    except PleoError as error:
        return wrong("warehouse", str(error))
    if warehouse.kind == "duckdb":
        return fine("warehouse", f"duckdb {engine}, {warehouse.location} answers")
    return fine("warehouse", f"iceberg (PyIceberg {version('pyiceberg')}), the catalogue {warehouse.location} answers")


def _check_postgres(warehouse: Warehouse) -> Iterator[Finding]:
    from pleo_connector.warehouses.postgres import PostgresWarehouse  # noqa: PLC0415 - its driver comes with an extra
    from pleo_connector.warehouses.postgres_health import examine  # noqa: PLC0415

    if not isinstance(warehouse, PostgresWarehouse):
        yield worth_a_look("warehouse", f"{warehouse.location} was not opened")
        return
    try:
        health = examine(warehouse)
    except PleoError as error:
        yield wrong("warehouse", str(error))
        return
    for found, advice in health.faults:
        yield wrong("warehouse", f"{warehouse.location}: {found}", advice)
    if not health.faults:
        yield fine("warehouse", health.summary)


def _snapshot(file: Path) -> Finding:
    if not os.access(file.parent, os.W_OK):
        advice = "make the folder, give this user write access to it, or set PLEO_SNAPSHOT to another place"
        return wrong("snapshot", f"{file} cannot be made: {file.parent} takes no new files, or is not there", advice)
    if not file.exists():
        return fine("snapshot", f"{file} does not exist yet; the first sync makes it")
    made = datetime.fromtimestamp(file.stat().st_mtime, UTC).isoformat(timespec="seconds")
    return fine("snapshot", f"{file}, {file.stat().st_size / 1e6:,.1f} MB, published {made}")


def _may_write(file: Path) -> Finding:
    elsewhere = "set PLEO_WAREHOUSE to another place"
    folder = file.parent
    if folder.exists() and not folder.is_dir():
        return wrong("warehouse", f"{file} cannot be made: {folder} is not a folder", elsewhere)
    if not folder.exists():
        folder = folder.parent  # the first sync makes one missing folder, not two
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        advice = f"give this user write access to the folder, or {elsewhere}"
        return wrong("warehouse", f"{file} cannot be made: {folder} takes no new files ({error.strerror})", advice)
    return fine("warehouse", f"{file} does not exist yet; the first sync makes it")
