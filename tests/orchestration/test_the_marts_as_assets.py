"""Marts in Dagster: assets that depend on the tables they read, column by column."""

from __future__ import annotations

import dagster as dg
import duckdb
import pytest

from pleo_connector.analytics import marts
from pleo_connector.catalogue import CATALOGUE
from pleo_connector.orchestration import PleoMartData, PleoTranslator, build_pleo_definitions
from pleo_connector.orchestration.columns import PERSONAL
from tests.orchestration.place import Place, environment, failure, materialized

TABLES = {table.name for table in CATALOGUE.tables()}
MARTS = {mart.name for mart in marts()}


@pytest.mark.slow
def test_a_sync_of_everything_materialises_the_marts_after_the_tables(place: Place) -> None:
    result = place.run(marts=True)
    assert result.success
    found = materialized(result)
    assert set(found) == TABLES | MARTS
    assert list(found)[-len(MARTS) :] == [mart.name for mart in marts()]
    with duckdb.connect(str(place.folder / "w.duckdb"), read_only=True) as connection:
        for mart in MARTS:
            assert connection.execute(f"SELECT count(*) FROM pleo.{mart}").fetchone() == (found[mart]["dagster/row_count"],)
    assert found["spend_by_month"]["dagster/row_count"] > 0


def test_a_mart_can_be_made_alone(place: Place) -> None:
    assert place.run(["companies"]).success
    result = place.run(["missing_receipts", "spend"], marts=True)
    assert result.success
    assert materialized(result) == {"missing_receipts": {"dagster/row_count": 0}, "spend": {"dagster/row_count": 0}}


def _spec(place: Place, mart: str, translator: PleoTranslator | None = None) -> dg.AssetSpec:
    with environment(place.environment):
        definitions = build_pleo_definitions(marts=True, translator=translator)
        _, made, *_ = definitions.assets or ()
    assert isinstance(made, dg.AssetsDefinition)
    return next(spec for spec in made.specs if spec.key.path[-1] == mart)


def test_dependencies_and_lineage_are_those_of_the_sql(place: Place) -> None:
    spec = _spec(place, "spend_by_tag")
    assert {dep.asset_key.path[-1] for dep in spec.deps} == {"spend", "spend_tags"}
    lineage = spec.metadata["dagster/column_lineage"].deps_by_column
    assert lineage["tag"] == [dg.TableColumnDep(dg.AssetKey(["pleo", "spend_tags"]), "tag")]
    assert {dep.asset_key.path[-1] for dep in _spec(place, "missing_receipts").deps} == {
        "counted_entries", "accounting_entry_receipts", "receipts",
    }  # fmt: skip
    named = _spec(place, "category_names")
    assert {dep.asset_key.path[-1] for dep in named.deps} == {
        "accounting_entries", "accounting_entry_splits", "accounts", "export_items", "export_item_lines", "export_jobs",
    }, "the table of the person's file is no asset"  # fmt: skip


def test_personal_columns_stay_personal_in_views_of_views(place: Place) -> None:
    spec = _spec(place, "spend_by_employee")
    assert spec.tags[PERSONAL] == "yes"
    tagged = {column.name for column in spec.metadata["dagster/column_schema"].columns if column.tags}
    assert tagged == {"employee_name"}
    assert PERSONAL not in _spec(place, "spend_by_month").tags


def test_a_translator_moves_a_mart_and_what_depends_on_it(place: Place) -> None:
    class Ours(PleoTranslator):
        def get_mart_spec(self, data: PleoMartData) -> dg.AssetSpec:
            return super().get_mart_spec(data).replace_attributes(key=["finance", data.view.name], group_name="finance")

    spec = _spec(place, "spend_by_tag", Ours())
    assert spec.key == dg.AssetKey(["finance", "spend_by_tag"])
    assert {dep.asset_key for dep in spec.deps} == {dg.AssetKey(["finance", "spend"]), dg.AssetKey(["finance", "spend_tags"])}


def test_a_view_in_the_way_fails_the_marts_with_advice(place: Place) -> None:
    assert place.run(["companies"]).success
    with duckdb.connect(str(place.folder / "w.duckdb")) as connection:
        connection.execute("CREATE VIEW pleo.spend AS SELECT 1 AS mine")
    result = place.run(["spend"], marts=True)
    assert not result.success
    assert "has a view spend that the connector did not make: rename it" in failure(result).user_failure_data.description
