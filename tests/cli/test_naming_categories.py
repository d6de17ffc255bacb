"""`pleo-connector categories` and the file that PLEO_CATEGORIES names."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.cli.local import Local, local

CHARTLESS = "UPDATE pleo.accounting_entries SET account_code = NULL; DELETE FROM pleo.accounting_entry_splits; DELETE FROM pleo.accounts"
"""As if no category stood in the chart of accounts, and no entry had a number of one."""


@pytest.fixture
def pleo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Local]:
    with local(tmp_path, capsys) as made:
        made.connect()
        yield made


def _ask(pleo: Local, sql: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(pleo.warehouse)) as connection:
        return connection.execute(sql).fetchall()


def test_a_template_lists_the_nameless_and_filled_in_it_names_them(pleo: Local, tmp_path: Path) -> None:
    assert pleo.run("sync", "companies", "accounting_entries", "--from", "2026-10-01").code == 0
    _ask(pleo, CHARTLESS)
    used = [str(key) for (key,) in _ask(pleo, "SELECT DISTINCT account_id FROM pleo.spend WHERE account_id IS NOT NULL")]
    file = tmp_path / "categories.csv"
    ended = pleo.run("categories", "--write", str(file), PLEO_CATEGORIES=str(file))  # the setting may come before the file
    assert ended.code == 0
    assert f"{len(used)} categories in use, {len(used)} without a name." in ended.out
    with file.open(encoding="utf-8-sig", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert {row["id"] for row in rows} == set(used)
    assert all(row["companies"] and int(row["entries"]) > 0 for row in rows)

    named = rows[0]["id"]
    file.write_text(f"id;code;name\n{named};7100;Café\n", encoding="utf-8")
    assert pleo.run("sync", "companies", PLEO_CATEGORIES=str(file)).code == 0
    assert _ask(pleo, f"SELECT DISTINCT account_code, account_name FROM pleo.spend WHERE account_id = '{named}'") == [("7100", "Café")]
    into = tmp_path / "again.duckdb"
    assert pleo.run("replay", "companies", "--into", f"duckdb:///{into}", PLEO_CATEGORIES=str(file)).code == 0
    with duckdb.connect(str(into)) as connection:
        assert connection.execute("SELECT code, name FROM pleo._categories").fetchall() == [("7100", "Café")]
    document = json.loads(pleo.run("categories", "--json").out)
    (mine,) = (row for row in document["categories"] if row["id"] == named)
    assert (mine["name"], mine["named_by"], mine["nameless"]) == ("Café", "file", False)
    _ask(pleo, "UPDATE pleo.accounting_entries SET account_id = NULL")
    assert "2.csv holds no category to be named." in " ".join(pleo.run("categories", "--write", str(tmp_path / "2.csv")).out.split())
    again = pleo.run("categories", "--write", str(file), PLEO_CATEGORIES=str(file))
    assert (again.code, again.errors) == (2, [f"Error: {file} exists already and is not overwritten: name a new file."])


@pytest.mark.parametrize("verb", [("sync", "companies"), ("marts",), ("categories",), ("replay", "companies")])
def test_a_wrong_file_ends_a_command_before_anything_is_read(pleo: Local, tmp_path: Path, verb: tuple[str, ...]) -> None:
    file = tmp_path / "categories.csv"
    file.write_text("id,name\n")
    before = pleo.sandbox.counters()["requests"]
    ended = pleo.run(*verb, PLEO_CATEGORIES=str(file))
    assert (ended.code, ended.out) == (2, "")
    assert ended.errors == [
        f"Error: The file {file} that PLEO_CATEGORIES names cannot be used: its first line has no column code; it must name id, code, name."
    ]
    assert pleo.sandbox.counters()["requests"] == before
    assert not pleo.warehouse.exists()
    found = json.loads(pleo.run("doctor", "--json", PLEO_CATEGORIES=str(file)).out)["checks"]
    assert [check["verdict"] for check in found if check["check"] == "categories"] == ["fail"]


def test_without_views_the_file_is_not_looked_at(pleo: Local) -> None:
    assert pleo.run("sync", "companies", PLEO_MARTS="off", PLEO_CATEGORIES="no such file.csv").code == 0


def test_a_family_that_is_not_known_is_said_by_every_sync(pleo: Local) -> None:
    assert pleo.run("sync", "companies").code == 0
    _ask(pleo, "INSERT INTO pleo.accounting_entries (id, family, status) VALUES (uuid(), 'CHARITY_DONATION', 'COMPLETED')")
    for _ in range(2):
        ended = pleo.run("sync", "companies")
        assert ended.code == 0
        assert "families that this version does not know, and count as spend: CHARITY_DONATION. See docs/spend.md." in ended.err
