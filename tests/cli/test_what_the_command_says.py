"""The command's manners: exit codes, what goes where, and how little `--help` costs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from pleo_connector.catalogue import CATALOGUE
from pleo_connector.cli.ending import run
from tests.cli.local import command, start


def test_help_lists_the_verbs_and_loads_nothing_heavy(tmp_path: Path) -> None:
    ended = command("--help", pleo={"PYTHONPROFILEIMPORTTIME": "1"}, cwd=tmp_path)
    assert ended.code == 0
    for verb in (
        "demo",
        "ui",
        "sandbox",
        "connect",
        "status",
        "refresh",
        "rotate-key",
        "disconnect",
        "doctor",
        "streams",
        "sync",
        "portal",
        "replay",
        "raw",
    ):
        assert f"\n  {verb} " in ended.out
    loaded = {line.rsplit("|", 1)[-1].strip() for line in ended.err.splitlines() if line.startswith("import time:")}
    assert "typer" in loaded
    assert not loaded & {"dagster", "pandas", "duckdb", "pyarrow", "httpx", "authlib", "cryptography", "starlette"}


def test_every_verb_has_help(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in (
        "demo",
        "ui",
        "sandbox",
        "connect",
        "status",
        "refresh",
        "rotate-key",
        "disconnect",
        "doctor",
        "streams",
        "sync",
        "portal",
        "replay",
        "raw",
    ):
        assert run([verb, "--help"]) == 0
        assert f"pleo-connector {verb}" in capsys.readouterr().out


def test_nothing_at_all_is_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert run([]) == 0
    assert "Usage: pleo-connector" in capsys.readouterr().out


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["--version"]) == 0
    assert capsys.readouterr().out.startswith("pleo-connector ")


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["snyc"], ("snyc",)),
        (["sync", "--colour"], ("--colour",)),
        (["sync", "accountz"], ("accountz", "accounts")),
        (["sync", "--mode", "sometimes"], ("--mode", "incremental")),
        (["sync", "--from", "2026-13-01"], ("--from", "YYYY-MM-DD")),
        (["sync", "--to", "yesterday"], ("--to", "YYYY-MM-DD")),
        (["sync", "--to", "20260101"], ("--to", "YYYY-MM-DD")),
        (["sync", "--from", "2026-02-01", "--to", "2026-01-01"], ("--from", "--to")),
        (["sync", "--from", "2026-02-01T00:00:00Z", "--to", "2026-02-01T01:00:00+01:00"], ("--from", "--to")),
        (["sandbox", "--fault", "flood"], ("flood",)),
        (["sandbox", "--port", "99999"], ("99999",)),
        (["ui", "--port", "0"], ("--port",)),
        (["demo", "--rows", "none"], ("--rows",)),
    ],
)
def test_a_wrong_line_is_exit_code_2_and_names_what_is_wrong(
    argv: list[str], words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(argv, {}) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.count("Error: ") == 1
    for word in words:
        assert word in told.err


def test_json_on_failure_is_still_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["sync", "--json", "accountz"], {}) == 2
    told = capsys.readouterr()
    document = json.loads(told.out)
    assert document["exit_code"] == 2
    assert "accountz" in document["error"]
    assert "accountz" in told.err


def test_streams_need_no_credentials_and_have_every_column(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["streams", "--json"], {}) == 0
    told = capsys.readouterr()
    document = json.loads(told.out)
    assert told.err == ""
    assert [stream["stream"] for stream in document["streams"]] == [stream.name for stream in CATALOGUE]
    tables = {table["table"]: table for stream in document["streams"] for table in stream["tables"]}
    assert set(tables) == {table.name for table in CATALOGUE.tables()}
    for table in CATALOGUE.tables():
        assert [column["column"] for column in tables[table.name]["columns"]] == list(table.column_names)
    assert run(["streams"], {}) == 0
    listing = capsys.readouterr().out
    for table in CATALOGUE.tables():
        assert table.name in listing


def test_the_list_of_personal_columns_shows_the_rules_as_they_work(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = tmp_path / "pleo.toml"
    options.write_text('[streams.employees.columns]\nemail = "hash"\n[streams.accounting_entries.columns]\n"employee.phone" = "drop"\n')
    assert run(["streams", "--personal", "--json"], {"PLEO_CONFIG": str(options)}) == 0
    rules = {(one["stream"], one["column"]): one["rule"] for one in json.loads(capsys.readouterr().out)["columns"]}
    assert rules[("employees", "email")] == rules[("accounting_entries", "employee_email")] == "hash"
    assert rules[("accounting_entries", "$.employee.phone")] == "drop"
    assert rules[("accounting_entries", "employee_first_name")] == "keep"


def test_an_unknown_setting_is_told_once_with_the_nearest_name(tmp_path: Path) -> None:
    store = str(tmp_path / "tokens.sqlite")
    ended = command("status", "--json", pleo={"PLEO_TOKEN_STORE": store, "PLEO_WAREHOUS": "x", "PLEO_DEBUG": "0"}, cwd=tmp_path)
    assert ended.code == 3
    assert ended.err.count("PLEO_WAREHOUS ") == 1
    assert "did you mean PLEO_WAREHOUSE?" in ended.err
    assert "PLEO_DEBUG" not in ended.err
    assert json.loads(ended.out)["state"] == "not connected"


def test_a_dotenv_file_is_read(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PLEO_API_URL=http://external.pleo.io\n")
    ended = command("status", pleo={}, cwd=tmp_path)
    assert ended.code == 2
    assert "PLEO_API_URL" in ended.err


class Broken(Mapping[str, str]):
    """An environment that breaks what reads it."""

    def __init__(self, **values: str) -> None:
        self._values = values

    def __getitem__(self, name: str) -> str:
        return self._values[name]

    def __iter__(self) -> Iterator[str]:
        raise LookupError("nobody thought of this")

    def __len__(self) -> int:
        return len(self._values)


def test_a_bug_is_one_sentence_and_debug_shows_where(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["status"], Broken()) == 1
    told = capsys.readouterr()
    assert told.err.count("\n") == 1
    assert "bug in pleo-connector (LookupError: nobody thought of this)" in told.err
    assert "PLEO_DEBUG=1" in told.err
    assert run(["status"], Broken(PLEO_DEBUG="1")) == 1
    assert "Traceback" in capsys.readouterr().err
    assert run(["status", "--debug"], Broken()) == 1
    assert "in __iter__" in capsys.readouterr().err


def test_a_pipe_that_closes_early_is_no_traceback(tmp_path: Path) -> None:
    for options in (["--json"], []):
        process = start("streams", *options, pleo={}, cwd=tmp_path)
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        with process.stderr:
            assert process.stderr.read() == ""
        assert process.wait(30) == 1


def test_python_dash_m_is_the_same_command(tmp_path: Path) -> None:
    assert command("streams", pleo={}, cwd=tmp_path).out.startswith("stream ")


@pytest.mark.parametrize(
    ("typed", "expected"),
    [("pleo-connector st", {"status", "streams"}), ("pleo-connector sync tag_", {"tag_groups", "tag_group_dimensions"})],
)
def test_a_shell_completes_commands_and_streams(typed: str, expected: set[str], tmp_path: Path) -> None:
    """Completion is asked for as the script of `--show-completion bash` asks for it."""
    asked = {"_PLEO_CONNECTOR_COMPLETE": "complete_bash", "COMP_WORDS": typed, "COMP_CWORD": str(typed.count(" "))}
    ended = command(pleo=asked, cwd=tmp_path)
    assert (ended.code, set(ended.out.split()), ended.err) == (0, expected, "")


def test_the_script_for_a_shell_is_shown(tmp_path: Path) -> None:
    ended = command(
        "--show-completion", "bash", pleo={"SHELL": "/bin/bash", "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}, cwd=tmp_path
    )
    assert ended.code == 0 and "_PLEO_CONNECTOR_COMPLETE=complete_bash" in ended.out
