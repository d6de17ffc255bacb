from __future__ import annotations

from pathlib import Path

import pytest

from pleo_connector.cli.doctor_portal import check_portal
from pleo_connector.cli.ending import run
from pleo_connector.cli.findings import Finding, Verdict
from pleo_connector.settings import load
from tests.portal.harness import PASSWORD, SECRET, environment


def asked(url: str = "https://connect.example.com/pleo", **change: str) -> list[Finding]:
    return list(check_portal(load({**environment("http://127.0.0.1:1", url, Path("unused")), **change}, None)))


def test_without_a_portal_nothing_is_said() -> None:
    assert asked("") == []


def test_a_portal_that_would_start() -> None:
    (found,) = asked(PLEO_PORTAL_PROXIES="127.0.0.1")
    assert found.verdict is Verdict.OK and "https://connect.example.com/pleo/callback must be registered at Pleo" in found.found


@pytest.mark.parametrize("missing", ["PLEO_PORTAL_SECRET", "PLEO_PORTAL_PASSWORD"])
def test_what_is_missing_is_named(missing: str) -> None:
    (found,) = asked(**{missing: ""})
    assert found.verdict is Verdict.FAIL and f"The portal needs {missing}:" in found.found


def test_what_works_and_is_not_wise() -> None:
    assert "PLEO_PORTAL_PROXIES" in asked()[0].found and asked()[0].verdict is Verdict.WARN
    (found,) = asked("http://localhost:8780", PLEO_ENVIRONMENT="production", PLEO_CLIENT_ID="x", PLEO_CLIENT_SECRET="y")
    assert found.verdict is Verdict.WARN and "https" in found.advice


def test_the_doctor_says_so_and_shows_no_secret(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    environ = environment("http://127.0.0.1:1", "https://connect.example.com/pleo", tmp_path)
    run(["doctor", "--json"], {**environ, "PLEO_PORTAL_PROXIES": "127.0.0.1", "PLEO_WAREHOUSE": f"duckdb:///{tmp_path}/spend.duckdb"})
    told = capsys.readouterr()
    assert '"portal"' in told.out and SECRET not in told.out + told.err and PASSWORD not in told.out + told.err
