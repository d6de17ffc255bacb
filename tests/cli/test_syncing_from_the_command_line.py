"""`pleo-connector sync`: the table, the sentence under it, JSON, and what each option reads."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from pleo_connector.catalogue import CATALOGUE
from pleo_connector.cli.inputs import moment
from pleo_connector.errors import ConfigurationError
from tests.cli.local import Local, contents, local


@pytest.fixture
def pleo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Local]:
    with local(tmp_path, capsys) as made:
        made.connect()
        yield made


OPEN_ITEMS = 28
"""Entries of the sample's export jobs that still run: Pleo serves export items of no others."""


@pytest.mark.slow
def test_all_streams_then_nothing_then_one_change(pleo: Local) -> None:
    first = pleo.run("sync")
    assert first.code == 0, first.err
    table = {line.split()[0]: line.split()[1:] for line in first.out.splitlines() if line}
    assert table["stream"] == ["served", "inserted", "updated", "unchanged", "deleted", "quarantined", "requests", "seconds"]
    for stream in CATALOGUE:
        served = len(pleo.sandbox.state.records(stream.name)) if stream.name != "export_items" else OPEN_ITEMS
        assert table[stream.name][0] == f"{served:,}"
        assert f"{stream.name}: {served:,} row" in first.err
    assert "rows written (new, changed or gone) to" in first.out
    assert "Nothing changed" not in first.out

    before = contents(pleo.warehouse)
    second = pleo.run("sync", "--mode", "full")
    assert second.code == 0
    assert "Nothing changed: all " in second.out
    assert contents(pleo.warehouse) == before

    vendor = pleo.sandbox.state.records("vendors")[0]
    pleo.sandbox.state.put("vendors", vendor | {"name": "Renamed [bold]ApS[/bold] ☕"})
    third = pleo.run("sync", "vendors")
    assert third.out.splitlines()[1].split()[:5] == ["vendors", "21", "0", "1", "20"]
    assert third.out.splitlines()[3].startswith("21 records read, 1 rows written (new, changed or gone)")
    with duckdb.connect(str(pleo.warehouse), read_only=True) as connection:
        found = connection.execute("SELECT name FROM pleo.vendors WHERE id = ?", [vendor["id"]]).fetchone()
    assert found == ("Renamed [bold]ApS[/bold] ☕",)


def test_json_is_all_there_is_on_stdout(pleo: Local) -> None:
    ended = pleo.run("sync", "--json", "companies", "vendors")
    document = json.loads(ended.out)
    assert [stream["stream"] for stream in document["streams"]] == ["companies", "vendors"]
    assert document["written"] == 26
    assert document["streams"][1]["inserted"] == 21
    assert "error" not in document
    assert "vendors: 21 rows" in ended.err


def test_json_of_a_failed_sync_has_the_report_and_the_error(pleo: Local) -> None:
    pleo.environ["PLEO_SCOPES"] = "companies:read"
    pleo.connect()
    ended = pleo.run("sync", "--json", "companies", "vendors")
    assert ended.code == 1
    document = json.loads(ended.out)
    assert document["exit_code"] == 1
    assert "vendors" in document["error"]
    assert document["streams"][0]["inserted"] == 5
    assert "403" in document["streams"][1]["error"]


def test_from_and_to_read_just_that(pleo: Local) -> None:
    ended = pleo.run("sync", "accounting_entries", "--from", "2026-03-01", "--to", "2026-04-01T00:00:00Z", "--json")
    assert ended.code == 0, ended.err
    with duckdb.connect(str(pleo.warehouse), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.execute(
            "SELECT count(*), min(performed_at) >= '2026-03-01', max(performed_at) < '2026-04-01' FROM pleo.accounting_entries"
        ).fetchone()
    expected = sum("2026-03" <= entry["performedAt"] < "2026-04" for entry in pleo.sandbox.state.records("accounting_entries"))
    assert expected > 0
    assert found == (expected, True, True)


def test_one_company_by_key_or_name(pleo: Local) -> None:
    first, second, *_ = pleo.sandbox.state.records("companies")
    for asked in (first["id"], first["name"]):
        assert pleo.run("sync", "vendors", "--company", asked).code == 0
    with duckdb.connect(str(pleo.warehouse), read_only=True) as connection:
        found = connection.execute("SELECT DISTINCT company_id::VARCHAR FROM pleo.vendors").fetchall()
    assert found == [(first["id"],)]
    assert second["id"] != first["id"]


def test_too_many_gone_rows_are_not_marked_deleted_unless_asked(pleo: Local) -> None:
    assert pleo.run("sync", "employees").code == 0
    before = contents(pleo.warehouse)
    company = max(
        (record["id"] for record in pleo.sandbox.state.records("companies")),
        key=lambda key: len(pleo.sandbox.state.records("employees", key)),
    )
    gone = pleo.sandbox.state.records("employees", company)
    for record in gone:
        pleo.sandbox.state.remove("employees", record["id"])
    ended = pleo.run("sync", "employees")
    if len(gone) > 10:
        assert ended.code == 1
        assert "--allow-mass-delete" in ended.err
        assert contents(pleo.warehouse) == before
    assert pleo.run("sync", "employees", "--allow-mass-delete").code == 0
    with duckdb.connect(str(pleo.warehouse), read_only=True) as connection:
        found = connection.execute("SELECT count(*) FROM pleo.employees WHERE _deleted_source = 'sweep_absent'").fetchone()
    assert found == (len(gone),)


def test_what_pleo_serves_and_nobody_declared_is_told(pleo: Local) -> None:
    vendor = pleo.sandbox.state.records("vendors")[0]
    pleo.sandbox.state.put("vendors", vendor | {"moodOfTheDay": "cheerful"})
    ended = pleo.run("sync", "vendors")
    assert ended.code == 0
    told = f"moodOfTheDay (1 time, such as in {vendor['id']})."
    assert f"Warning: vendors: fields that Pleo serves and the catalogue does not declare (kept in _extra): {told}" in ended.err
    assert "cheerful" not in ended.err


def test_a_missing_scope_is_asked_for_under_the_label_of_the_connection(pleo: Local) -> None:
    pleo.environ |= {"PLEO_CONNECTION": "acme", "PLEO_SCOPES": "companies:read"}
    pleo.connect()
    ended = pleo.run("sync", "vendors")
    assert ended.code == 1
    assert "run `pleo-connector connect --connection acme`" in " ".join((ended.out + ended.err).split())


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+02:00", "9999-12-31T23:30:00-01:00", "10000-01-01", "2026-02-30"])
def test_a_day_outside_the_calendar_is_refused_by_the_name_of_its_option(text: str) -> None:
    with pytest.raises(ConfigurationError, match=re.escape(f"--from '{text}' is not a date; write YYYY-MM-DD")):
        moment("--from", text)


def test_the_report_names_the_span_that_was_read(pleo: Local) -> None:
    ended = pleo.run("sync", "accounting_entries", "--from", "2026-10-12", "--to", "2026-11-15")
    assert ended.code == 0
    assert "accounting_entries: months read: 2026-10-12 to 2026-11-14." in ended.out
    document = json.loads(pleo.run("sync", "accounting_entries", "vendors", "--to", "2026-01-01", "--json").out)
    spans = {stream["stream"]: stream["spans"] for stream in document["streams"]}
    assert spans == {"accounting_entries": [{"from": None, "to": "2026-01-01T00:00:00+00:00"}], "vendors": []}
