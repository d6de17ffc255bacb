"""Many connections: grants made in the sandbox without a browser, and the sensor's wishes carried out as the daemon does."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.instance.types import CachingDynamicPartitionsLoader

from pleo_connector.auth.connection import binding_of, keys_for_login
from pleo_connector.auth.secret import Secret
from pleo_connector.auth.stores import open_store
from pleo_connector.auth.token import TokenSet
from pleo_connector.orchestration import PleoResource, WarehouseResource, build_pleo_connections_definitions
from pleo_connector.sandbox import RunningSandbox
from pleo_connector.sandbox.oauth_rules import Consent, Grant, challenge_of
from pleo_connector.settings import DEFAULT_SCOPES, load
from pleo_connector.sync import Connection, connection_from_settings
from pleo_connector.warehouses import open_warehouse
from tests.orchestration.place import environment


class _Context(dg.SensorEvaluationContext):
    """Looks partitions up in its instance, where Dagster's own wants an instance on disk."""

    @property
    def caching_dynamic_partitions_loader(self) -> CachingDynamicPartitionsLoader:
        return CachingDynamicPartitionsLoader(self.instance)


TWO = ("vendors", "tax_codes")
CONNECTIONS, SYNC = "pleo_connections", "pleo_sync"


class Impatient(PleoResource):
    """Gives a Pleo that fails up after a second, not after two minutes."""

    def connection(self) -> Connection:
        return connection_from_settings(self.settings(), patience=1.0)


@dataclass
class Many:
    """A sandbox, a token store, one warehouse file, an instance, and definitions over them."""

    sandbox: RunningSandbox
    folder: Path
    instance: dg.DagsterInstance
    definitions: dg.Definitions = field(init=False)
    cursors: dict[str, str | None] = field(default_factory=dict)
    """What each sensor remembers."""
    why: str | None = None
    """Why the last evaluation asked for nothing."""
    grants: dict[str, Grant] = field(default_factory=dict)

    @property
    def cursor(self) -> str | None:
        """What the sensor of connections remembers."""
        return self.cursors.get(CONNECTIONS)

    @cursor.setter
    def cursor(self, cursor: str | None) -> None:
        self.cursors[CONNECTIONS] = cursor

    @property
    def url(self) -> str:
        return f"duckdb:///{self.folder / 'w.duckdb'}"

    @property
    def partitions(self) -> list[str]:
        return list(self.instance.get_dynamic_partitions("pleo_connections"))

    @property
    def store(self) -> Any:
        return open_store(load().token_store).store

    def define(self, **options: Any) -> None:
        """Other definitions than the usual ones."""
        self.use(_built(**options))

    def use(self, definitions: dg.Definitions) -> None:
        """These definitions."""
        self.definitions = definitions
        self.repository = self.definitions.get_repository_def()

    def connect(self, *labels: str, scopes: str = DEFAULT_SCOPES) -> None:
        """A grant for each label, sealed in the store as a login leaves it."""
        opened, state, verifier = open_store(load().token_store), self.sandbox.state, secrets.token_urlsafe(48)
        for label in labels:
            settings = load().labelled(label)
            binding = binding_of(settings)
            keys = keys_for_login(settings, opened, binding)
            with state.lock:
                consent = Consent(
                    settings.client_id,
                    settings.redirect_uri,
                    tuple(scopes.split()),
                    state.default_subject(),
                    "state",
                    challenge_of(verifier),
                )
                grant = state.oauth.exchange(settings.client_id, state.oauth.code_for(consent), settings.redirect_uri, verifier)
            tokens = TokenSet(Secret(grant.access_token), Secret(grant.refresh_token), time.time(), state.oauth.lifetimes.access, scopes)
            opened.store.replace(binding.connection, keys.seal(tokens, binding))
            self.grants[label] = grant

    def connection(self, label: str) -> str:
        return load().labelled(label).connection

    def tick(self, sensor: str = CONNECTIONS) -> dict[str, str]:
        """One evaluation of a sensor, and the partitions that it asks for; the keys of the runs that it asks for, by label."""
        context = _Context(
            instance_ref=None,
            instance=self.instance,
            cursor=self.cursors.get(sensor),
            repository_def=self.repository,
            resources=self.repository.get_top_level_resources(),
        )
        result = self.repository.get_sensor_def(sensor).evaluate_tick(context)
        self.cursors[sensor], self.why = result.cursor, result.skip_message
        for change in result.dynamic_partitions_requests or ():
            if isinstance(change, dg.AddDynamicPartitionsRequest):
                self.instance.add_dynamic_partitions(change.partitions_def_name, list(change.partition_keys))
            else:
                for key in change.partition_keys:
                    self.instance.delete_dynamic_partition(change.partitions_def_name, key)
        return {str(request.partition_key): str(request.run_key) for request in result.run_requests or ()}

    def enqueue(self, label: str, run_key: str, job: str = SYNC, **options: Any) -> dg.DagsterRun:
        """A run as the daemon makes it, before it starts, or with another `status`."""
        tags = {"dagster/partition": label, "dagster/run_key": run_key}
        return self.instance.create_run_for_job(self.definitions.resolve_job_def(job), tags=tags, **options)

    def run(self, label: str, run_key: str = "", job: str = SYNC, **options: Any) -> dg.ExecuteInProcessResult:
        """A run of one connection, to its end."""
        tags = {"dagster/run_key": run_key} if run_key else {}
        return self.definitions.resolve_job_def(job).execute_in_process(
            instance=self.instance, partition_key=label, raise_on_error=False, tags=tags, **options
        )

    def rows(self, label: str, table: str) -> tuple[int, int]:
        """Rows of a connection's table, and how many different keys they have."""
        with open_warehouse(self.url, f"pleo_{label.replace('-', '_')}").transaction() as transaction:
            found = transaction.scalar(f"SELECT count(*) || ' ' || count(DISTINCT id) FROM {{schema}}.{table}")
        rows, keys = str(found).split()
        return int(rows), int(keys)


@contextmanager
def many(folder: Path, sandbox: RunningSandbox) -> Iterator[Many]:
    """Everything there is, and nothing connected yet."""
    with environment(variables(folder, sandbox)), dg.DagsterInstance.ephemeral() as instance:
        found = Many(sandbox, folder, instance)
        found.define()
        yield found


@cache
def _built(**options: Any) -> dg.Definitions:
    """Definitions whose resources take everything from the environment, when they are used."""
    usual: dict[str, Any] = {"pleo": Impatient(), "warehouse": WarehouseResource(), "streams": ("vendors",)}
    return build_pleo_connections_definitions(**usual | options)


def variables(folder: Path, sandbox: RunningSandbox) -> dict[str, str]:
    """The settings of everything here."""
    return {
        "PLEO_API_URL": sandbox.url,
        "PLEO_AUTH_URL": sandbox.url,
        "PLEO_TOKEN_STORE": str(folder / "state" / "tokens.sqlite"),
        "PLEO_WAREHOUSE": f"duckdb:///{folder / 'w.duckdb'}",
        "PLEO_REQUESTS_PER_MINUTE": "100000",
        "PLEO_MARTS": "off",
    }
