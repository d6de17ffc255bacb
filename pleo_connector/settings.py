"""Settings: `PLEO_*` environment variables (and a `.env` file) become one frozen object.

Every value is checked at start; a wrong one raises ConfigurationError naming its variable.
With nothing set, the settings are those of the local sandbox.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Self
from urllib.parse import urlsplit

from dotenv import dotenv_values
from platformdirs import user_state_path
from pydantic import BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from pleo_connector.errors import ConfigurationError

PREFIX = "PLEO_"
SANDBOX_PORT = 8764
SANDBOX_CLIENT_ID = "sandbox-client"
SANDBOX_CLIENT_SECRET = "sandbox-secret"  # noqa: S105 - the local sandbox's public, fixed secret

_LOOPBACK = {"127.0.0.1", "localhost", "::1"}


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


_PRESETS = {
    Environment.PRODUCTION: ("https://external.pleo.io", "https://auth.pleo.io"),
    Environment.STAGING: ("https://external.staging.pleo.io", "https://auth.staging.pleo.io"),
    Environment.SANDBOX: (f"http://127.0.0.1:{SANDBOX_PORT}", f"http://127.0.0.1:{SANDBOX_PORT}"),
}

DEFAULT_SCOPES = (
    "companies:read users:read accounts:read tag-groups:read tax-codes:read vendors:read accounting-entries:read"
)


def _origin(value: str) -> str:
    parts = urlsplit(value)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError("must be a URL such as https://external.pleo.io")
    if parts.username or parts.password:
        raise ValueError("must not contain a user name or password")
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise ValueError("must use https (http is allowed only for 127.0.0.1, ::1 and localhost)")
    if parts.query or parts.fragment:
        raise ValueError("must not contain a query or fragment")
    return value.rstrip("/")


def _redirect_uri(value: str) -> str:
    parts = urlsplit(value)
    _origin(parts._replace(path="").geturl())
    if parts.scheme == "http" and parts.port is None:
        raise ValueError("must name a fixed port, as registered at Pleo, such as http://127.0.0.1:8765/callback")
    if parts.fragment:
        raise ValueError("must not contain a fragment")
    return value


def default_token_store() -> str:
    """The SQLite file in the user's state folder."""
    return str(user_state_path("pleo-connector") / "tokens.sqlite")


class Settings(BaseSettings):
    """What the connector needs to know. Field `x` is the variable `PLEO_X`."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", hide_input_in_errors=True)

    environment: Environment = Environment.SANDBOX
    api_url: Annotated[str, BeforeValidator(_origin)] = ""
    auth_url: Annotated[str, BeforeValidator(_origin)] = ""
    client_id: str = ""
    client_secret: SecretStr = SecretStr("")
    client_auth: ClientAuth = ClientAuth.BASIC
    redirect_uri: Annotated[str, BeforeValidator(_redirect_uri)] = "http://127.0.0.1:8765/callback"
    scopes: str = DEFAULT_SCOPES
    api_key: SecretStr = SecretStr("")
    token_store: str = Field(default_factory=default_token_store)
    token_keys: SecretStr = SecretStr("")
    warehouse: str = "duckdb:///pleo.duckdb"
    schema_name: str = Field(default="pleo", alias="PLEO_SCHEMA", min_length=1, max_length=63)
    requests_per_minute: int = Field(default=500, ge=1, le=1_000_000)
    concurrency: int = Field(default=8, ge=1, le=64)

    @model_validator(mode="before")
    @classmethod
    def _fill_from_environment(cls, values: dict[str, Any]) -> dict[str, Any]:
        try:
            environment = Environment(values.get("environment") or Environment.SANDBOX)
        except ValueError:
            return values  # pydantic says it better, and names the field
        api_url, auth_url = _PRESETS[environment]
        presets = {"api_url": api_url, "auth_url": auth_url}
        if environment is Environment.SANDBOX:
            presets |= {"client_id": SANDBOX_CLIENT_ID, "client_secret": SANDBOX_CLIENT_SECRET}
        return presets | {name: value for name, value in values.items() if value != ""}

    @model_validator(mode="after")
    def _check_together(self) -> Self:
        if self.api_key.get_secret_value() and self.environment is not Environment.SANDBOX and self.client_id:
            raise ValueError("PLEO_API_KEY and PLEO_CLIENT_ID are both set: an API key needs no client; unset one of them")
        return self

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, **_: PydanticBaseSettingsSource
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Values come from `load` alone, so a test's environment is what it says it is."""
        return (init_settings,)

    @property
    def uses_api_key(self) -> bool:
        """True when requests carry an API key, and OAuth is not used at all."""
        return bool(self.api_key.get_secret_value())

    @property
    def connection(self) -> str:
        """The name that tokens are stored under: environment and client."""
        return f"{self.environment}/{self.client_id}"


def variable_of(field: str) -> str:
    """The environment variable of a settings field."""
    alias = Settings.model_fields[field].alias if field in Settings.model_fields else None
    return alias or f"{PREFIX}{field.upper()}"


VARIABLES = tuple(variable_of(field) for field in Settings.model_fields)


def load(environ: Mapping[str, str] | None = None, env_file: Path | None = Path(".env")) -> Settings:
    """Settings from the environment over `.env` over presets; ConfigurationError names what is wrong."""
    found = _pleo_values(environ, env_file)
    values = {field: found[variable_of(field)] for field in Settings.model_fields if variable_of(field) in found}
    if "schema_name" in values:
        values["PLEO_SCHEMA"] = values.pop("schema_name")
    try:
        return Settings(**values)
    except ValidationError as error:
        raise ConfigurationError(_sentence(error)) from None


def unknown_variables(environ: Mapping[str, str] | None = None, env_file: Path | None = Path(".env")) -> list[str]:
    """One warning for each `PLEO_*` name that means nothing here, with the nearest name that does."""
    warnings = []
    for name in sorted(set(_pleo_values(environ, env_file)) - set(VARIABLES)):
        near = difflib.get_close_matches(name, VARIABLES, n=1)
        hint = f"did you mean {near[0]}?" if near else f"known names: {', '.join(VARIABLES)}."
        warnings.append(f"{name} is not a setting of pleo-connector and is ignored; {hint}")
    return warnings


def _pleo_values(environ: Mapping[str, str] | None, env_file: Path | None) -> dict[str, str]:
    filed = {} if env_file is None else dotenv_values(env_file)
    everything = {**filed, **(os.environ if environ is None else environ)}
    return {name: value for name, value in everything.items() if name.startswith(PREFIX) and value is not None}


def _sentence(error: ValidationError) -> str:
    parts = []
    for item in error.errors(include_input=False, include_url=False):
        message = item["msg"].removeprefix("Value error, ")
        where = item["loc"]
        parts.append(f"{variable_of(str(where[0]))}: {message}" if where else message)
    return "Settings are wrong: " + "; ".join(parts) + "."
