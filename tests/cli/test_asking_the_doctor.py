"""`pleo-connector doctor`: each fault is a line of its own, and nothing is changed by asking."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from cryptography.fernet import Fernet

from pleo_connector.cli.demo_place import free_port
from pleo_connector.cli.doctor_online import check_hosts
from pleo_connector.cli.findings import Verdict
from pleo_connector.settings import load
from tests.cli.local import CLIENT_SECRET, Local, local


@pytest.fixture
def pleo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Local]:
    with local(tmp_path, capsys) as made:
        made.connect()
        yield made


def checks(pleo: Local, code: int, **environ: str) -> dict[str, dict[str, Any]]:
    ended = pleo.run("doctor", "--json", **environ)
    assert ended.code == code, ended.out
    for secret in pleo.secrets:
        assert secret not in ended.out + ended.err
    return {check["check"]: check for check in json.loads(ended.out)["checks"]}


def test_all_is_well_and_nothing_was_made(pleo: Local) -> None:
    found = checks(pleo, 0)
    assert {check["verdict"] for check in found.values()} == {"ok"}
    assert found["PLEO_CLIENT_SECRET"]["found"] == "given, not shown"
    assert found["scope for accounting_entries"]["found"] == "accounting-entries:read"
    assert "0600" in found["token store"]["found"]
    assert not pleo.warehouse.exists()
    text = pleo.run("doctor")
    assert text.code == 0
    assert text.err == ""
    assert CLIENT_SECRET not in text.out


def test_after_a_sync_the_warehouse_opens(pleo: Local) -> None:
    assert pleo.run("sync", "companies").code == 0
    assert duckdb.__version__ in checks(pleo, 0)["warehouse"]["found"]


def test_a_snapshot_is_looked_at_where_one_is_wanted(pleo: Local, tmp_path: Path) -> None:
    target = str(tmp_path / "for_readers.duckdb")
    assert "does not exist yet" in checks(pleo, 0, PLEO_SNAPSHOT=target)["snapshot"]["found"]
    assert pleo.run("sync", "companies", PLEO_SNAPSHOT=target).code == 0
    assert "published" in checks(pleo, 0, PLEO_SNAPSHOT=target)["snapshot"]["found"]
    later = tmp_path / "no" / "x.duckdb"
    assert checks(pleo, 1, PLEO_SNAPSHOT=str(later))["snapshot"]["verdict"] == "fail"
    ended = pleo.run("sync", "companies", PLEO_SNAPSHOT=str(later))
    assert (ended.code, later.exists()) == (0, False)
    assert "What was loaded is kept, but the snapshot" in ended.err
    later.parent.mkdir()
    ended = pleo.run("sync", "companies", "--json", PLEO_SNAPSHOT=str(later))  # the next run tries again
    assert (json.loads(ended.out)["warnings"], later.exists()) == ([], True)


@pytest.mark.parametrize(
    ("url", "form"),
    [
        ("duckdb:/x.duckdb", "duckdb:///x.duckdb"),
        ("sqlite:///x.db", "duckdb:///x.db"),
        ("snowflake://u@host/db", "postgresql://user@host/database"),
        ("postgres://host", "postgresql://user@host/database"),
    ],
)
def test_a_wrong_url_is_told_the_right_form(pleo: Local, url: str, form: str) -> None:
    found = checks(pleo, 1, PLEO_WAREHOUSE=url)["warehouse"]
    assert found["verdict"] == "fail"
    assert form in found["found"]


def test_nobody_at_the_api(pleo: Local) -> None:
    found = checks(pleo, 1, PLEO_API_URL=f"http://127.0.0.1:{free_port(0)}")
    assert found["API"]["verdict"] == "fail"
    assert "PLEO_API_URL" in found["API"]["advice"]
    assert found["authorisation server"]["verdict"] == "ok"


def test_not_connected(pleo: Local) -> None:
    assert pleo.run("disconnect", "--yes").code == 0
    found = checks(pleo, 1)
    assert found["credential"]["verdict"] == "fail"
    assert "pleo-connector connect" in found["credential"]["advice"]


def test_a_wrong_key(pleo: Local) -> None:
    found = checks(pleo, 1, PLEO_TOKEN_KEYS=Fernet.generate_key().decode())
    assert "PLEO_TOKEN_KEYS" in found["credential"]["found"]


def test_a_warehouse_that_cannot_be(pleo: Local, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no folder")
    found = checks(pleo, 1, PLEO_WAREHOUSE=f"duckdb:///{tmp_path}/file/x.duckdb")
    assert found["warehouse"]["verdict"] == "fail"


def test_a_wrong_setting_is_a_failed_check(pleo: Local) -> None:
    found = checks(pleo, 1, PLEO_CLIENT_AUTH="telepathy")
    assert "PLEO_CLIENT_AUTH" in found["settings"]["found"]


def test_an_unknown_variable_is_worth_a_look(pleo: Local) -> None:
    found = checks(pleo, 0, PLEO_SCOPE="x")
    assert found["unknown variable"]["verdict"] == "warn"


@pytest.mark.parametrize(("ahead", "verdict"), [(0, Verdict.OK), (90, Verdict.WARN), (-4000, Verdict.FAIL)])
def test_a_clock_that_is_wrong(pleo: Local, ahead: int, verdict: Verdict) -> None:
    settings = load(pleo.environ, None)
    found = {finding.check: finding for finding in check_hosts(settings, now=lambda: datetime.now(UTC) + timedelta(seconds=ahead))}
    assert found["clock against the API"].verdict is verdict


def test_a_scope_that_nobody_asked_for_is_no_failure(pleo: Local) -> None:
    pleo.environ |= {"PLEO_CONNECTION": "acme", "PLEO_SCOPES": "companies:read"}
    pleo.connect()
    found = checks(pleo, 0)
    assert (found["scope for companies"]["verdict"], found["scope for vendors"]["verdict"]) == ("ok", "warn")
    assert found["scope for vendors"]["found"] == "vendors:read was not asked for"
    asked = checks(pleo, 1, PLEO_SCOPES="companies:read vendors:read")
    assert {name for name, check in asked.items() if check["verdict"] == "fail"} == {"scope for vendors"}
    assert "run `pleo-connector connect --connection acme`" in asked["scope for vendors"]["advice"]
