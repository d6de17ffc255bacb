"""Which folder `.env`, `pleo.toml` and relative paths belong to, and what becomes of files in the working directory."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from pleo_connector import settings_folder
from pleo_connector.cli.ending import run
from pleo_connector.errors import ConfigurationError
from pleo_connector.file_options import ReceiptFiles
from pleo_connector.settings import load
from pleo_connector.settings_folder import settings_folder as folder_of
from pleo_connector.stream_options import StreamOptions, placed_files


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with settings; the working directory is another folder, `elsewhere`."""
    (tmp_path / "project" / "code").mkdir(parents=True)
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "project" / ".env").write_text("PLEO_SCHEMA=books\nPLEO_TOKEN_STORE=tokens.sqlite\n")
    monkeypatch.chdir(tmp_path / "elsewhere")
    settings_folder._noted.cache_clear()
    return tmp_path / "project"


def elsewhere() -> Path:
    return Path.cwd()


def test_the_nearest_folder_above_with_settings_is_it(project: Path) -> None:
    assert folder_of(project / "code") == project
    (project / "code" / "pleo.toml").touch()
    assert folder_of(project / "code") == project / "code"
    (project / "code" / "pleo.toml").unlink()
    (project / "code" / ".env").write_text("OTHERS=1\n")
    assert folder_of(project / "code") == project, "a file that names no PLEO_ variable is somebody else's"
    (project / "code" / ".env").write_text("  export PLEO_SCHEMA=x\n")
    assert folder_of(project / "code") == project / "code"


def test_without_any_settings_above_it_is_the_folder_itself_or_the_working_directory_that_has_some(project: Path) -> None:
    (project / ".env").unlink()
    assert folder_of(project / "code") == project / "code"
    (elsewhere() / ".env").write_text("PLEO_SCHEMA=x\n")
    assert folder_of(project / "code") == elsewhere(), "as in earlier versions"


def test_no_data_are_put_beside_installed_code(project: Path) -> None:
    (project / ".env").unlink()
    assert folder_of(project / "site-packages" / "shop") == elsewhere()


def test_relative_paths_belong_to_the_folder(project: Path) -> None:
    given = {
        "PLEO_RAW": "./raw",
        "PLEO_SNAPSHOT": "copy.duckdb",
        "PLEO_HOST_MARKS": "marks",
        "PLEO_CONFIG": "options.toml",
        "PLEO_CATEGORIES": "names/categories.csv",
    }
    settings = load(given, folder=project)
    assert settings.schema_name == "books" and settings.folder == project
    assert settings.warehouse == f"duckdb:///{project}/spend.duckdb"
    assert settings.token_store == str(project / "tokens.sqlite")
    assert (settings.raw, settings.snapshot, settings.host_marks, settings.config, settings.categories) == tuple(
        str(project / name) for name in ("raw", "copy.duckdb", "marks", "options.toml", "names/categories.csv")
    )


@pytest.mark.parametrize(
    "value",
    [
        "duckdb:////data/spend.duckdb",
        "duckdb:///~/spend.duckdb",
        "postgresql://host/db",
        "iceberg://catalogue",
        "iceberg:////lake",
        "md:spend",
    ],
)
def test_other_warehouses_stay_as_they_are(project: Path, value: str) -> None:
    assert load({"PLEO_WAREHOUSE": value}, folder=project).warehouse == value


@pytest.mark.parametrize(
    ("variable", "value", "placed"),
    [
        ("PLEO_WAREHOUSE", "iceberg:///lake", "iceberg:///{}/lake"),
        ("PLEO_WAREHOUSE", "duckdb:///{{connection}}.duckdb", "duckdb:///{}/{{connection}}.duckdb"),
        ("PLEO_TOKEN_STORE", "sqlite:///tokens.sqlite", "sqlite:///{}/tokens.sqlite"),
        ("PLEO_TOKEN_STORE", "postgresql://host/db", "postgresql://host/db"),
        ("PLEO_RAW", "off", "off"),
        ("PLEO_SNAPSHOT", "on", "on"),
    ],
)
def test_each_form_of_a_path_is_placed_and_nothing_else(project: Path, variable: str, value: str, placed: str) -> None:
    settings = load({variable: value.format()}, folder=project)
    assert getattr(settings, variable.removeprefix("PLEO_").lower()) == placed.format(project)


@pytest.mark.parametrize(
    ("variable", "value", "name"),
    [
        ("PLEO_WAREHOUSE", "", "spend.duckdb"),
        ("PLEO_WAREHOUSE", "iceberg:///lake", "lake"),
        ("PLEO_WAREHOUSE", "duckdb:///all/{connection}.duckdb", "all/acme.duckdb"),
        ("PLEO_TOKEN_STORE", "kept.sqlite", "kept.sqlite"),
    ],
)
def test_what_an_earlier_version_kept_in_the_working_directory_is_used_or_refused_by_name(
    project: Path, caplog: pytest.LogCaptureFixture, variable: str, value: str, name: str
) -> None:
    field = variable.removeprefix("PLEO_").lower()
    (elsewhere() / name).parent.mkdir(exist_ok=True)
    (elsewhere() / name).touch()
    with caplog.at_level(logging.WARNING):
        used = load({variable: value} if value else {}, folder=project)
    assert str(elsewhere()) in getattr(used, field)
    (told,) = {record.getMessage() for record in caplog.records}
    assert told.startswith(f"{variable} (") and str(elsewhere()) in told
    (project / name).parent.mkdir(exist_ok=True)
    (project / name).touch()
    with pytest.raises(ConfigurationError, match=f"{variable} is the relative path .* and there are two: {project}.* and {elsewhere()}"):
        load({variable: value} if value else {}, folder=project)


def test_another_warehouse_that_the_working_directorys_env_file_names_is_refused_by_name(project: Path) -> None:
    (elsewhere() / ".env").write_text("PLEO_WAREHOUSE=duckdb:///old.duckdb\n")
    assert load({}, folder=project).warehouse == f"duckdb:///{project}/spend.duckdb", "there is no such file"
    (elsewhere() / "old.duckdb").touch()
    with pytest.raises(ConfigurationError, match=f"{elsewhere()}/.env names {elsewhere()}/old.duckdb as PLEO_WAREHOUSE"):
        load({}, folder=project)
    assert load({"PLEO_WAREHOUSE": "duckdb:////data/w.duckdb"}, folder=project).warehouse == "duckdb:////data/w.duckdb", "the way out"


def test_options_that_only_the_working_directory_has_are_still_followed(project: Path) -> None:
    (elsewhere() / "pleo.toml").touch()
    assert load({}, folder=project).config == str(elsewhere() / "pleo.toml")
    (project / "pleo.toml").touch()
    assert load({}, folder=project).config == str(project / "pleo.toml")


def test_a_folder_of_receipts_belongs_to_the_folder(project: Path) -> None:
    options = {"receipts": StreamOptions(files=ReceiptFiles(Path("files"))), "vendors": StreamOptions()}
    placed = placed_files(options, project)
    assert placed["receipts"].files is not None and placed["receipts"].files.folder == project / "files"
    assert placed["vendors"] == options["vendors"]


def test_a_command_takes_the_settings_of_the_nearest_folder_above(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / ".env").write_text("PLEO_ENVIRONMENT=production\n")
    monkeypatch.chdir(project / "code")
    assert load().folder == project
    assert run(["sync"]) == 2
    said = capsys.readouterr().err
    assert f"Looked for in the environment or {project}/.env." in said
    assert f"Settings and relative paths are those of {project}." in said, "the folder may be of another project"
    assert [file.name for file in project.rglob("*")] == [".env", "code"], "no file is made before there is a credential"


def test_without_a_connection_no_file_is_made_and_the_message_says_where_it_looked(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / ".env").write_text("PLEO_TOKEN_STORE=tokens.sqlite\nPLEO_HOST_MARKS=marks\n")
    monkeypatch.chdir(project / "code")
    assert run(["sync"]) == 3
    said = capsys.readouterr().err
    assert f"Nothing is connected as sandbox/sandbox-client in the token store {project}/tokens.sqlite" in said
    assert f"settings are those of the environment or {project}/.env" in said and "pleo-connector connect" in said
    assert [file.name for file in project.rglob("*")] == [".env", "code"]


@pytest.mark.parametrize("address", ["duckdb:///data.duckdb", "iceberg:///lake"])
@pytest.mark.parametrize(
    "command", ["marts", "categories", "replay", "replay --into duckdb:///other.duckdb", "raw", "raw purge", "maintain", "plan"]
)
def test_a_command_that_needs_a_warehouse_makes_none(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: str, address: str
) -> None:
    (project / ".env").write_text(f"PLEO_WAREHOUSE={address}\n")
    monkeypatch.chdir(project)
    code = run(command.split())
    told = capsys.readouterr()
    assert sorted(file.name for file in project.rglob("*")) == [".env", "code"]
    assert code == (0 if command == "plan" else 2), "a plan is that of the first sync"
    assert (
        f"There is no warehouse at {project}/{address.rpartition('/')[2]} yet (settings are those of the environment or {project}/.env)"
        in told.err
    )
    assert command == "plan" or not told.out
