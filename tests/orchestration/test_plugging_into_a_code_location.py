"""The examples, run; and the ways to plug in that they show."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pleo_connector.errors import ConfigurationError
from pleo_connector.orchestration import (
    PleoResource,
    PleoSync,
    WarehouseResource,
    build_pleo_definitions,
    get_asset_key_for_table,
    pleo_assets,
)
from pleo_connector.orchestration.translator import PleoTableData, PleoTranslator
from pleo_connector.sandbox import API_KEY
from pleo_connector.warehouses import open_warehouse
from tests.orchestration.place import Place, checks, environment, materialized

EXAMPLES = Path(__file__).parents[2] / "examples"


def example(name: str, folder: Path = EXAMPLES) -> Any:
    """The example's module, imported as Dagster would: under the environment of this moment, and from a copy in this folder."""
    file = folder / f"{name}.py"
    if not file.exists():
        shutil.copy(EXAMPLES / file.name, file)
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(definitions: dg.Definitions, *, job: str = "__ASSET_JOB", **options: Any) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        return definitions.resolve_job_def(job).execute_in_process(instance=instance, raise_on_error=False, **options)


def test_foreign_assets_depend_on_ours_and_run_after_them(place: Place) -> None:
    with environment(place.environment):
        result = run(example("own_definitions").defs, job="spend_and_reports")
    assert result.success
    metadata = materialized(result)
    order = list(metadata)
    assert set(metadata) == {"accounting_entries", "vendors", "spend_by_currency", "suppliers"}
    assert order.index("accounting_entries") < order.index("spend_by_currency")
    assert metadata["spend_by_currency"]["currencies"] == 3
    assert metadata["suppliers"]["suppliers"] == metadata["vendors"]["dagster/row_count"] > 0


def test_the_translator_says_how_our_assets_are_called(place: Place) -> None:
    with environment(place.environment):
        graph = example("own_definitions").defs.resolve_asset_graph()
    splits = graph.get(dg.AssetKey(["finance", "accounting_entry_splits"]))
    assert splits.group_name == "accounting_entries" and splits.owners == ["team:finance"]
    assert graph.get(dg.AssetKey("spend_by_currency")).parent_keys == {dg.AssetKey(["finance", "accounting_entries"])}


def test_a_step_of_ones_own_wraps_the_sync(place: Place) -> None:
    with environment(place.environment):
        result = run(example("own_step").defs, asset_selection=[dg.AssetKey(["pleo", "vendors"])], tags={"asked_by": "a test"})
    assert result.success
    assert set(materialized(result)) == {"vendors"}
    assert materialized(result)["vendors"]["asked_by"] == "a test"
    assert ("vendors", "key_unique_and_present") in checks(result)


def test_a_step_holds_the_tables_of_its_streams_alone(place: Place) -> None:
    with environment(place.environment):
        assets = example("own_step").spend
    assert {key.path[-1] for key in assets.keys} == {
        "accounting_entries",
        "accounting_entry_splits",
        "accounting_entry_split_tags",
        "accounting_entry_tags",
        "accounting_entry_attendees",
        "accounting_entry_receipts",
        "vendors",
    }
    assert assets.op.name == "spend"


def test_the_body_may_choose_other_settings_than_the_launchpads(place: Place) -> None:
    @pleo_assets(streams=["vendors"])
    def chosen(_context: dg.AssetExecutionContext, sync: PleoSync) -> Any:
        yield from sync.run(sync.config.model_copy(update={"companies": ["Nobody Ltd"]}))

    with environment(place.environment):
        resources = {"pleo": PleoResource(), "pleo_warehouse": WarehouseResource()}
        result = run(dg.Definitions(assets=[chosen], resources=resources, executor=dg.in_process_executor))
    assert "Company 'Nobody Ltd' is not covered" in str([event.event_specific_data for event in result.all_events if event.is_failure])


def test_a_stream_that_is_none_is_refused_with_the_nearest_one() -> None:
    with environment({}), pytest.raises(ConfigurationError, match="There is no stream 'vendor'; did you mean 'vendors'"):
        pleo_assets(streams=["vendor"])


class Shouting(PleoTranslator):
    def get_asset_spec(self, data: PleoTableData) -> dg.AssetSpec:
        return super().get_asset_spec(data).replace_attributes(key=data.table.name.upper())


def test_the_key_of_a_table_follows_name_and_translator() -> None:
    assert get_asset_key_for_table("tags") == dg.AssetKey(["pleo", "tags"])
    assert get_asset_key_for_table("tags", name="acme") == dg.AssetKey(["acme", "tags"])
    assert get_asset_key_for_table("tags", translator=Shouting()) == dg.AssetKey("TAGS")
    with pytest.raises(ConfigurationError, match="There is no table 'acounts'; did you mean 'accounts'"):
        get_asset_key_for_table("acounts")


def test_the_key_of_a_table_or_mart_is_that_of_the_definitions() -> None:
    with environment({}):
        acme = build_pleo_definitions(name="acme", translator=Shouting())
        both = dg.Definitions.merge(acme, build_pleo_definitions(name="globex", marts=False))
    for keys in (acme, both):
        assert get_asset_key_for_table("tags", keys, name="acme") == dg.AssetKey("TAGS")
        assert get_asset_key_for_table("spend", keys, name="acme") == dg.AssetKey(["acme", "spend"])
        assert acme.resolve_asset_graph().has(get_asset_key_for_table("spend", keys, name="acme"))
    assert get_asset_key_for_table("tags", acme) == dg.AssetKey("TAGS"), "there is one connection"
    assert get_asset_key_for_table("spend") == dg.AssetKey(["pleo", "spend"])
    with pytest.raises(ConfigurationError, match="The connection globex has no table 'spend'"):
        get_asset_key_for_table("spend", both, name="globex")
    with pytest.raises(ConfigurationError, match="These definitions have no connection 'acne'; did you mean 'acme'"):
        get_asset_key_for_table("tags", both, name="acne")
    with pytest.raises(ConfigurationError, match="several connections \\(acme, globex\\); say which by name"):
        get_asset_key_for_table("tags", both)
    with pytest.raises(ConfigurationError, match="have no table of Pleo"):
        get_asset_key_for_table("tags", dg.Definitions())


def test_two_customers_live_side_by_side_and_one_that_fails_does_not_touch_the_other(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_PLEO_KEY", API_KEY)
    monkeypatch.setenv("GLOBEX_PLEO_KEY", "a-key-that-pleo-does-not-know")
    with environment({name: value for name, value in place.environment.items() if name.endswith("URL")}):
        built = example("two_customers", place.folder).defs
        globex = run(built, job="globex_sync", asset_selection=[dg.AssetKey(["globex", "vendors"])])
        acme = run(built, job="acme_sync", asset_selection=[dg.AssetKey(["acme", "vendors"])])
        budgets = [built.resources[name].settings().requests_per_minute for name in ("acme", "globex")]
    assert acme.success and not globex.success
    assert budgets == [400, 100]
    file = place.folder / "warehouses" / "acme.duckdb"
    with open_warehouse(f"duckdb:///{file}", "acme").transaction() as transaction:
        assert transaction.scalar("SELECT count(*) FROM {schema}.vendors") == materialized(acme)["vendors"]["dagster/row_count"] > 0
    assert {key.path[0] for key in built.resolve_asset_graph().get_all_asset_keys()} == {"acme", "globex"}
