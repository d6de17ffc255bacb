"""The two resources of a connection: the credential with the API behind it, and the warehouse.

Both are only settings: nothing is opened until a step asks, and what must survive a step (tokens) is in the token
store. So they are safe to build in every process of every executor.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Any, Self

import dagster as dg
from pydantic import Field, SecretStr

from pleo_connector.auth import build_auth
from pleo_connector.errors import ConfigurationError
from pleo_connector.settings import Settings, load, variable_of
from pleo_connector.sync import Connection
from pleo_connector.warehouses import Warehouse, open_warehouse

HIDDEN = "***"


def _field(description: str, *, secret: bool = False) -> Any:
    return Field(default=None, description=description, json_schema_extra={"dagster__is_secret": True} if secret else None)


class _PleoSettings(dg.ConfigurableResource[Any]):
    """Settings by field; a field left out takes its `PLEO_*` variable, from the environment or `.env`, at run time."""

    def settings(self) -> Settings:
        """The settings these fields stand for; ConfigurationError names the variable of a wrong one."""
        given = {name: value for name in type(self).model_fields if (value := getattr(self, name)) is not None}
        return load({**os.environ, **{variable_of(name): str(value) for name, value in given.items()}})

    def get_resource_definition(self) -> Any:
        """Called when the resource is bound to definitions: the moment to refuse what the UI would show in the clear."""
        for name, value in self.__dict__.items():
            if self._is_secret(name, value) and not isinstance(value, dg.EnvVar):
                raise ConfigurationError(
                    f"{type(self).__name__}: {name} must not be written out, because Dagster shows and stores it in the clear; "
                    f'write {name}=dg.EnvVar("{variable_of(name)}").'
                )
        return super().get_resource_definition()

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Refuse a secret typed into the launchpad: Dagster has stored it with the run."""
        typed: Mapping[str, Any] = context.run.run_config.get("resources", {}) if context.run else {}
        for resource in typed.values():
            for name, value in (resource.get("config") or {}).items():
                if name in type(self).model_fields and self._is_secret(name, value):
                    raise ConfigurationError(
                        f"{name} was typed into this run's configuration, where Dagster keeps it in the clear: "
                        f"delete the run, replace the secret, and set {variable_of(name)} instead."
                    )

    @classmethod
    def _is_secret(cls, name: str, value: object) -> bool:
        field = cls.model_fields.get(name)
        if field is None or not isinstance(value, str) or not str.__len__(value):
            return False
        extra = field.json_schema_extra
        return (isinstance(extra, dict) and bool(extra.get("dagster__is_secret"))) or _holds_credentials(value)

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        for name, value in self.__dict__.items():
            if isinstance(value, dg.EnvVar):
                yield name, value.get_value and _Shown(f"EnvVar({value.env_var_name!r})")
            elif name in type(self).model_fields and value is not None:
                yield name, HIDDEN if self._is_secret(name, value) else value


class PleoResource(_PleoSettings):
    """The credential for Pleo and how its API is used. Secrets are given as `dg.EnvVar`, never written out."""

    environment: str | None = _field("production, staging or sandbox.")
    api_url: str | None = _field("Where the API is; follows from the environment when left out.")
    auth_url: str | None = _field("Where the authorisation server is; follows from the environment when left out.")
    client_id: str | None = _field("The OAuth client that Pleo registered.")
    client_secret: str | None = _field("The client's secret, as an environment variable.", secret=True)
    client_auth: str | None = _field("How the client proves itself: basic, post or none.")
    redirect_uri: str | None = _field("The redirect URI registered at Pleo; used by `pleo-connector connect` only.")
    scopes: str | None = _field("Scopes, separated by spaces.")
    api_key: str | None = _field("An API key instead of OAuth, as an environment variable.", secret=True)
    token_store: str | None = _field("Where the tokens are kept.")
    token_keys: str | None = _field("Keys that seal the tokens, as an environment variable.", secret=True)
    requests_per_minute: int | None = _field("Requests in any 60 seconds; Pleo asks for 500 at most.")
    concurrency: int | None = _field("Requests under way at once.")

    def connection(self) -> Connection:
        """How to reach Pleo with this credential."""
        settings = self.settings()
        return Connection(settings.api_url, build_auth(settings), settings.requests_per_minute, settings.concurrency)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The resource of these settings; a secret travels as the name of its variable.

        ConfigurationError if a secret is not where a run could find it again.
        """
        fields: dict[str, Any] = {}
        for name in cls.model_fields:
            value = getattr(settings, name)
            fields[name] = _pointer(name, value.get_secret_value()) if isinstance(value, SecretStr) else _plain(name, value)
        return cls(**fields)


class WarehouseResource(_PleoSettings):
    """Where the tables go."""

    warehouse: str | None = _field("The warehouse's URL, such as duckdb:///pleo.duckdb.")
    schema_name: str | None = _field("The schema the tables are in.")

    def open(self) -> Warehouse:
        """The warehouse; nothing is opened until its first transaction."""
        settings = self.settings()
        return open_warehouse(settings.warehouse, settings.schema_name)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The resource of these settings."""
        return cls(warehouse=_plain("warehouse", settings.warehouse), schema_name=settings.schema_name)


class _Shown(str):
    """Text that a repr shows without quotes."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _plain(name: str, value: Any) -> Any:
    """The value as Dagster may show it; a URL with a password in it travels as the name of its variable."""
    return _pointer(name, value) if isinstance(value, str) and _holds_credentials(value) else value


def _pointer(name: str, secret: str) -> str | None:
    """How a run finds this secret: its variable, or None for what `.env` or the sandbox's preset gives."""
    variable = variable_of(name)
    if not secret:
        return ""
    if os.environ.get(variable) == secret:
        return dg.EnvVar(variable)
    found = getattr(load(), name)
    if (found.get_secret_value() if isinstance(found, SecretStr) else found) == secret:
        return None
    raise ConfigurationError(f"{variable} must be set in the environment (or .env): Dagster's runs take secrets from nowhere else.")


def _holds_credentials(value: str) -> bool:
    """True for a URL with a password or token in it."""
    raw = str.__str__(value) if not isinstance(value, dg.EnvVar) else ""
    return "://" in raw and ("@" in raw or "token=" in raw or "password=" in raw) or (raw.startswith("md:") and "token=" in raw)
