"""`PleoComponent`: scaffolded, edited, loaded and run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import dagster as dg
import pytest
import yaml

import pleo_connector
from pleo_connector.errors import ConfigurationError
from pleo_connector.orchestration import component
from pleo_connector.orchestration.component import PleoComponent, PleoScaffolder
from pleo_connector.sandbox import API_KEY
from tests.orchestration.place import Place, environment, materialized

ROOT = Path(__file__).parents[2]
# Dagster reads YAML by a function that pydantic has deprecated.
pytestmark = pytest.mark.filterwarnings("ignore:`parse_obj_as` is deprecated")

SECRET = "s3cret-value-of-a-test"


def loaded(attributes: str) -> PleoComponent:
    component: PleoComponent = PleoComponent.resolve_from_yaml(attributes)
    return component


def definitions(attributes: str) -> dg.Definitions:
    context: Any = None
    return loaded(attributes).build_defs(context)


def test_the_component_is_a_public_name() -> None:
    assert pleo_connector.PleoComponent is PleoComponent


@pytest.mark.parametrize("attribute", ["client_secret_env", "api_key_env", "token_keys_env", "warehouse_env", "token_store_env"])
def test_a_secret_in_place_of_its_variables_name_is_refused_and_not_repeated(attribute: str) -> None:
    with environment({}), pytest.raises(ConfigurationError, match=f"{attribute} must be the name of an environment variable") as refused:
        definitions(f"{attribute}: {SECRET}")
    assert SECRET not in str(refused.value)


def test_a_secret_that_the_template_puts_in_place_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_SECRET_OF_A_TEST", SECRET)
    with environment({}), pytest.raises(ConfigurationError, match="write X") as refused:
        definitions("api_key_env: '{{ env.A_SECRET_OF_A_TEST }}'")
    assert SECRET not in str(refused.value)


def test_a_url_with_a_password_is_refused() -> None:
    with environment({}), pytest.raises(ConfigurationError, match="write warehouse_env") as refused:
        definitions(f"warehouse: postgresql://me:{SECRET}@host/db")
    assert SECRET not in str(refused.value)
    with environment({}), pytest.raises(ConfigurationError, match="warehouse or warehouse_env, not both"):
        definitions("{warehouse: 'duckdb:///x.duckdb', warehouse_env: X}")


def test_secrets_stay_variables_until_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_KEY", SECRET)
    with environment({}):
        built = definitions("{name: acme, api_key_env: ACME_KEY}")
        resource = (built.resources or {})["acme"]
        assert SECRET not in repr(resource) and "EnvVar('ACME_KEY')" in repr(resource)
        assert resource.settings().api_key.get_secret_value() == SECRET


def test_what_may_be_chosen_reaches_the_definitions(tmp_path: Path) -> None:
    with environment({}):
        built = definitions(f"""
name: acme
warehouse: duckdb:///{tmp_path}/w.duckdb
schema_name: spend
streams: [tags, vendors]
blocking_checks: true
schedule: "0 6 * * *"
running: [weekly_full]
options: {{streams: {{vendors: {{history: true}}}}}}
translation: {{group_name: finance, key: "fin/{{{{ table.name }}}}", owners: ["team:finance"]}}
""")
        repository = built.get_repository_def()
    graph = built.resolve_asset_graph()
    vendors = graph.get(dg.AssetKey(["fin", "vendors"]))
    assert {key.path[-1] for key in graph.get_all_asset_keys()} == {"tags", "tag_dimension_values", "vendors"}
    assert vendors.group_name == "finance" and vendors.owners == ["team:finance"]
    relation = vendors.metadata["dagster/relation_identifier"]
    assert getattr(relation, "value", relation) == "spend.vendors"
    schedule = repository.get_schedule_def("acme_component")
    assert (schedule.cron_schedule, schedule.default_status) == ("0 6 * * *", dg.DefaultScheduleStatus.RUNNING)
    assert repository.get_schedule_def("acme_weekly_full").default_status is dg.DefaultScheduleStatus.RUNNING
    assert repository.get_schedule_def("acme_daily").default_status is dg.DefaultScheduleStatus.STOPPED


def test_every_connection_of_the_store_is_a_partition_where_that_is_chosen() -> None:
    with environment({}):
        built = definitions("{name: acme, connections: true, streams: [vendors], warehouse: 'duckdb:///{connection}.duckdb'}")
        vendors = built.resolve_asset_graph().get(dg.AssetKey(["acme", "vendors"]))
        assert vendors.partitions_def == dg.DynamicPartitionsDefinition(name="acme_connections")
        with pytest.raises(ConfigurationError, match="connection_label does not go with connections: true"):
            definitions("{connections: true, connection_label: acme}")


@pytest.mark.parametrize("marts", [True, False])
def test_marts_may_be_left_out(tmp_path: Path, *, marts: bool) -> None:
    with environment({}):
        built = definitions(f"{{marts: {str(marts).lower()}, warehouse: 'duckdb:///{tmp_path}/w.duckdb'}}")
    assert built.resolve_asset_graph().has(dg.AssetKey(["pleo", "spend"])) is marts


def test_options_are_checked() -> None:
    with environment({}), pytest.raises(ConfigurationError, match=r"there is no stream 'vendor'; did you mean 'vendors'"):
        definitions("options: {streams: {vendor: {history: true}}}")


# --- with dg ---------------------------------------------------------------------------------


def run_dg(folder: Path, *command: str, **variables: str) -> str:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PLEO_", "VIRTUAL_ENV", "PYTHONPATH"))}
    values = clean | {"DAGSTER_HOME": str(folder / "home"), "PYTHONPATH": str(folder)} | variables
    (folder / "home").mkdir(exist_ok=True)
    (folder / "home" / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())
    dg_command = [str(Path(sys.executable).with_name("dg")), *command]
    done = subprocess.run(dg_command, cwd=folder, env=values, capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def empty_project(folder: Path) -> Path:
    """What `dg init` leaves, without an environment of its own."""
    (folder / "shop" / "defs").mkdir(parents=True)
    (folder / "shop" / "__init__.py").touch()
    (folder / "shop" / "defs" / "__init__.py").touch()
    (folder / "shop" / "definitions.py").write_text(
        "from pathlib import Path\n\nimport dagster as dg\n\n\n@dg.definitions\ndef defs():\n"
        "    return dg.load_from_defs_folder(path_within_project=Path(__file__).parent)\n"
    )
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "shop"\nversion = "0"\n\n[tool.dg]\ndirectory_type = "project"\n\n[tool.dg.project]\nroot_module = "shop"\n'
    )
    return folder


@pytest.mark.slow
def test_scaffolded_in_an_empty_project_edited_loaded_and_materialised(place: Place, tmp_path: Path) -> None:
    project = empty_project(tmp_path / "project")
    run_dg(project, "scaffold", "defs", "pleo_connector.PleoComponent", "my_pleo")
    file = project / "shop" / "defs" / "my_pleo" / "defs.yaml"
    written = file.read_text()
    assert yaml.safe_load(written)["type"] == "pleo_connector.PleoComponent"
    edited = (
        written.replace("name: my_pleo", "name: acme")
        .replace("# api_key_env: PLEO_API_KEY ", "api_key_env: ACME_PLEO_KEY ")
        .replace("environment: sandbox", f"environment: sandbox\n  api_url: {place.url}")
        .replace("duckdb:///my_pleo.duckdb", f"duckdb:///{tmp_path}/acme.duckdb")
        .replace("# streams: [accounting_entries, employees, vendors]", "streams: [vendors]")
    )
    file.write_text(edited)
    run_dg(project, "check", "yaml")
    assert '"acme/vendors"' in run_dg(project, "list", "defs", "--json")
    run_dg(project, "launch", "--assets", 'key:"acme/vendors"', ACME_PLEO_KEY=API_KEY)
    with dg.DagsterInstance.from_config(str(project / "home")) as instance:
        assert instance.get_latest_materialization_event(dg.AssetKey(["acme", "vendors"])) is not None


@pytest.mark.slow
def test_scaffolded_in_this_project_it_loads_too(tmp_path: Path) -> None:
    project = tmp_path / "copy"
    project.mkdir()
    for name in ("pleo_connector", "definitions.py", "pyproject.toml"):
        source = ROOT / name
        shutil.copytree(source, project / name) if source.is_dir() else shutil.copy(source, project / name)
    run_dg(project, "scaffold", "defs", "pleo_connector.PleoComponent", "second_pleo")
    listed = run_dg(project, "list", "defs", "--json")
    assert '"second_pleo/vendors"' in listed and '"pleo/vendors"' in listed


REPORT = """
type: shop.defs.reports.Report
attributes:
  deps: ["{{ LOAD('my_pleo').asset_key_for_table('TABLE') }}"]
"""
REPORTS = """
import dagster as dg


class Report(dg.Component, dg.Model, dg.Resolvable):
    deps: list[dg.ResolvedAssetKey]

    def build_defs(self, context):
        return dg.Definitions(assets=[dg.AssetSpec("in_yaml", deps=self.deps)])


@dg.definitions
def defs(context: dg.ComponentLoadContext):
    load = getattr(context, "load_component", None) or context.load_component_at_path
    return dg.Definitions(assets=[dg.AssetSpec("in_code", deps=[load("my_pleo").asset_key_for_table("accounting_entries")])])
"""
LOAD = "context.load_component" if hasattr(dg.ComponentLoadContext, "load_component") else "load_component_at_path"


def reporting(folder: Path, table: str, component: str = "my_pleo") -> dg.AssetGraph:
    """A project with a component as it is scaffolded, an asset in YAML that depends on this table of it, and one in code."""
    defs = empty_project(folder) / "shop" / "defs"
    (defs / "my_pleo").mkdir()
    (defs / "my_pleo" / "defs.yaml").write_text(
        f"type: pleo_connector.PleoComponent\nattributes: {{name: my_pleo, warehouse: 'duckdb:///{folder}/w.duckdb'}}\n"
    )
    (defs / "reports.py").write_text(REPORTS)
    (defs / "report").mkdir()
    (defs / "report" / "defs.yaml").write_text(REPORT.replace("TABLE", table).replace("LOAD", LOAD).replace("my_pleo", component))
    return dg.ComponentTree.for_project(folder).build_defs().resolve_asset_graph()


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.syspath_prepend(str(tmp_path))
    with environment({}):
        yield tmp_path
    for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
        del sys.modules[name]


@pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning")  # Dagster's own, when it loads a project
def test_assets_in_yaml_and_in_code_depend_on_a_named_components_tables_and_marts(shop: Path) -> None:
    graph = reporting(shop, "spend")
    assert graph.get(dg.AssetKey("in_yaml")).parent_keys == {dg.AssetKey(["my_pleo", "spend"])}
    assert graph.get(dg.AssetKey("in_code")).parent_keys == {dg.AssetKey(["my_pleo", "accounting_entries"])}
    assert all(
        graph.get(key).is_materializable for key in (dg.AssetKey(["my_pleo", "spend"]), dg.AssetKey(["my_pleo", "accounting_entries"]))
    )


@pytest.mark.filterwarnings("ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning")
@pytest.mark.parametrize(
    ("table", "component", "expected"),
    [("spnd", "my_pleo", "The connection my_pleo has no table 'spnd'; did you mean 'spend'"), ("spend", "my_plea", "my_plea")],
)
def test_a_table_or_component_that_is_none_fails_at_load(shop: Path, table: str, component: str, expected: str) -> None:
    with pytest.raises(Exception) as refused:  # noqa: PT011 - Dagster wraps it, in each version otherwise
        reporting(shop, table, component)
    message, error = "", cast("BaseException | None", refused.value)
    while error is not None:
        message, error = f"{message}{error}", error.__cause__
    assert expected in message


def test_as_it_is_scaffolded_it_loads(tmp_path: Path) -> None:
    request: Any = dg.ScaffoldRequest(
        type_name="pleo_connector.PleoComponent", target_path=tmp_path, scaffold_format="yaml", project_root=None, params=None
    )
    PleoScaffolder().scaffold(request)
    document = yaml.safe_load((tmp_path / "defs.yaml").read_text())
    with environment({}):
        built = definitions(yaml.safe_dump(document["attributes"]))
        dg.Definitions.validate_loadable(built)


def test_the_template_lists_every_choice() -> None:
    text = Path(component.__file__).with_name("component_template.yaml").read_text()
    choices = set(re.findall(r"^  (?:# )?([a-z_]+):", text, re.MULTILINE))
    assert choices == set(PleoComponent.model_fields)


def test_what_the_template_shows_is_accepted(tmp_path: Path) -> None:
    text = Path(component.__file__).with_name("component_template.yaml").read_text().replace("NAME", "acme")
    for name in PleoComponent.model_fields:
        shown = next(line for line in text.splitlines() if re.match(rf"  (# )?{name}:", line)).replace("# ", "", 1)
        with environment({}):
            value = yaml.safe_load(shown)[name]
        if value is not None:  # else its value is on the lines below
            assert yaml.safe_dump(loaded(yaml.safe_dump({name: value})).model_dump()[name]) == yaml.safe_dump(value)


def test_it_materialises(place: Place) -> None:
    attributes = f"{{environment: sandbox, api_url: '{place.url}', api_key_env: PLEO_API_KEY, streams: [vendors], "
    attributes += f"warehouse: '{place.environment['PLEO_WAREHOUSE']}'}}"
    with environment({"PLEO_API_KEY": API_KEY}), dg.DagsterInstance.ephemeral() as instance:
        result = definitions(attributes).resolve_job_def("pleo_sync").execute_in_process(instance=instance)
    assert set(materialized(result)) == {"vendors"}
