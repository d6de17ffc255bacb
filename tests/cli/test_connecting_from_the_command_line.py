"""`connect`, `status` and `disconnect`, as processes of their own, with a program as the user at the consent page."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from pleo_connector.sandbox import Fault, consent
from tests.cli.local import CLIENT_SECRET, Ended, Local, command, local, start


@pytest.fixture
def pleo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Local]:
    with local(tmp_path, capsys) as made:
        yield made


def connect(pleo: Local, cwd: Path, *, allow: bool = True, **environ: str) -> Ended:
    """`connect --no-browser`, the printed address opened, and the button pressed."""
    process = start("connect", "--no-browser", "--timeout", "30", pleo=pleo.environ | environ, cwd=cwd)
    assert process.stdout is not None
    printed = ""
    while (found := re.search(r"^http://\S+/oauth/authorize\?\S+$", printed, re.MULTILINE)) is None:
        line = process.stdout.readline()
        assert line, printed
        printed += line
    with httpx.Client(trust_env=False) as browser:
        browser.get(consent(found.group(), allow=allow))
    out, err = process.communicate(timeout=30)
    return Ended(process.returncode, printed + out, err)


def test_connect_status_disconnect(pleo: Local, tmp_path: Path) -> None:
    before = command("status", "--json", pleo=pleo.environ, cwd=tmp_path)
    assert before.code == 3
    assert json.loads(before.out)["state"] == "not connected"
    assert "pleo-connector connect" in json.loads(before.out)["error"]

    made = connect(pleo, tmp_path)
    assert made.code == 0, made.err
    assert "Connected as sandbox/sandbox-client, for urn:pleo:organisation:" in made.out
    assert "accounting-entries:read" in made.out
    assert made.out.rstrip().endswith("Next: pleo-connector sync")
    assert pleo.sandbox.counters()["logins"] == 1

    told = pleo.run("status", "--online", "--json")
    assert told.code == 0
    document = json.loads(told.out)
    assert (document["state"], document["online_active"], document["generation"]) == ("active", True, 1)
    assert "sandbox/sandbox-client" in pleo.run("status").out

    assert pleo.run("disconnect").code == 2  # no terminal to ask in
    assert pleo.run("status").code == 0
    gone = pleo.run("disconnect", "--yes")
    assert gone.code == 0
    assert "forgotten" in gone.out
    assert pleo.run("status").code == 3
    assert pleo.run("sync", "companies").code == 3


def test_status_online_sees_a_revoked_grant(pleo: Local) -> None:
    pleo.connect()
    pleo.sandbox.state.revoke_grants()
    assert pleo.run("status").code == 0  # nobody asked Pleo
    told = pleo.run("status", "--online")
    assert told.code == 3
    assert "pleo-connector connect" in told.err


def test_a_user_who_says_no(pleo: Local, tmp_path: Path) -> None:
    ended = connect(pleo, tmp_path, allow=False)
    assert ended.code == 1
    assert len(ended.errors) == 1
    assert "Traceback" not in ended.err
    assert pleo.run("status").code == 3


def test_a_wrong_secret_is_found_at_the_exchange(pleo: Local, tmp_path: Path) -> None:
    ended = connect(pleo, tmp_path, PLEO_CLIENT_SECRET="not-the-secret-at-all")
    assert ended.code == 2
    assert "PLEO_CLIENT_SECRET" in ended.err
    assert "not-the-secret-at-all" not in ended.out + ended.err
    assert CLIENT_SECRET not in ended.out + ended.err
    assert pleo.run("status").code == 3


def test_nobody_comes_to_consent(pleo: Local) -> None:
    ended = pleo.run("connect", "--no-browser", "--timeout", "1")
    assert ended.code == 1
    assert len(ended.errors) == 1


def test_paste_needs_a_terminal(pleo: Local, tmp_path: Path) -> None:
    ended = command("connect", "--paste", pleo=pleo.environ, cwd=tmp_path)
    assert ended.code == 2
    assert "--paste" in ended.err


def test_an_api_key_needs_no_connection(pleo: Local) -> None:
    key = {"PLEO_API_KEY": "sandbox-api-key"}
    assert pleo.run("connect", **key).code == 2
    told = pleo.run("status", "--json", **key)
    assert told.code == 0
    assert json.loads(told.out)["state"] == "api key"
    assert pleo.run("sync", "companies", **key).code == 0
    assert "sandbox-api-key" not in told.out + told.err
    assert not Path(pleo.environ["PLEO_TOKEN_STORE"]).exists()


def test_a_wrong_api_key_is_found_out(pleo: Local) -> None:
    key = {"PLEO_API_KEY": "key-of-nobody"}
    told = pleo.run("status", "--online", **key)
    assert told.code == 2 and "Pleo refused the API key" in told.errors[0] and "key-of-nobody" not in told.out + told.err
    doctor = pleo.run("doctor", "--json", **key)
    (credential,) = (check for check in json.loads(doctor.out)["checks"] if check["check"] == "credential")
    assert doctor.code == 1 and credential["verdict"] == "fail"
    right = json.loads(pleo.run("doctor", "--json", PLEO_API_KEY="sandbox-api-key").out)["checks"]
    assert {"credential", "scope for accounting_entries"} <= {check["check"] for check in right if check["verdict"] == "ok"}


def test_what_was_not_granted_is_told_stream_by_stream(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The sandbox's user withholds one scope; another is not even asked for."""
    with local(tmp_path, capsys, withheld_scopes=("accounting-entries:read",)) as pleo:
        asked = "companies:read users:read accounting-entries:read tag-group:read"
        ended = connect(pleo, tmp_path, PLEO_SCOPES=asked)
    assert ended.code == 0, ended.err
    assert "Can be read: companies, employees, tag_groups, tag_group_dimensions, tags, installation, subscriptions." in ended.out
    for stream in ("accounting_entries", "receipts"):
        assert f"{stream} cannot be read: accounting-entries:read was asked for and not granted." in ended.err
    assert "vendors cannot be read: vendors:read was not asked for." in ended.err


def test_an_api_that_does_not_tell_what_was_granted_costs_no_login(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """GET /v1/introspect fails after the tokens are stored: the login stands, on what the token answer said."""
    with local(tmp_path, capsys) as pleo:
        pleo.sandbox.state.set_faults(Fault("status", path="/v1/introspect", status=503))
        ended = connect(pleo, tmp_path, PLEO_SCOPES="companies:read users:read")
        assert ended.code == 0, ended.err
        assert "Can be read: companies, employees, installation, subscriptions." in ended.out
        assert pleo.run("status").code == 0
