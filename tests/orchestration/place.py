"""A place for one orchestration test: a warehouse file, a token store, a sandbox, and definitions over them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from pleo_connector.orchestration import build_pleo_definitions
from pleo_connector.sandbox import API_KEY
from pleo_connector.warehouses import Warehouse, open_warehouse


@dataclass(frozen=True)
class Place:
    """The folder with everything that a run reads and writes."""

    folder: Path
    url: str

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PLEO_ENVIRONMENT": "sandbox",
            "PLEO_API_URL": self.url,
            "PLEO_AUTH_URL": self.url,
            "PLEO_API_KEY": API_KEY,
            "PLEO_WAREHOUSE": f"duckdb:///{self.folder / 'w.duckdb'}",
            "PLEO_TOKEN_STORE": str(self.folder / "tokens.sqlite"),
            "PLEO_REQUESTS_PER_MINUTE": "100000",
            "PLEO_MARTS": "off",  # one step, all tables; test_the_marts_as_assets.py has them on
        }

    @property
    def warehouse(self) -> Warehouse:
        return open_warehouse(self.environment["PLEO_WAREHOUSE"], "pleo")

    def scalar(self, sql: str) -> Any:
        with self.warehouse.transaction() as transaction:
            return transaction.scalar(sql)

    def run(
        self,
        tables: Sequence[str] = (),
        *,
        config: dict[str, Any] | None = None,
        instance: dg.DagsterInstance | None = None,
        overrides: dict[str, str] | None = None,
        **options: Any,
    ) -> dg.ExecuteInProcessResult:
        """Sync these tables (all without any), in this process, with `options` of `build_pleo_definitions`."""
        with environment(self.environment | (overrides or {})), opened(instance) as ready:
            definitions = build_pleo_definitions(**options)
            return definitions.resolve_job_def("pleo_sync").execute_in_process(
                instance=ready,
                raise_on_error=False,
                asset_selection=[dg.AssetKey(["pleo", table]) for table in tables] or None,
                run_config={"ops": {"pleo_tables": {"config": config}}} if config else None,
            )

    def check(self, *tables: str, instance: dg.DagsterInstance | None = None, **options: Any) -> dg.ExecuteInProcessResult:
        """Evaluate the checks of these tables without syncing them."""
        with environment(self.environment), opened(instance) as ready:
            definitions = build_pleo_definitions(**options)
            assets, *_ = definitions.assets or ()
            assert isinstance(assets, dg.AssetsDefinition)
            chosen = dg.AssetSelection.checks_for_assets(*(dg.AssetKey(["pleo", table]) for table in tables))
            return dg.materialize([assets], instance=ready, resources=definitions.resources, selection=chosen, raise_on_error=False)


def opened(instance: dg.DagsterInstance | None) -> AbstractContextManager[dg.DagsterInstance]:
    """This instance, left open; or one of its own, closed afterwards."""
    return dg.DagsterInstance.ephemeral() if instance is None else nullcontext(instance)


@contextmanager
def environment(variables: dict[str, str]) -> Iterator[None]:
    """Only these PLEO_* variables, as a process started with them would see."""
    before = {name: os.environ.pop(name) for name in list(os.environ) if name.startswith("PLEO_")}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name in variables:
            del os.environ[name]
        os.environ.update(before)


def materialized(result: dg.ExecuteInProcessResult) -> dict[str, dict[str, Any]]:
    """Metadata by table of what a run materialised."""
    return {
        event.materialization.asset_key.path[-1]: {
            name: getattr(value, "value", value) for name, value in event.materialization.metadata.items()
        }
        for event in result.get_asset_materialization_events()
    }


def checks(result: dg.ExecuteInProcessResult) -> dict[tuple[str, str], dg.AssetCheckEvaluation]:
    """Check evaluations by table and check."""
    return {(found.asset_key.path[-1], found.check_name): found for found in result.get_asset_check_evaluations()}


def failure(result: dg.ExecuteInProcessResult) -> Any:
    """How the run's one step failed."""
    (event,) = (event for event in result.all_events if event.event_type_value == "STEP_FAILURE")
    return event.step_failure_data
