"""`pleo-connector demo`: from nothing to tables through Dagster, twice, all in `.demo/`, and nothing left running."""

from __future__ import annotations

import json
import re
import runpy
import signal
import subprocess
import sys
from decimal import Decimal
from pathlib import Path

import duckdb
import pytest

from pleo_connector.catalogue import CATALOGUE
from pleo_connector.cli.demo_place import place
from pleo_connector.settings import load
from pleo_connector.settings_folder import settings_folder
from tests.cli.local import command, start

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.usefixtures("the_only_demo")


def pleo_environment(home: Path) -> dict[str, str]:
    """A home of its own, so that litter in it would be seen; and a stranger's settings, which the demo must not use."""
    return {"HOME": str(home), "XDG_STATE_HOME": str(home / "state"), "PLEO_API_KEY": "a-key-of-production", "PLEO_SCHEMA": "other"}


@pytest.mark.slow
def test_the_demo_twice(tmp_path: Path) -> None:
    home, work = tmp_path / "home", tmp_path / "work"
    home.mkdir()
    work.mkdir()
    (work / ".env").write_text("PLEO_API_KEY=another-key\nPLEO_ENVIRONMENT=production\n")

    first = command("demo", pleo=pleo_environment(home), cwd=work, timeout=100)
    assert first.code == 0, first.err
    assert sorted(path.name for path in work.iterdir()) == [".demo", ".env"]
    assert [path for path in home.rglob("*") if path.is_file()] == []
    assert "Traceback" not in first.err
    assert "Warning" not in first.err
    rows = {name: int(count.replace(",", "")) for name, count in re.findall(r"^(\w+) +([\d,]+)$", first.out, re.MULTILINE)}
    assert set(rows) == {table.name for table in CATALOGUE.tables()}
    assert rows["accounting_entries"] > 1500
    assert "Nothing changed" not in first.out
    asked = re.search(r"(\d+) requests to the sandbox, \d+ refresh", first.out)
    assert asked is not None
    with duckdb.connect(str(work / ".demo" / "warehouse.duckdb"), read_only=True) as connection:
        total = connection.execute("SELECT sum(total_bill_value) FROM pleo.accounting_entries WHERE _deleted_at IS NULL").fetchone()
        assert total is not None
        assert isinstance(total[0], Decimal)
        for name, count in rows.items():
            assert connection.execute(f"SELECT count(*) FROM pleo.{name} WHERE _deleted_at IS NULL").fetchone() == (count,)
    block = runpy.run_path(str(ROOT / "scripts" / "figures"))["demo_section"](first.out, first.err)
    timed = re.compile(r"\d+ requests to the sandbox.*")
    section = (ROOT / "README.md").read_text(encoding="utf-8").partition("<!-- demo -->")[2].partition("<!-- /demo -->")[0].strip()
    assert timed.sub("", section) == timed.sub("", block), "run scripts/figures"
    query = next(line.strip() for line in first.out.splitlines() if " -c " in line)
    shown = subprocess.run(query, shell=True, capture_output=True, text=True, check=True)
    assert "CARD_PURCHASE" in shown.stdout

    second = command("demo", "--json", pleo=pleo_environment(home), cwd=work, timeout=100)
    assert second.code == 0, second.err
    document = json.loads(second.out)
    assert document["written"] == 0
    assert document["tables"] == rows
    assert document["requests"] < 0.6 * int(asked[1])  # incremental: of 15 months, only those that are due
    assert all(re.fullmatch(r"-?\d+\.\d{4}", row["spend"]) for row in document["spend"])


@pytest.mark.slow
def test_a_run_that_fails_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / ".demo").mkdir()
    (tmp_path / ".demo" / "warehouse.duckdb").write_bytes(b"no database" * 1000)
    ended = command("demo", "--json", pleo={}, cwd=tmp_path, timeout=100)
    assert ended.code == 1
    assert "not a DuckDB database" in json.loads(ended.out)["error"]
    assert ended.err.count("Error: ") == 1
    assert "Traceback" not in ended.err


def test_a_folder_that_cannot_hold_the_demo(tmp_path: Path) -> None:
    (tmp_path / ".demo").write_text("a file")
    ended = command("demo", pleo={}, cwd=tmp_path)
    assert ended.code == 2
    assert ".demo" in ended.err
    assert "Traceback" not in ended.err


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals are a matter of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_demo_can_be_stopped(tmp_path: Path, number: signal.Signals) -> None:
    process = start("demo", "--rows", "60000", pleo={}, cwd=tmp_path)
    assert process.stderr is not None
    told = ""
    while "companies:" not in told:
        line = process.stderr.readline()
        assert line, told
        told += line
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1, told + err
    # DuckDB may add that objects of it were still in use, where the stop met a load.
    said = [line for line in err.splitlines() if not line.startswith(("nanobind: ", " - ", "See https://nanobind"))]
    assert said[-1] == "Error: Stopped. Run it again and it goes on where it stopped."
    assert "Traceback" not in err
    assert out == ""


def test_a_persons_own_settings_above_the_demos_folder_are_not_the_demos(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("PLEO_API_KEY=a-key-of-production\n")
    here = place(tmp_path)
    here.prepare()
    settings = load(here.environment("http://127.0.0.1:9", "http://127.0.0.1:9/callback"), folder=settings_folder(here.root))
    assert settings.folder == here.root and not settings.uses_api_key
