"""`refresh`, `rotate-key`, `disconnect --uninstall`, several connections, and what `doctor` says of them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from pleo_connector.auth import status
from pleo_connector.cli.doctor_rotation import check_rotation
from pleo_connector.cli.findings import Verdict
from pleo_connector.settings import load
from tests.cli.local import Local, local


@pytest.fixture
def pleo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Local]:
    with local(tmp_path, capsys) as made:
        made.connect()
        yield made


def test_refresh_says_what_happened(pleo: Local) -> None:
    ended = pleo.run("refresh")
    assert ended.code == 0 and "generation 1 is now 2" in ended.out and ended.err == ""
    told = json.loads(pleo.run("refresh", "--json").out)
    assert (told["generation_before"], told["generation"], told["state"]) == (2, 3, "active")
    assert pleo.sandbox.counters()["refreshes"] == 2 and pleo.sandbox.counters()["reuse"] == 0


def test_refresh_of_a_grant_that_is_gone_ends_with_3(pleo: Local) -> None:
    pleo.sandbox.state.revoke_grants()
    ended = pleo.run("refresh")
    assert ended.code == 3 and "pleo-connector connect" in ended.errors[0]
    assert pleo.run("refresh", PLEO_API_KEY="key").code == 2


def test_rotate_key(pleo: Local) -> None:
    ended = pleo.run("rotate-key")
    assert ended.code == 0 and "1 connection sealed" in ended.out and "--forget-old" in ended.out
    told = json.loads(pleo.run("rotate-key", "--forget-old", "--json").out)
    assert told["keys_kept"] == 1 and told["left"] == []
    assert pleo.run("status").code == 0


def test_a_label_is_another_connection(pleo: Local) -> None:
    ended = pleo.run("status", "--connection", "acme")
    assert ended.code == 3 and "connect --connection acme" in ended.errors[0]
    doctor = json.loads(pleo.run("doctor", "--json", "--connection", "acme").out)
    (credential,) = [check for check in doctor["checks"] if check["check"] == "credential"]
    assert "sandbox/sandbox-client" in credential["advice"] and "PLEO_CONNECTION" in credential["advice"]


def test_uninstall(pleo: Local) -> None:
    ended = pleo.run("disconnect", "--uninstall", "--yes")
    assert ended.code == 0 and "uninstalled at Pleo" in ended.out
    assert pleo.sandbox.counters()["live_grants"] == 0


def test_the_doctor_tells_of_the_last_refresh(pleo: Local) -> None:
    told = status(load(pleo.environ, None))
    fresh = {finding.check: finding for finding in check_rotation(told)}
    assert fresh["last refresh"].verdict is Verdict.OK and "generation 1" in fresh["last refresh"].found
    assert fresh["refresh lock"].found == "free"
    idle = {finding.check: finding for finding in check_rotation(told, datetime.now(UTC) + timedelta(days=46))}
    assert idle["last refresh"].verdict is Verdict.WARN and "pleo-connector refresh" in idle["last refresh"].advice


def test_the_doctor_finds_hosts_of_another_pleo(pleo: Local) -> None:
    ended = pleo.run("doctor", "--json", PLEO_AUTH_URL="https://auth.staging.pleo.io", PLEO_API_URL="http://127.0.0.1:1")
    found = {check["check"]: check for check in json.loads(ended.out)["checks"]}
    assert found["environment"]["verdict"] == "fail" and "PLEO_ENVIRONMENT=staging" in found["environment"]["advice"]


def test_the_doctor_hides_the_password_of_a_token_store(pleo: Local) -> None:
    ended = pleo.run("doctor", PLEO_TOKEN_STORE="postgresql://user:hunter2-secret@127.0.0.1:1/db")
    assert ended.code == 1 and "postgresql://user:***@127.0.0.1:1/db" in ended.out and "hunter2" not in ended.out + ended.err
