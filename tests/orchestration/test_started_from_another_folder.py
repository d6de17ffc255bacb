"""Dagster started from another folder than the definitions are in: their settings and files are found all the same."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pleo_connector.errors import ConfigurationError
from pleo_connector.orchestration import PleoResource, WarehouseResource, get_asset_key_for_table
from pleo_connector.sandbox import API_KEY
from pleo_connector.warehouses import open_warehouse
from tests.orchestration.place import Place, environment, failure
from tests.orchestration.test_a_connection_in_yaml import empty_project

OURS = 'from pleo_connector import build_pleo_definitions\n\ndefs = build_pleo_definitions(streams=["vendors"], marts=False)\n'
OWN_RESOURCES = """
from pleo_connector import PleoResource, WarehouseResource, build_pleo_definitions

defs = build_pleo_definitions(
    streams=["vendors"],
    marts=False,
    pleo=PleoResource(),
    warehouse=WarehouseResource(warehouse="duckdb:///spend.duckdb"),
)
"""
OWN_STEP = """
import dagster as dg

from pleo_connector import PleoResource, WarehouseResource, pleo_assets


@pleo_assets(streams=["vendors"], marts=False)
def pleo_tables(context: dg.AssetExecutionContext, sync):
    yield from sync.run()


defs = dg.Definitions(
    assets=[pleo_tables],
    resources={"pleo": PleoResource(), "pleo_warehouse": WarehouseResource()},
    jobs=[dg.define_asset_job("pleo_sync")],
    executor=dg.in_process_executor,
)
"""
SPAWNED = OURS.replace("marts=False", "marts=False, executor=dg.multiprocess_executor").replace(
    "from pleo", "import dagster as dg\nfrom pleo", 1
)


@pytest.fixture
def project(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project whose settings are in its `.env`; the working directory is another folder, and stays empty."""
    (tmp_path / "project" / "code").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    kept = {"PLEO_TOKEN_STORE": "tokens.sqlite", "PLEO_WAREHOUSE": "", "PLEO_MARTS": ""}
    lines = [f"{name}={value}" for name, value in (place.environment | kept).items()]
    (tmp_path / "project" / ".env").write_text("\n".join(lines))
    with environment({}):
        yield tmp_path / "project"
    assert list((tmp_path / "elsewhere").iterdir()) == []


def loaded(file: Path, text: str) -> dg.Definitions:
    """The definitions of a file, imported as Dagster does."""
    file.write_text(text)
    spec = importlib.util.spec_from_file_location("definitions_of_a_test", file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    found: dg.Definitions = module.defs
    return found


def run(definitions: dg.Definitions, **options: Any) -> dg.ExecuteInProcessResult:
    with dg.DagsterInstance.ephemeral() as instance:
        return definitions.resolve_job_def("pleo_sync").execute_in_process(instance=instance, raise_on_error=False, **options)


def vendors(file: Path) -> int:
    with open_warehouse(f"duckdb:///{file}", "pleo").transaction() as transaction:
        return int(str(transaction.scalar("SELECT count(*) FROM {schema}.vendors")))


@pytest.mark.parametrize("text", [OURS, OWN_RESOURCES, OWN_STEP], ids=["build", "resources", "step"])
def test_settings_and_files_are_those_of_the_definitions_project(project: Path, text: str) -> None:
    assert run(loaded(project / "code" / "definitions.py", text)).success
    assert vendors(project / "spend.duckdb") > 0


def test_options_are_those_of_the_definitions_project(project: Path) -> None:
    (project / "pleo.toml").write_text("[streams.vendors]\nhistoy = true\n")
    with pytest.raises(ConfigurationError, match=f"{project}/pleo.toml: .*did you mean 'history'"):
        loaded(project / "code" / "definitions.py", OURS)


def test_an_earlier_warehouse_in_the_working_directory_is_used(project: Path) -> None:
    (project / ".env").rename(project / "settings")
    before = Path.cwd() / "spend.duckdb"
    with environment({**_variables(project / "settings")}):
        with open_warehouse(f"duckdb:///{before}", "pleo").transaction():
            pass
        assert run(loaded(project / "code" / "definitions.py", OURS)).success
    assert vendors(before) > 0 and not (project / "code" / "spend.duckdb").exists()
    for file in Path.cwd().iterdir():
        file.unlink()


def test_without_a_connection_no_file_is_made_and_the_failure_says_where_it_looked(project: Path) -> None:
    settings = [line for line in (project / ".env").read_text().splitlines() if "API_KEY" not in line]
    (project / ".env").write_text("\n".join([*settings, "PLEO_HOST_MARKS=marks"]))
    result = run(loaded(project / "code" / "definitions.py", OURS))
    message = str(failure(result).user_failure_data.description)
    assert f"in the token store {project}/tokens.sqlite (settings are those of the environment or {project}/.env)" in message
    assert sorted(file.name for file in project.rglob("*") if "pycache" not in str(file)) == [".env", "code", "definitions.py"]


@pytest.mark.parametrize("what", ["views", "checks", "checks of other tables than are read"])
def test_views_and_checks_alone_make_no_file_either(project: Path, what: str) -> None:
    if what.endswith("read"):
        settings = [line for line in (project / ".env").read_text().splitlines() if "API_KEY" not in line]
        (project / ".env").write_text("\n".join([*settings, "PLEO_HOST_MARKS=marks"]))
    defs = loaded(project / "code" / "definitions.py", OURS.replace('streams=["vendors"], marts=False', ""))
    chosen = {
        "views": dg.AssetSelection.assets(get_asset_key_for_table("spend")),
        "checks": dg.AssetSelection.checks_for_assets(get_asset_key_for_table("vendors")),
    }.get(
        what,
        dg.AssetSelection.assets(get_asset_key_for_table("employees"))
        | dg.AssetSelection.checks_for_assets(get_asset_key_for_table("vendors")),
    )
    assets = [one for one in defs.assets or () if isinstance(one, dg.AssetsDefinition)]
    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(assets, selection=chosen, instance=instance, resources=defs.resources, raise_on_error=False)
    message = str(failure(result).user_failure_data.description)
    assert f"{project}/.env" in message and ("Nothing is connected" in message or f"no warehouse at {project}/spend.duckdb" in message)
    assert sorted(file.name for file in project.rglob("*") if "pycache" not in str(file)) == [".env", "code", "definitions.py"]


@pytest.mark.filterwarnings("ignore:`parse_obj_as` is deprecated", "ignore::dagster.BetaWarning", "ignore::dagster.PreviewWarning")
def test_a_components_settings_are_those_of_its_project(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    defs = empty_project(project) / "shop" / "defs"
    (defs / "my_pleo").mkdir()
    attributes = "{streams: [vendors], marts: false, warehouse: 'duckdb:///acme.duckdb'}"
    (defs / "my_pleo" / "defs.yaml").write_text(f"type: pleo_connector.PleoComponent\nattributes: {attributes}\n")
    monkeypatch.syspath_prepend(str(project))
    try:
        assert run(dg.ComponentTree.for_project(project).build_defs()).success
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "shop"]:
            del sys.modules[name]
    assert vendors(project / "acme.duckdb") > 0


def test_a_folder_that_is_named_wins(project: Path, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / ".env").write_text("PLEO_SCHEMA=others\n")
    assert WarehouseResource(folder=str(tmp_path / "other")).settings().schema_name == "others"
    assert PleoResource().settings().folder == Path(__file__).parent, "this file is what makes it, and there are no settings above"
    assert API_KEY not in repr(PleoResource(folder=str(project)))


@pytest.mark.slow
@pytest.mark.timeout(240)
@pytest.mark.parametrize("way", ["file", "module", "dg"])
def test_processes_of_dagster_find_them_too(project: Path, tmp_path: Path, way: str) -> None:
    """The job is run by a process of its own, and each step by another that is spawned."""
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    defs = empty_project(project) / "shop"
    (defs / "definitions.py").write_text(SPAWNED)
    called = {
        "file": ["dagster", "job", "execute", "-f", str(defs / "definitions.py"), "-j", "pleo_sync"],
        "module": ["dagster", "job", "execute", "-m", "shop.definitions", "-j", "pleo_sync"],
        "dg": ["dg", "launch", "--assets", 'key:"pleo/vendors"'],
    }[way]
    variables = os.environ | {"DAGSTER_HOME": str(tmp_path / "home"), "PYTHONPATH": str(project)}
    place = defs / "defs" if way == "dg" else Path.cwd()
    program = [str(Path(sys.executable).with_name(called[0])), *called[1:]]
    done = subprocess.run(program, cwd=place, env=variables, capture_output=True, text=True, timeout=220, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert vendors(project / "spend.duckdb") > 0


def _variables(file: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in file.read_text().splitlines())
