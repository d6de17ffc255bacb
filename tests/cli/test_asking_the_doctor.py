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

from pleo_connector.catalogue import CATALOGUE
from pleo_connector.cli.demo_place import free_port
from pleo_connector.cli.doctor_online import check_hosts
from pleo_connector.cli.findings import Verdict
from pleo_connector.sandbox import API_KEY
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
    assert "The rows are loaded, but the snapshot" in ended.err
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


def test_a_stream_that_is_refused_although_its_scope_is_granted_fails_in_pleos_words(pleo: Local) -> None:
    pleo.sandbox.state.set_refused("tag-group")
    found = checks(pleo, 1)
    assert {name for name, check in found.items() if check["verdict"] == "fail"} == {"access to tag_groups", "access to tags"}
    assert found["scope for tag_groups"]["verdict"] == "ok"
    for name in ("tag_groups", "tags"):
        told = found[f"access to {name}"]["found"]
        assert "ACCESS_DENIED: Required permission 'READ' on resource 'tag-group'" in told and "PLEO_SCOPES" in told
    child = found["access to tag_group_dimensions"]
    assert (child["verdict"], child["found"]) == ("warn", "not checked: it is read for each of tag_groups, which Pleo refuses")
    assert found["access to vendors"] == {"check": "access to vendors", "verdict": "ok", "found": "Pleo answers", "advice": ""}


def test_only_the_streams_that_are_named_are_asked_for_with_few_requests(pleo: Local) -> None:
    pleo.sandbox.state.set_refused("vendor")
    pleo.sandbox.state.reset_counters()
    ended = pleo.run("doctor", "--json", "tag_group_dimensions", "employees")
    found = [check["check"] for check in json.loads(ended.out)["checks"]]
    assert ended.code == 0
    assert [name for name in found if name.startswith("access to")] == ["access to tag_group_dimensions", "access to employees"]
    asked = pleo.sandbox.state.counters()["by_path"]
    dimensions = [count for path, count in asked.items() if path.endswith("/dimensions")]
    assert (asked["/v1/companies"], asked["/v0/tag-groups"], asked["/v2/employees"], dimensions) == (1, 1, 1, [1])
    assert pleo.run("doctor", "vendors").code == 1
    pleo.sandbox.state.set_refused("tag-group")
    assert pleo.run("doctor", "tag_group_dimensions").code == 1
    wrong = pleo.run("doctor", "vendor")
    assert wrong.code == 2 and "vendors" in wrong.err


def test_every_stream_costs_a_handful_of_requests(pleo: Local) -> None:
    pleo.sandbox.state.reset_counters()
    checks(pleo, 0)
    assert pleo.sandbox.state.counters()["requests"] <= 2 * len(CATALOGUE)


def test_items_are_asked_for_while_a_job_is_open_and_without_one_nothing_is_wrong(pleo: Local) -> None:
    state = pleo.sandbox.state
    state.set_refused("export-item")
    assert "Required permission 'READ' on resource 'export-item'" in checks(pleo, 1)["access to export_items"]["found"]
    for job in state.records("export_jobs"):
        state.move_export_job(job["id"], "completed")
    child = checks(pleo, 0)["access to export_items"]
    assert (child["verdict"], child["found"]) == ("ok", "not checked: there are no open export jobs to read it for")


def test_a_refused_search_is_told_from_refused_entries(pleo: Local) -> None:
    pleo.sandbox.state.set_refused("accounting-entry:search")
    found = checks(pleo, 1)["access to accounting_entries"]["found"]
    assert "'SEARCH' on resource 'accounting-entry'" in found and "Only the search is refused: single entries" in found
    pleo.sandbox.state.set_refused("accounting-entry")
    found = checks(pleo, 1)["access to accounting_entries"]["found"]
    assert "'READ' on resource 'accounting-entry'" in found and "Only the search" not in found


def test_a_key_is_told_to_be_made_anew(pleo: Local) -> None:
    key = {"PLEO_API_KEY": API_KEY}
    pleo.sandbox.state.set_refused("company", "vendor")
    found = checks(pleo, 1, **key)
    assert "make a key in Pleo with that permission" in found["access to companies"]["found"]
    assert found["access to vendors"]["found"] == "not checked: Pleo refuses the list of companies"
    assert "PLEO_SCOPES" not in found["access to companies"]["found"]
    alone = pleo.run("doctor", "--json", "tax_codes", **key)
    assert alone.code == 1 and "Pleo refuses companies (403" in alone.out, "the stream needs the list"
    pleo.sandbox.state.set_refused("vendor")
    assert "(the scope vendors:read)" in checks(pleo, 1, **key)["access to vendors"]["found"]
    ended = checks(pleo, 1, PLEO_API_KEY="a-key-that-is-over")
    assert "expired or revoked" in ended["credential"]["found"]
    assert "access to vendors" not in ended


def test_an_access_token_that_has_ended_is_refreshed_to_ask(pleo: Local) -> None:
    pleo.sandbox.state.expire_access_tokens()
    found = checks(pleo, 0)
    assert found["access to employees"]["found"] == "Pleo answers"
    assert pleo.sandbox.state.counters()["refreshes"] == 1
