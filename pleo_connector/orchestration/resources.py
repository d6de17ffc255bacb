"""The two resources of a connection: the credential with the API behind it, and the warehouse.

Both are only settings: nothing is opened until a step asks, and what must survive a step (tokens) is in the token
store. So they are safe to build in every process of every executor.
"""

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import dagster as dg
from pydantic import Field, SecretStr

from pleo_connector.errors import ConfigurationError, PleoError
from pleo_connector.orchestration.code_folder import code_folder
from pleo_connector.settings import Settings, load, variable_of
from pleo_connector.settings_folder import settings_folder
from pleo_connector.warehouses import Warehouse, open_warehouse

if TYPE_CHECKING:
    from pleo_connector.analytics import Category
    from pleo_connector.sync import Connection, RawPolicy

HIDDEN = "***"

MASK = "********"
"""What Dagster's launchpad shows in the place of a secret, and sends back where a person leaves it as it is."""

_NO_TEXT = {"on", "off", "yes", "no"}
"""The launchpad writes these without quotes, and Dagster then reads them as true and false."""

_SAME = {"raw": {"off": "none"}, "snapshot": {"off": "none", "on": "beside"}}
"""Other words for the same choice."""

_PASSWORD_IN_URL = re.compile(r"://[^@\s]*:[^@\s]*@|(token|password|secret)=", re.IGNORECASE)


def _field(description: str, *, secret: bool = False) -> Any:
    return Field(default=None, description=description, json_schema_extra={"dagster__is_secret": True} if secret else None)


class _PleoSettings(dg.ConfigurableResource[Any]):
    """Settings by field; a field left out takes its `PLEO_*` variable, from the environment or `.env`, at run time."""

    folder: str | None = _field("Where .env, pleo.toml and relative paths belong; follows from the definitions file when left out.")

    def __init__(self, **fields: Any) -> None:
        # Found now: in a step, the definitions file is not at work.
        fields = {name: _SAME.get(name, {}).get(value, value) if isinstance(value, str) else value for name, value in fields.items()}
        super().__init__(**fields | {"folder": fields.get("folder") or str(settings_folder(code_folder()))})

    def settings(self) -> Settings:
        """The settings these fields stand for; ConfigurationError names the variable of a wrong one.

        Works at definition time too, where Dagster has not resolved the variables yet.
        """
        given = {variable_of(name): _resolved(value) for name, value in self._fields() if name != "folder"}
        folder = Path(str(_resolved(self.__dict__.get("folder"))))
        return load({**os.environ, **{name: str(value) for name, value in given.items() if value is not None}}, folder=folder)

    def get_resource_definition(self) -> Any:
        """Called when the resource is bound to definitions: the moment to refuse what the UI would show in the clear."""
        for name, value in self._fields():
            if self._is_secret(name, value):
                raise ConfigurationError(
                    f"{type(self).__name__}: {name} must not be written out, because Dagster shows and stores it in the clear; "
                    f'write {name}=dg.EnvVar("{variable_of(name)}").'
                )
        return super().get_resource_definition()

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Refuse a secret typed into the launchpad: Dagster has stored it with the run."""
        mine = [key for key, definition in context.all_resource_defs.items() if definition is context.resource_def]
        run_config: Any = context.run.run_config if context.run else {}
        resources = run_config.get("resources") or {}
        for key in mine:
            for name, value in ((resources.get(key) or {}).get("config") or {}).items():
                if value != MASK and self._is_secret(name, value):
                    raise ConfigurationError(
                        f"{name} was typed into this run's configuration, where Dagster keeps it in the clear: "
                        f"delete the run, replace the secret, and set {variable_of(name)} instead."
                    )

    @contextmanager
    def yield_for_execution(self, context: dg.InitResourceContext) -> Iterator[Any]:
        """While a step has the resource, no log line, print or Dagster event of this process shows a secret."""
        from pleo_connector.auth import know_secrets_of  # what a step needs is not imported by who only loads the definitions
        from pleo_connector.orchestration.keeping_secrets import keeping_secrets

        with suppress(PleoError):  # wrong settings: the step says which
            know_secrets_of(self.settings())
        with keeping_secrets(), super().yield_for_execution(context) as resource:
            yield resource

    def _initialize_and_run_cm(self, context: dg.InitResourceContext) -> Any:
        # Outside a run (contexts that a test or a sensor builds) Dagster refuses resources that clean up unless one writes `with`,
        # and nothing is kept there that would need cleaning.
        cleans_up = type(self).yield_for_execution is not _PleoSettings.yield_for_execution
        cleans_up = cleans_up or type(self).teardown_after_execution is not dg.ConfigurableResource.teardown_after_execution
        return super()._initialize_and_run_cm(context) if context.run or cleans_up else super()._initialize_and_run(context)

    def _with_updated_values(self, values: Mapping[str, Any] | None) -> Any:
        # How Dagster puts a run's configuration in. A masked secret is the one that these definitions give, or is not given.
        given = {name: value for name, value in (values or {}).items() if value != MASK or not self._is_secret(name, value)}
        own = {name: _resolved(value) for name, value in self._fields() if name in (values or {}) and name not in given}
        return super()._with_updated_values(given | {name: value for name, value in own.items() if value is not None})

    def _fields(self) -> Iterator[tuple[str, Any]]:
        """Fields as they were given: variables unresolved."""
        return ((name, self.__dict__.get(name)) for name in type(self).model_fields)

    @classmethod
    def _is_secret(cls, name: str, value: object) -> bool:
        """True for a secret written out; False for the name of a variable."""
        field = cls.model_fields.get(name)
        if field is None or not isinstance(value, str) or isinstance(value, dg.EnvVar):
            return False
        marked = isinstance(field.json_schema_extra, dict) and bool(field.json_schema_extra.get("dagster__is_secret"))
        return bool(value) and (marked or holds_password(value))

    @classmethod
    def _of(cls, settings: Settings) -> Self:
        names = [name for name in cls.model_fields if name != "folder"]
        return cls(folder=str(settings.folder), **{name: _given(name, getattr(settings, name), settings.folder) for name in names})

    def __reduce__(self) -> str:
        raise TypeError(f"a {type(self).__name__} may hold secrets, and is not pickled")

    def __repr_args__(self) -> Iterator[tuple[str, Any]]:
        for name, value in self._fields():
            if isinstance(value, dg.EnvVar):
                yield name, _Variable(value.env_var_name)
            elif value is not None:
                yield name, HIDDEN if self._is_secret(name, value) else value


class PleoResource(_PleoSettings):
    """The credential for Pleo and how its API is used. Secrets are given as `dg.EnvVar`, never written out."""

    environment: str | None = _field("production, staging or sandbox.")
    api_url: str | None = _field("Where the API is; follows from the environment when left out.")
    auth_url: str | None = _field("Where the authorisation server is; follows from the environment when left out.")
    proxy: str | None = _field("How Pleo is reached: a proxy's URL, or environment; directly when left out.")
    client_id: str | None = _field("The OAuth client that Pleo registered.")
    client_secret: str | None = _field("The client's secret, as an environment variable.", secret=True)
    client_auth: str | None = _field("How the client proves itself: basic, post or none.")
    redirect_uri: str | None = _field("The redirect URI registered at Pleo; used by `pleo-connector connect` only.")
    scopes: str | None = _field("Scopes, separated by spaces.")
    api_key: str | None = _field("An API key instead of OAuth, as an environment variable.", secret=True)
    token_store: str | None = _field("Where the tokens are kept.")
    token_keys: str | None = _field("Keys that seal the tokens, as an environment variable.", secret=True)
    key_provider: str | None = _field("Where the keys that seal the tokens are stored, such as keyring.")
    hash_key: str | None = _field("The key of columns that are hashed, as an environment variable.", secret=True)
    connection_label: str | None = _field("Label of this connection, where one client has several.")
    requests_per_minute: int | None = _field("Requests in any 60 seconds; Pleo asks for 500 at most.")
    budget_scope: str | None = _field(
        "Who shares that limit: shared (all processes that use the token store together) or process (each has its own)."
    )
    concurrency: int | None = _field("Requests under way at once.")

    def connection(self) -> "Connection":
        """How to reach Pleo with this credential."""
        from pleo_connector.sync import connection_from_settings

        return connection_from_settings(self.settings())

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The resource of these settings; a secret travels as the name of its variable.

        ConfigurationError if a secret is not where a run could find it again.
        """
        return cls._of(settings)


class WarehouseResource(_PleoSettings):
    """Where the tables go."""

    warehouse: str | None = _field("The warehouse's URL, such as duckdb:///spend.duckdb.")
    schema_name: str | None = _field("The schema that the tables are in.")
    snapshot: str | None = _field("Whether readers get a copy of a DuckDB file after each run: off, on, or a path for it.")
    storage_version: str | None = _field("The oldest DuckDB that can open a new DuckDB file, such as v1.4.0, or latest.")
    raw: str | None = _field("Where raw pages (answers as Pleo served them) are kept: warehouse, off, or a folder.")
    raw_days: int | None = _field("Days for which raw pages are kept; 0 means for ever.")
    categories: str | None = _field("A CSV file with names of categories (id, code, name).")

    def open(self) -> Warehouse:
        """The warehouse; nothing is opened before its first transaction."""
        settings = self.settings()
        return open_warehouse(
            settings.warehouse, settings.schema_name, snapshot=settings.snapshot, storage_version=settings.storage_version
        )

    def named_categories(self) -> "tuple[Category, ...] | None":
        """The categories of the file; None without a file. ConfigurationError says what is wrong with it."""
        from pleo_connector.analytics import categories_of

        return categories_of(self.settings().categories)

    def raw_policy(self) -> "RawPolicy":
        """Where and for how long pages are kept as they were served."""
        from pleo_connector.sync import RawPolicy

        settings = self.settings()
        return RawPolicy(settings.raw, settings.raw_days)

    @classmethod
    def from_settings(cls, settings: Settings) -> Self:
        """The resource of these settings; a URL with a password in it travels as the name of its variable."""
        return cls._of(settings)


class _Variable:
    """How a repr shows the name of an environment variable."""

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return f"EnvVar({self._name!r})"


def holds_password(value: str) -> bool:
    """True for a URL with a password or token in it."""
    return _PASSWORD_IN_URL.search(value) is not None


def _resolved(value: Any) -> Any:
    return value.get_value() if isinstance(value, dg.EnvVar) else value


def _given(name: str, value: Any, folder: Path) -> Any:
    """What a resource is given for a setting: its value where Dagster may show it, else where a run finds it.

    That is its variable, or nothing for what `.env` or the sandbox's preset will say again.
    """
    plain = value.get_secret_value() if isinstance(value, SecretStr) else value
    secret = isinstance(value, SecretStr) or (isinstance(value, str) and holds_password(value))
    if not secret and not (isinstance(value, str) and value.lower() in _NO_TEXT):
        return value
    if not plain:
        return ""
    variable = variable_of(name)
    if os.environ.get(variable) == plain:
        return dg.EnvVar(variable)
    loaded = getattr(load(folder=folder), name)
    if (loaded.get_secret_value() if isinstance(loaded, SecretStr) else loaded) == plain:
        return None
    if not secret:
        return value
    raise ConfigurationError(f"{variable} must be set in the environment or in .env: Dagster's runs take secrets from nowhere else.")
