"""Settings: `PLEO_*` environment variables (and a `.env` file) become one frozen object.

Every value is checked at start; a wrong one raises ConfigurationError naming its variable.
With nothing set, the settings are those of the local sandbox. An empty variable counts as unset.
Credentials are asked for only when they are needed: see `Settings.require_credentials`.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self

from dotenv import dotenv_values
from platformdirs import user_state_path
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, ValidationError, model_validator

from pleo_connector import setting_values
from pleo_connector.errors import ConfigurationError
from pleo_connector.settings_folder import ENV_FILE, placed, settings_folder, working_directory

PREFIX = "PLEO_"
SANDBOX_PORT = 8764
SANDBOX_CLIENT_ID = "sandbox-client"
SANDBOX_CLIENT_SECRET = "sandbox-secret"  # noqa: S105 - the local sandbox's public, fixed secret


class Environment(StrEnum):
    """The Pleo that is meant; credentials belong to exactly one."""

    PRODUCTION = "production"
    STAGING = "staging"
    SANDBOX = "sandbox"


class ClientAuth(StrEnum):
    """How the client proves itself at the token endpoint."""

    BASIC = "basic"
    POST = "post"
    NONE = "none"
    """A public client: PKCE alone."""


class BudgetScope(StrEnum):
    """Who keeps to `requests_per_minute` together."""

    SHARED = "shared"
    """All processes that share a token store."""
    PROCESS = "process"


_PRESETS = {
    Environment.PRODUCTION: ("https://external.pleo.io", "https://auth.pleo.io"),
    Environment.STAGING: ("https://external.staging.pleo.io", "https://auth.staging.pleo.io"),
    Environment.SANDBOX: (f"http://127.0.0.1:{SANDBOX_PORT}", f"http://127.0.0.1:{SANDBOX_PORT}"),
}

DEFAULT_SCOPES = (
    "companies:read users:read accounts:read tag-groups:read tax-codes:read vendors:read accounting-entries:read "
    "export-jobs:read export-items:read"
)


_DEFAULT_WAREHOUSE = "duckdb:///spend.duckdb"
_PLACED = ("warehouse", "token_store", "host_marks", "snapshot", "raw", "config", "categories")


def default_token_store() -> str:
    """The SQLite file in the user's state folder."""
    return str(user_state_path("pleo-connector") / "tokens.sqlite")


def default_host_marks() -> str:
    """A folder of this host, apart from the token store's, so that one restored with its folder is noticed."""
    return str(user_state_path("pleo-connector-host"))


class Settings(BaseModel):
    """What the connector needs to know. Field `x` is the variable `PLEO_X` (but `schema_name`: `PLEO_SCHEMA`, `connection_label`: `PLEO_CONNECTION`)."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    environment: Environment = Environment.SANDBOX
    api_url: Annotated[str, AfterValidator(setting_values.origin)] = ""
    auth_url: Annotated[str, AfterValidator(setting_values.origin)] = ""
    issuer: Annotated[str, AfterValidator(setting_values.origin)] = ""
    """What the authorisation server calls itself in `iss`; empty for its URL."""
    proxy: Annotated[str, AfterValidator(setting_values.proxy)] = Field(default="", repr=False)
    """How Pleo is reached: empty for directly, a proxy's URL, which may hold a password, or `environment`."""
    client_id: str = ""
    client_secret: SecretStr = SecretStr("")
    client_auth: ClientAuth = ClientAuth.BASIC
    redirect_uri: Annotated[str, AfterValidator(setting_values.redirect_uri)] = "http://127.0.0.1:8765/callback"
    scopes: Annotated[str, AfterValidator(setting_values.scopes)] = DEFAULT_SCOPES
    api_key: SecretStr = SecretStr("")
    token_store: Annotated[str, AfterValidator(setting_values.token_store)] = Field(default_factory=default_token_store, repr=False)
    """A path; a URL may hold a password, so it stays out of the repr."""
    host_marks: str = Field(default_factory=default_host_marks)
    """The folder in which this host notes what it has seen of token stores."""
    token_keys: SecretStr = SecretStr("")
    key_provider: str = ""
    connection_label: Annotated[str, AfterValidator(setting_values.label)] = ""
    warehouse: Annotated[str, AfterValidator(setting_values.warehouse)] = Field(default=_DEFAULT_WAREHOUSE, repr=False)
    """A URL, which may hold a password, so it stays out of the repr."""
    schema_name: Annotated[str, AfterValidator(setting_values.schema)] = "pleo"
    hash_key: SecretStr = SecretStr("")
    """The key of columns that are hashed; asked for only when there are some."""
    portal_url: Annotated[str, AfterValidator(setting_values.portal_url)] = ""
    """The portal's address as browsers see it, with its path prefix; Pleo sends them back to `<portal_url>/callback`."""
    portal_secret: Annotated[SecretStr, setting_values.at_least(32)] = SecretStr("")
    portal_password: Annotated[SecretStr, setting_values.at_least(16)] = SecretStr("")
    portal_name: str = ""
    portal_proxies: Annotated[str, AfterValidator(setting_values.networks)] = ""
    """Proxies whose `X-Forwarded-For` is believed."""
    snapshot: Annotated[str, AfterValidator(setting_values.snapshot)] = "off"
    """Whether a DuckDB file is copied for its readers at the end of each run: off, on (beside it), or where to."""
    storage_version: Annotated[str, AfterValidator(setting_values.storage_version)] = "v1.4.0"
    """The oldest DuckDB that can open a new DuckDB file, or `latest`; a file that is there keeps its own."""
    raw: Annotated[str, AfterValidator(setting_values.raw)] = "warehouse"
    """Where pages are kept as they were served: `warehouse`, `off`, or a folder."""
    raw_days: int = Field(default=365, ge=0, le=36_500)
    """Days for which they are kept; 0 is for ever."""
    marts: bool = True
    categories: str = ""
    """A CSV file (id, code, name) with names of categories; empty for none."""
    requests_per_minute: int = Field(default=500, ge=1, le=1_000_000)
    budget_scope: BudgetScope | None = None
    """None: shared with OAuth, which has a token store anyway, and of one process with an API key."""
    concurrency: int = Field(default=8, ge=1, le=64)
    config: str = ""
    """The TOML file with options for streams; empty means `pleo.toml` beside `.env`, where there is one."""
    _folder: Path | None = PrivateAttr(default=None)

    def __reduce__(self) -> str:
        raise TypeError("settings hold secrets and are not pickled; give the other process the environment, and let it load() them")

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, values: dict[str, Any]) -> dict[str, Any]:
        given = {name: value for name, value in values.items() if value != ""}
        try:
            environment = Environment(given.get("environment", Environment.SANDBOX))
        except ValueError:
            return given  # pydantic says it better, and names the field
        api_url, auth_url = _PRESETS[environment]
        presets = {"api_url": api_url, "auth_url": auth_url}
        if environment is Environment.SANDBOX:
            presets |= {"client_id": SANDBOX_CLIENT_ID, "client_secret": SANDBOX_CLIENT_SECRET}
        return presets | given

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.uses_api_key and self.environment is not Environment.SANDBOX and self.client_id:
            raise ValueError("PLEO_API_KEY and PLEO_CLIENT_ID are both set: an API key needs no client; unset one of them")
        return self

    @property
    def folder(self) -> Path:
        """The folder that `.env`, `pleo.toml` and relative paths belong to."""
        return self._folder or working_directory()

    def labelled(self, label: str) -> Settings:
        """The same settings for another connection; ConfigurationError when the label is none."""
        try:
            return self.model_copy(update={"connection_label": setting_values.label(label)})
        except ValueError as error:
            raise ConfigurationError(f"The connection label {error}.") from None

    @property
    def sources(self) -> str:
        """Where these settings were looked for, as part of a sentence."""
        file = self.folder / ENV_FILE
        return f"the environment or {file}" if file.is_file() else f"the environment; there is no {file}"

    def require_credentials(self) -> None:
        """Raise ConfigurationError when there is nothing to prove ourselves to Pleo with."""
        if self.uses_api_key:
            return
        if not self.client_id:
            raise ConfigurationError(
                f"There are no credentials for Pleo ({self.environment}): set PLEO_CLIENT_ID (with PLEO_CLIENT_SECRET) "
                f"to connect with OAuth, or PLEO_API_KEY to use an API key. Looked for in {self.sources}."
            )
        if self.client_auth is not ClientAuth.NONE and not self.client_secret.get_secret_value():
            raise ConfigurationError(
                "PLEO_CLIENT_ID is set and PLEO_CLIENT_SECRET is not: set the secret, or PLEO_CLIENT_AUTH=none for a public client without one."
            )

    def _placed(self, folder: Path, environ: Mapping[str, str] | None, env_file: Path | None) -> Settings:
        """The same settings with absolute paths, where they are not those of the working directory."""
        here, changed = working_directory(), {}
        if folder != here:
            old = _pleo_values(environ, here / env_file if env_file is not None else None)
            earlier = {"warehouse": old.get("PLEO_WAREHOUSE", _DEFAULT_WAREHOUSE), "token_store": old.get("PLEO_TOKEN_STORE", "")}
            changed = placed({name: getattr(self, name) for name in _PLACED}, folder, earlier)
        settings = self.model_copy(update=changed)
        settings._folder = folder  # noqa: SLF001 - of its own class
        return settings

    @property
    def uses_api_key(self) -> bool:
        """True when requests carry an API key, and OAuth is not used at all."""
        return bool(self.api_key.get_secret_value())

    @property
    def shares_budget(self) -> bool:
        """True when the request budget is kept beside the token store, for all processes together."""
        return not self.uses_api_key if self.budget_scope is None else self.budget_scope is BudgetScope.SHARED

    @property
    def credential(self) -> str:
        """The name that requests are counted under: the connection's, or one for API keys, by environment and label."""
        return (
            f"{self.environment}/api-key{f'/{self.connection_label}' if self.connection_label else ''}"
            if self.uses_api_key
            else self.connection
        )

    @property
    def connection(self) -> str:
        """The name that tokens are stored under: environment, client, and the label where there is one."""
        return f"{self.environment}/{self.client_id}{f'/{self.connection_label}' if self.connection_label else ''}"


_OTHER_NAMES = {"schema_name": "PLEO_SCHEMA", "connection_label": "PLEO_CONNECTION"}


def variable_of(field: str) -> str:
    """The environment variable of a settings field."""
    return _OTHER_NAMES.get(field, f"{PREFIX}{field.upper()}")


VARIABLES = tuple(variable_of(field) for field in Settings.model_fields)

SWITCHES = frozenset({"PLEO_DEBUG"})
"""`PLEO_*` names that are no settings of a connection: PLEO_DEBUG shows tracebacks in the CLI."""


def load(environ: Mapping[str, str] | None = None, env_file: Path | None = Path(ENV_FILE), *, folder: Path | None = None) -> Settings:
    """Settings from the environment over `.env` over presets; ConfigurationError names what is wrong.

    A relative `env_file` and relative paths belong to the `folder`: see `settings_folder`, which says which it is for the working
    directory when it is left out.
    """
    folder = folder or (settings_folder(working_directory()) if env_file is not None else working_directory())
    found = _pleo_values(environ, folder / env_file if env_file is not None else None)
    try:
        settings = Settings.model_validate(
            {field: found[variable_of(field)] for field in Settings.model_fields if variable_of(field) in found}
        )
    except ValidationError as error:
        raise ConfigurationError(_sentence(error)) from None
    return settings._placed(folder, environ, env_file)  # noqa: SLF001 - where they were read is no setting


def unknown_variables(environ: Mapping[str, str] | None = None, env_file: Path | None = Path(ENV_FILE)) -> list[str]:
    """One warning for each `PLEO_*` name that means nothing here, with the nearest name that does."""
    warnings = []
    env_file = settings_folder(working_directory()) / env_file if env_file is not None else None
    for name in sorted(set(_pleo_values(environ, env_file)) - {*VARIABLES, *SWITCHES}):
        # Without the shared prefix: it would make everything look near.
        known = [variable.removeprefix(PREFIX) for variable in (*VARIABLES, *SWITCHES)]
        near = difflib.get_close_matches(name.removeprefix(PREFIX), known, n=1)
        hint = f"did you mean {PREFIX}{near[0]}?" if near else f"known names: {', '.join(VARIABLES)}."
        warnings.append(f"{name} is not a setting of pleo-connector and is ignored; {hint}")
    return warnings


def _pleo_values(environ: Mapping[str, str] | None, env_file: Path | None) -> dict[str, str]:
    return {
        name: value.strip()
        for source in (_filed(env_file), os.environ if environ is None else environ)
        for name, value in source.items()
        if name.startswith(PREFIX) and value is not None and value.strip()
    }


def _filed(env_file: Path | None) -> dict[str, str | None]:
    if env_file is None:
        return {}
    try:
        # Values are taken as they stand: a `$` in a secret is a `$`.
        return dotenv_values(env_file, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigurationError(f"The settings file {env_file} cannot be read: {reason}; mend it or remove it.") from None


def _sentence(error: ValidationError) -> str:
    parts = []
    for item in error.errors(include_input=False, include_url=False):
        message = item["msg"].removeprefix("Value error, ")
        where = item["loc"]
        parts.append(f"{variable_of(str(where[0]))}: {message}" if where else message)
    return "Settings are wrong: " + "; ".join(parts) + "."
