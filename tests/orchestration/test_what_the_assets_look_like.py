from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pleo_connector.analytics import marts
from pleo_connector.catalogue import CATALOGUE
from pleo_connector.column_rules import ColumnRule
from pleo_connector.errors import ConfigurationError
from pleo_connector.orchestration import (
    PleoSync,
    PleoTableData,
    PleoTranslator,
    WarehouseResource,
    build_pleo_definitions,
    load_pleo_asset_specs,
    pleo_assets,
)
from pleo_connector.orchestration.translator import code_version
from pleo_connector.stream_options import StreamOptions
from tests.orchestration.place import environment


@pytest.fixture
def specs(tmp_path: Path) -> dict[str, dg.AssetSpec]:
    with environment({"PLEO_WAREHOUSE": f"duckdb:///{tmp_path}/w.duckdb"}):
        return {spec.key.path[-1]: spec for spec in load_pleo_asset_specs()}


def test_every_table_is_an_asset(specs: dict[str, dg.AssetSpec]) -> None:
    assert set(specs) == {table.name for table in CATALOGUE.tables()}
    for name, spec in specs.items():
        assert spec.key == dg.AssetKey(["pleo", name])
        assert spec.group_name == "pleo"
        assert spec.kinds == {"pleo", "duckdb"}
        assert spec.description
        assert spec.description.startswith(CATALOGUE.table(name).description)
        assert spec.code_version
        assert spec.metadata["dagster/relation_identifier"] == f"pleo.{name}"


def test_every_column_has_type_description_and_constraints(specs: dict[str, dg.AssetSpec]) -> None:
    for name, spec in specs.items():
        table, schema = CATALOGUE.table(name), spec.metadata["dagster/column_schema"]
        assert isinstance(schema, dg.TableSchema)
        assert [column.name for column in schema.columns] == list(table.column_names)
        assert all(column.description and column.type for column in schema.columns)
        assert {column.name for column in schema.columns if not column.constraints.nullable} == set(table.key)
    entries = columns_of(specs, "accounting_entries")
    assert entries["id"].constraints.unique
    assert entries["transaction_value"].type == "decimal(38, 4)"
    assert entries["performed_at"].type == "timestamp with time zone"
    splits = columns_of(specs, "accounting_entry_splits")
    assert not splits["accounting_entry_id"].constraints.unique, "half a key is not unique"
    schema = specs["accounting_entry_splits"].metadata["dagster/column_schema"]
    assert schema.constraints.other == ["unique (accounting_entry_id, position)"]


def test_personal_data_is_tagged_on_tables_and_columns(specs: dict[str, dg.AssetSpec]) -> None:
    for name, spec in specs.items():
        personal = {field.name for field in CATALOGUE.table(name).fields if field.personal}
        assert ("pleo/personal-data" in spec.tags) == bool(personal)
        assert {column.name for column in columns_of(specs, name).values() if column.tags} == personal
    assert "pleo/personal-data" in specs["employees"].tags
    assert "pleo/personal-data" not in specs["tax_codes"].tags


def test_a_child_table_depends_on_its_parent_alone(specs: dict[str, dg.AssetSpec]) -> None:
    def parents(name: str) -> list[str]:
        return [dep.asset_key.path[-1] for dep in specs[name].deps]

    assert [dep.asset_key for dep in specs["accounting_entries"].deps] == [dg.AssetKey(["pleo", "raw", "accounting_entries"])]
    assert parents("accounting_entry_splits") == ["accounting_entries"]
    assert parents("accounting_entry_split_tags") == ["accounting_entry_splits"]


def test_the_code_version_follows_the_declaration_and_not_its_words(specs: dict[str, dg.AssetSpec]) -> None:
    stream = CATALOGUE.stream("vendors")
    (table,) = stream.tables()
    data = PleoTableData(stream, table, "pleo", "duckdb", "pleo.vendors")
    assert code_version(data) == specs["vendors"].code_version
    assert code_version(replace(data, table=replace(table, description="Other words."))) == code_version(data)
    assert code_version(replace(data, table=replace(table, fields=table.fields[1:], key=("name",)))) != code_version(data)
    assert code_version(replace(data, stream=replace(stream, path="/v2/vendors:search"))) != code_version(data)


class Finance(PleoTranslator):
    """What a user would write."""

    def get_asset_spec(self, data: PleoTableData) -> dg.AssetSpec:
        spec = super().get_asset_spec(data)
        return spec.replace_attributes(key=["finance", data.table.name], group_name="spend", owners=["team:finance"])


def test_a_translator_changes_keys_and_children_follow(tmp_path: Path) -> None:
    with environment({"PLEO_WAREHOUSE": f"duckdb:///{tmp_path}/w.duckdb"}):
        definitions = build_pleo_definitions(translator=Finance())
    graph = definitions.resolve_asset_graph()
    splits = graph.get(dg.AssetKey(["finance", "accounting_entry_splits"]))
    assert splits.parent_keys == {dg.AssetKey(["finance", "accounting_entries"])}
    assert splits.group_name == "spend"
    assert splits.owners == ["team:finance"]
    assert {key.asset_key.path[0] for key in graph.asset_check_keys} == {"finance"}


def test_two_connections_live_side_by_side(tmp_path: Path) -> None:
    def connection(name: str) -> dg.Definitions:
        return build_pleo_definitions(name=name, warehouse=WarehouseResource(warehouse=f"duckdb:///{tmp_path}/w.duckdb", schema_name=name))

    with environment({}):
        both = dg.Definitions.merge(connection("acme"), connection("globex"))
    dg.Definitions.validate_loadable(both)
    graph = both.resolve_asset_graph()
    assert len(graph.executable_asset_keys) == 2 * (len(CATALOGUE.tables()) + len(marts()))
    relation = graph.get(dg.AssetKey(["globex", "tags"])).metadata["dagster/relation_identifier"]
    assert getattr(relation, "value", relation) == "globex.tags"
    assert {"acme", "acme_warehouse", "globex", "globex_warehouse"} <= set(both.resources or {})
    schedules = {schedule.name for schedule in both.get_repository_def().schedule_defs}
    assert schedules == {
        f"{name}_{when}" for name in ("acme", "globex") for when in ("hourly", "daily", "weekly_full", "keep_alive_weekly")
    }


def test_a_foreign_asset_can_depend_on_ours(tmp_path: Path) -> None:
    @dg.asset(deps=[["pleo", "accounting_entries"]])
    def spend_by_month() -> None: ...

    with environment({"PLEO_WAREHOUSE": f"duckdb:///{tmp_path}/w.duckdb"}):
        graph = dg.Definitions.merge(build_pleo_definitions(), dg.Definitions(assets=[spend_by_month])).resolve_asset_graph()
    assert graph.get(dg.AssetKey("spend_by_month")).parent_keys == {dg.AssetKey(["pleo", "accounting_entries"])}


@pytest.mark.parametrize("name", ["", "Acme", "1st", "a-b", "a b"])
def test_a_name_that_dagster_could_not_use_is_refused(name: str) -> None:
    with environment({}), pytest.raises(ConfigurationError, match="name must have only lower-case letters"):
        build_pleo_definitions(name=name)


def columns_of(specs: dict[str, dg.AssetSpec], table: str) -> dict[str, dg.TableColumn]:
    schema: Any = specs[table].metadata["dagster/column_schema"]
    return {column.name: column for column in schema.columns}


def test_every_column_says_which_field_of_pleos_it_comes_from(specs: dict[str, dg.AssetSpec]) -> None:
    for name, spec in specs.items():
        table, found = CATALOGUE.table(name), spec.metadata["dagster/column_lineage"].deps_by_column
        own = {field.name for field in table.fields if field.name.startswith("_")}
        parent = CATALOGUE.stream(table.stream).parent
        made = {parent.column, "id"} if parent is not None else set()
        if table.parent is not None and "id" not in {column.name for column in CATALOGUE.stream(table.stream).columns}:
            made |= set(table.parent_key)  # Pleo gives the record no key: ours is made of several fields
        made |= {field for field in table.key if table.parent is not None and field.endswith("_position")}
        made |= {field.name for field in table.fields if table.parent is not None and field.name.endswith("_accounting_entry_line_id")}
        made |= {field.name for field in table.fields if name.endswith("_tags") and field.name == "split_id"}
        assert set(table.column_names) - set(found) <= own | made, name
    entries = specs["accounting_entries"].metadata["dagster/column_lineage"].deps_by_column
    assert entries["transaction_value_minors"] == [
        dg.TableColumnDep(dg.AssetKey(["pleo", "raw", "accounting_entries"]), "transactionValue")
    ]
    tags = specs["accounting_entry_split_tags"].metadata["dagster/column_lineage"].deps_by_column
    assert tags["tag_id"][0].column_name == "splitItems[].tags[].tagId"


def test_owner_freshness_and_place(specs: dict[str, dg.AssetSpec], tmp_path: Path) -> None:
    spec = specs["vendors"]
    assert spec.owners == ["team:pleo"]
    assert spec.freshness_policy is not None
    assert spec.metadata["dagster/uri"] == f"file://{tmp_path}/w.duckdb#pleo.vendors"


def test_what_pleo_serves_is_in_the_graph(tmp_path: Path) -> None:
    with environment({"PLEO_WAREHOUSE": f"duckdb:///{tmp_path}/w.duckdb"}):
        graph = build_pleo_definitions().resolve_asset_graph()
    raw = graph.get(dg.AssetKey(["pleo", "raw", "vendors"]))
    assert not raw.is_executable and raw.group_name == "pleo_raw"
    assert raw.description == "Vendors as Pleo serves them: `POST /v1/vendors:search`."


def test_hashed_and_dropped_columns_are_shown_so_by_every_way_to_plug_in(tmp_path: Path) -> None:
    options = {"employees": StreamOptions(columns={"email": ColumnRule.HASH, "phone": ColumnRule.DROP})}

    @pleo_assets(streams=["employees"], options=options)
    def own(_context: dg.AssetExecutionContext, sync: PleoSync) -> Any:
        yield from sync.run()

    with environment({"PLEO_WAREHOUSE": f"duckdb:///{tmp_path}/w.duckdb"}):
        built, *_ = build_pleo_definitions(options=options, streams=["employees", "companies"]).assets or ()
        alone = load_pleo_asset_specs(options=options, streams=["employees"])
    assert isinstance(built, dg.AssetsDefinition)
    for specs in (own.specs, built.specs, alone):
        columns = columns_of({spec.key.path[-1]: spec for spec in specs}, "employees")
        assert "Hashed by choice" in (columns["email"].description or "") and columns["email"].tags
        assert "always NULL" in (columns["phone"].description or "") and not columns["phone"].tags
