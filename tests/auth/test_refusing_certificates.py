"""A server whose TLS certificate does not pass gets no request at all; the sandbox behind it counts."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path

import pytest

from pleo_connector import auth
from pleo_connector.auth.stores import Intent, Record, State, open_store
from pleo_connector.errors import CertificateRefused
from pleo_connector.sandbox import API_KEY
from tests.auth.harness import Pleo, in_thread, saw, visit
from tests.certificates import Authority, self_signed
from tests.cli.local import Local
from tests.tls_proxy import TLSProxy

DAY = timedelta(days=1)
FAULTS = {
    "self-signed": "is signed by nobody in SSL_CERT_FILE=",
    "of an unknown authority": "is signed by nobody in SSL_CERT_FILE=",
    "for another name": "is for another name",
    "expired": "has expired",
    "not yet valid": "is not valid yet",
}
COMMANDS = (["refresh"], ["status", "--online"], ["sync", "companies"], ["disconnect", "--uninstall", "--yes"])
"""One for each: token endpoint, introspection, API, and the end of a connection."""


@dataclass(frozen=True)
class Guarded:
    """A sandbox behind TLS, connected; the connector trusts the authority through SSL_CERT_FILE."""

    pleo: Pleo
    proxy: TLSProxy
    authority: Authority
    command_line: Local

    @property
    def host(self) -> str:
        return self.proxy.url.removeprefix("https://")

    def show(self, fault: str = "") -> None:
        """Show a certificate with that fault, or a good one."""
        shown = {
            "": lambda: self.authority.sign("127.0.0.1"),
            "self-signed": lambda: self_signed("127.0.0.1"),
            "of an unknown authority": lambda: Authority("Another one").sign("127.0.0.1"),
            "for another name": lambda: self.authority.sign("pleo.example"),
            "expired": lambda: self.authority.sign("127.0.0.1", valid_from=-2 * DAY, valid_for=DAY),
            "not yet valid": lambda: self.authority.sign("127.0.0.1", valid_from=DAY),
        }
        self.proxy.show(shown[fault]())

    def connect(self) -> None:
        def browser(authorize_url: str) -> None:
            visit(authorize_url.replace(self.proxy.url, self.pleo.url))  # a browser has trust of its own

        auth.login(self.pleo.settings, show=lambda _: None, open_browser=in_thread(browser), timeout=10)

    def refused(self, *argv: str, **environ: str) -> str:
        """The one sentence that a command ends with, when nothing has reached the sandbox."""
        ended = self.command_line.run(*argv, **environ)
        assert ended.code == 2, ended.err
        assert ended.err.count("\n") == 1 and len(ended.errors) == 1, ended.err
        assert self.host in ended.err and "nothing was sent" in ended.err
        assert self.pleo.counted("requests") == 0
        saw(refused=1)
        return ended.err


@pytest.fixture
def guarded(unconnected: Pleo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Guarded]:
    authority = Authority()
    bundle = tmp_path / "company-ca.pem"
    bundle.write_bytes(authority.certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    with TLSProxy(tmp_path, int(unconnected.url.rpartition(":")[2])) as proxy:
        environ = unconnected.environ | {
            "PLEO_API_URL": proxy.url,
            "PLEO_AUTH_URL": proxy.url,
            "PLEO_WAREHOUSE": f"duckdb:///{tmp_path}/spend.duckdb",
            "PLEO_REQUESTS_PER_MINUTE": "100000",
            "PLEO_MARTS": "false",
        }
        made = Guarded(replace(unconnected, environ=environ), proxy, authority, Local(unconnected.sandbox, environ, capsys))
        made.show()
        made.connect()
        unconnected.sandbox.state.reset_counters()
        yield made


def stored(record: Record) -> tuple[object, ...]:
    return record.generation, record.blob, record.state, record.reason, record.intent


@pytest.mark.parametrize("fault", FAULTS)
def test_nothing_is_sent_and_nothing_is_lost(guarded: Guarded, fault: str) -> None:
    before = guarded.pleo.record()
    guarded.show(fault)
    for argv in COMMANDS:
        assert FAULTS[fault] in guarded.refused(*argv), argv
    assert stored(guarded.pleo.record()) == stored(before) and before.state is State.ACTIVE
    guarded.show()
    assert guarded.command_line.run("refresh").code == 0
    assert guarded.pleo.record().generation == before.generation + 1
    assert guarded.pleo.counted("refreshes") == 1 and guarded.pleo.counted("reuse") == 0


def test_with_the_authority_in_the_bundle_everything_works(guarded: Guarded) -> None:
    for argv in (*COMMANDS[:-1], ["doctor"], COMMANDS[-1]):
        assert guarded.command_line.run(*argv).code == 0, argv
    assert guarded.pleo.counted("refreshes") == 1 and guarded.pleo.counted("reuse") == 0


def test_an_api_key_is_not_sent_either(guarded: Guarded) -> None:
    guarded.show("for another name")
    guarded.refused("sync", "companies", PLEO_API_KEY=API_KEY)


def test_a_login_stores_nothing_and_its_code_stays_here(guarded: Guarded) -> None:
    before = guarded.pleo.record()
    guarded.show("self-signed")
    with pytest.raises(CertificateRefused, match="nothing was sent"):
        guarded.connect()
    assert stored(guarded.pleo.record()) == stored(before)
    assert guarded.pleo.counted("token_requests") == 0


def test_the_doctor_says_it_of_both_hosts(guarded: Guarded) -> None:
    guarded.show("expired")
    doctor = guarded.command_line.run("doctor", "--json")
    found = {check["check"]: check for check in json.loads(doctor.out)["checks"]}
    assert doctor.code == 1
    for host in ("API", "authorisation server"):
        assert found[host]["verdict"] == "fail" and FAULTS["expired"] in found[host]["found"]
    assert guarded.pleo.counted("requests") == 0


def test_no_variable_turns_the_check_off(guarded: Guarded, monkeypatch: pytest.MonkeyPatch) -> None:
    guarded.show("self-signed")
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)
    for name, value in {"PYTHONHTTPSVERIFY": "0", "SSL_CERT_FILE": "", "REQUESTS_CA_BUNDLE": "", "CURL_CA_BUNDLE": ""}.items():
        monkeypatch.setenv(name, value)
    for argv in COMMANDS:
        told = guarded.refused(*argv)
        assert "is signed by nobody in the public list (self-signed certificate)" in told
        assert "let SSL_CERT_FILE name a PEM file" in told


@pytest.mark.parametrize("content", [None, b"no certificate"])
def test_a_bundle_that_cannot_be_read_is_told_before_anything_is_sent(
    guarded: Guarded, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, content: bytes | None
) -> None:
    bundle = tmp_path / "not-there.pem"
    if content is not None:
        bundle.write_bytes(content)
    before = guarded.pleo.record()
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    for argv in COMMANDS:
        assert f"The CA certificates of SSL_CERT_FILE={bundle} cannot be read" in guarded.refused(*argv), argv
    assert guarded.command_line.run("doctor").code == 1
    assert stored(guarded.pleo.record()) == stored(before)


def test_a_token_that_still_lives_is_used_and_a_dead_one_is_not(guarded: Guarded) -> None:
    guarded.show("expired")
    token = guarded.pleo.manager().tokens().access
    due, over = (guarded.pleo.manager(clock=lambda seconds=seconds: time.time() + seconds) for seconds in (899.0, 901.0))
    assert due.access_token() == token
    with pytest.raises(CertificateRefused):
        over.access_token()
    assert guarded.pleo.counted("requests") == 0


def test_an_open_refresh_stays_open_until_somebody_can_be_asked(guarded: Guarded) -> None:
    """A process died in a refresh; the certificate expired before anybody could ask what became of it."""
    store, connection = open_store(guarded.pleo.environ["PLEO_TOKEN_STORE"]).store, guarded.pleo.settings.connection
    intent = Intent("the-dead-one", socket.gethostname(), os.getpid(), time.time() - 60, time.time() - 35)
    assert store.begin(connection, guarded.pleo.record().generation, intent)
    guarded.show("expired")
    guarded.refused("refresh")
    assert guarded.pleo.record().state is State.REFRESHING and guarded.pleo.record().intent == intent
    guarded.show()
    assert guarded.command_line.run("refresh").code == 0
    assert guarded.pleo.record().state is State.ACTIVE
    assert guarded.pleo.counted("refreshes") == 1 and guarded.pleo.counted("reuse") == 0
