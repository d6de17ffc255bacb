"""The folder that `.env`, `pleo.toml` and relative paths belong to.

For a command it is the working directory, for Dagster the folder of the definitions file; or the nearest folder above with a
`.env` that names a `PLEO_*` variable, or with a `pleo.toml`. Earlier versions took the working directory always. So a file
that lies there alone is still used, and of two nobody chooses in silence.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from pleo_connector.errors import ConfigurationError

ENV_FILE, OPTIONS_FILE = ".env", "pleo.toml"

_NAMES_A_SETTING = re.compile(rb"^\s*(export\s+)?PLEO_", re.MULTILINE)
_PATH_IN_URL = re.compile(r"(?P<scheme>duckdb|iceberg|sqlite):///(?P<path>[^/~?:][^?]*)", re.IGNORECASE)
_PATHS = ("token_store", "host_marks", "snapshot", "raw", "config", "categories")
"""Settings that are paths, unless they are one of these words."""
_WORDS = ("", "on", "off", "true", "false", "yes", "no", "0", "1", "warehouse")
_KEPT = {"warehouse": "PLEO_WAREHOUSE", "token_store": "PLEO_TOKEN_STORE"}

_log = logging.getLogger(__name__)


def working_directory() -> Path:
    """The current folder; ConfigurationError when it is gone."""
    try:
        return Path.cwd()
    except OSError as error:
        raise ConfigurationError(f"The current folder cannot be used ({error.strerror}); change to another and run again.") from None


def settings_folder(start: Path) -> Path:
    """The folder for settings that belong to `start`."""
    here = working_directory()
    found = next((folder for folder in (start, *start.parents) if _has_settings(folder)), None)
    if found is not None:
        return found
    # No place for data: definitions that were installed as a package.
    return here if _has_settings(here) or {"site-packages", "dist-packages"} & set(start.parts) else start


def _has_settings(folder: Path) -> bool:
    file = folder / ENV_FILE
    try:
        if (folder / OPTIONS_FILE).is_file():
            return True
        if not file.is_file():
            return False
    except OSError:  # a folder that this user may not look into
        return False
    try:
        return _NAMES_A_SETTING.search(file.read_bytes()) is not None
    except OSError:
        return True  # reading its settings says what is wrong with it


def placed(values: Mapping[str, str], folder: Path, earlier: Mapping[str, str]) -> dict[str, str]:
    """Those of the settings that are relative paths, as absolute ones.

    `earlier` is what an earlier version would have read in the working directory: raw values of the warehouse and the token store.
    ConfigurationError where files of both exist, or where it would have used another than the one that is named now.
    """
    here = working_directory()
    if folder == here:
        return {}
    found = {}
    for field, value in values.items():
        relative = _relative(field, value)
        if relative is not None:
            found[field] = f"{value.removesuffix(relative)}{_chosen(f'PLEO_{field.upper()}', relative, folder, here)}"
    for field, variable in _KEPT.items():
        before = _relative(field, earlier.get(field, ""))
        if before is None or _relative(field, values[field]) in (None, before) or not _exists(here / before):
            continue
        raise ConfigurationError(
            f"{here / ENV_FILE} names {here / before} as {variable}, which an earlier version used in this working directory. Settings are "
            f"now those of {folder}: write the absolute path of the one to go on with into {variable} there, or move the other away."
        )
    if not values["config"]:
        own, other = folder / OPTIONS_FILE, here / OPTIONS_FILE
        if own.is_file() or other.is_file():
            found["config"] = str(own if own.is_file() else _noted("The options file", OPTIONS_FILE, folder, other))
    return found


def placed_path(variable: str, path: Path, folder: Path) -> Path:
    """A path of a person's choice as an absolute one, by the same rules."""
    here = working_directory()
    return path if path.is_absolute() or folder == here else _chosen(variable, str(path), folder, here)


def _relative(field: str, value: str) -> str | None:
    """The relative path in a setting; None for anything else."""
    in_url = _PATH_IN_URL.fullmatch(value)
    if in_url is not None and field in ("warehouse", "token_store"):
        return in_url["path"]
    if field not in _PATHS or value.strip().lower() in _WORDS or ":" in value or value.startswith("~") or Path(value).is_absolute():
        return None
    return value


def _chosen(variable: str, relative: str, folder: Path, here: Path) -> Path:
    own, other = folder / relative, here / relative
    if not _exists(other) or own == other:
        return own
    if not _exists(own):
        return _noted(variable, relative, folder, other)
    raise ConfigurationError(
        f"{variable} is the relative path {relative}, and there are two: {own}, where it belongs to the settings of {folder}, and {other} in "
        f"the working directory, where an earlier version kept it. Write the absolute path of the one to go on with into {variable}, or move "
        "the other away."
    )


def _exists(path: Path) -> bool:
    # A template has a file for each connection.
    return any(path.parent.glob(path.name.replace("{connection}", "*"))) if "{connection}" in path.name else path.exists()


@cache
def _noted(variable: str, relative: str, folder: Path, other: Path) -> Path:
    _log.warning(
        "%s (%s) is taken from the working directory, where an earlier version kept it: %s. Write it as an absolute path, or move it to %s.",
        variable,
        relative,
        other,
        folder,
    )
    return other
