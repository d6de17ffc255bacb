"""A table that Pleo refuses is left out and takes no view with it; and every sync makes the views, however it is run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
import duckdb
import pytest

from pleo_connector.analytics import marts, views
from pleo_connector.catalogue import CATALOGUE
from pleo_connector.orchestration import PleoTranslator, build_pleo_definitions
from pleo_connector.orchestration.component import PleoComponent
from pleo_connector.orchestration.translator import PleoMartData
from pleo_connector.sandbox import API_KEY, Fault, RunningSandbox
from pleo_connector.warehouses import open_warehouse
from tests.orchestration.many import many
from tests.orchestration.place import Place, environment, materialized

TABLES, MART = ["companies", "employees", "tax_codes"], "counted_entries"
"""The mart reads two of the tables, and one is refused."""


@pytest.fixture
def refused(sandbox: RunningSandbox) -> Iterator[None]:
    path = CATALOGUE.stream("employees").path
    sandbox.state.set_faults(Fault("status", path=path, status=403))
    yield
    sandbox.state.set_faults()


def views_of(place: Place) -> set[str]:
    """The views of the warehouse that can be read."""
    with place.warehouse.transaction() as transaction:
        for view in views():
            transaction.scalar(f'SELECT count(*) FROM {{schema}}."{view.name}"')
    return {view.name for view in views()}


def skipped(result: dg.ExecuteInProcessResult) -> list[str]:
    return [str(event.step_key) for event in result.all_events if event.event_type_value == "STEP_SKIPPED"]


@pytest.mark.usefixtures("refused")
@pytest.mark.parametrize("options", [{}, {"step_per_table": True}, {"partitioned": True}, {"blocking_checks": True}], ids=str)
def test_a_table_that_is_left_out_does_not_take_the_marts_with_it(place: Place, options: dict[str, Any]) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        result = place.run([*TABLES, MART, "spend"], marts=True, instance=instance, **options)
        assert instance.fetch_materializations(dg.AssetKey(["pleo", "employees"]), limit=1).records == []
    assert result.success and skipped(result) == []
    assert set(materialized(result)) == {"companies", "tax_codes", MART, "spend"}, "what was left out is not materialised"
    assert views_of(place)


@pytest.mark.slow
@pytest.mark.usefixtures("refused")
def test_the_whole_job_makes_every_mart_without_what_is_refused(place: Place) -> None:
    result = place.run(marts=True)
    assert result.success and skipped(result) == []
    assert {mart.name for mart in marts()} <= set(materialized(result))


@pytest.mark.usefixtures("refused")
@pytest.mark.filterwarnings("ignore:Parameter `include_sources`:dagster.BetaWarning")  # Dagster's own, of a function that is not beta
def test_marts_with_an_automation_condition_follow_although_a_table_is_missing(place: Place) -> None:
    class Following(PleoTranslator):
        def get_mart_spec(self, data: PleoMartData) -> dg.AssetSpec:
            condition = (
                dg.AutomationCondition.any_deps_match(dg.AutomationCondition.data_version_changed()).since_last_handled()
                & ~dg.AutomationCondition.any_deps_in_progress()
                & ~dg.AutomationCondition.in_progress()
            )  # as docs/dagster.md shows it
            return super().get_mart_spec(data).replace_attributes(automation_condition=condition)

    mart = dg.AssetKey(["pleo", MART])
    with environment(place.environment), dg.DagsterInstance.ephemeral() as instance:
        definitions = build_pleo_definitions(marts=True, translator=Following())
        before = dg.evaluate_automation_conditions(definitions, instance)
        assert before.get_num_requested(mart) == 0
        place.run(TABLES, instance=instance)
        after = dg.evaluate_automation_conditions(definitions, instance, cursor=before.cursor)
        assert after.get_num_requested(mart) == 1


@pytest.mark.parametrize("options", [{}, {"step_per_table": True}, {"streams": ["tax_codes", "companies"]}], ids=str)
def test_tables_materialised_by_hand_leave_views(place: Place, options: dict[str, Any]) -> None:
    result = place.run(["tax_codes"], marts=True, **options)
    assert result.success and set(materialized(result)) == {"tax_codes"}
    assert views_of(place)
    assert place.scalar("SELECT count(*) FROM {schema}.live_tax_codes") > 0


def test_a_run_of_a_month_leaves_views(place: Place) -> None:
    with environment(place.environment), dg.DagsterInstance.ephemeral() as instance:
        definitions = build_pleo_definitions(marts=True, partitioned=True, streams=["accounting_entries", "companies"])
        result = definitions.resolve_job_def("pleo_months").execute_in_process(instance=instance, partition_key="2026-03-01")
    assert result.success and views_of(place)


@pytest.mark.filterwarnings("ignore:`parse_obj_as` is deprecated")
def test_a_component_leaves_views(place: Place) -> None:
    attributes = f"{{environment: sandbox, api_url: '{place.url}', api_key_env: PLEO_API_KEY, streams: [tax_codes], "
    attributes += f"warehouse: '{place.environment['PLEO_WAREHOUSE']}'}}"
    context: Any = None
    with environment({"PLEO_API_KEY": API_KEY}), dg.DagsterInstance.ephemeral() as instance:
        built = PleoComponent.resolve_from_yaml(attributes).build_defs(context)
        assert built.resolve_job_def("pleo_sync").execute_in_process(instance=instance).success
    assert views_of(place)


def test_each_of_many_connections_has_views_without_what_is_refused(place: Place, sandbox: RunningSandbox) -> None:
    with many(place.folder / "many", sandbox) as ours:
        ours.define(streams=("vendors", "tax_codes"), marts=True)
        ours.connect("acme")
        ours.tick()
        sandbox.state.set_faults(Fault("status", path="/v1/vendors", status=403))
        result = ours.run("acme")
        assert result.success and set(materialized(result)) == {"tax_codes"}
        with open_warehouse(ours.url, "pleo_acme").transaction() as transaction:
            assert int(str(transaction.scalar("SELECT count(*) FROM {schema}.live_tax_codes"))) > 0
            assert transaction.scalar("SELECT count(*) FROM {schema}.spend") == 0


def test_views_that_are_switched_off_are_not_made(place: Place) -> None:
    assert place.run(["tax_codes"], marts=False).success
    with place.warehouse.transaction() as transaction:
        made = transaction.scalar("SELECT count(*) FROM duckdb_views() WHERE schema_name = 'pleo' AND NOT internal")
    assert made == 0


def test_a_view_in_the_way_is_a_warning_of_a_sync_and_no_failure(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    assert place.run(["tax_codes"]).success
    with duckdb.connect(str(place.folder / "w.duckdb")) as connection:
        connection.execute("CREATE VIEW pleo.spend AS SELECT 1 AS mine")
    assert place.run(["tax_codes"], marts=True).success
    assert "has a view spend that the connector did not make" in capfd.readouterr().err
