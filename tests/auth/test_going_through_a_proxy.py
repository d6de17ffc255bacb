"""Pleo under a name that only a proxy can reach: all traffic goes through the one that PLEO_PROXY names, and no other."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pytest

from pleo_connector import auth, sync
from pleo_connector.api import Budget, FileClient, PageRequest, PleoClient, Refusal, Traffic
from pleo_connector.auth.endpoint import PrivateClient
from pleo_connector.auth.redaction import REDACTOR
from pleo_connector.errors import ConfigurationError, PleoUnavailable
from pleo_connector.sync.export_jobs import poll_companies
from tests.auth.harness import Pleo, in_thread, visit
from tests.auth.test_asking_the_token_endpoint import dripping
from tests.certificates import Authority
from tests.cli.local import Ended, Local
from tests.forward_proxy import ForwardProxy
from tests.tls_proxy import TLSProxy

PLEO = "https://pleo.test"
CONNECT = "CONNECT pleo.test:443 HTTP/1.1"
LOGIN = "me:hush-secret%2F"
COMMANDS = (["refresh"], ["status", "--online"], ["sync", "companies"], ["disconnect", "--uninstall", "--yes"])
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@dataclass(frozen=True)
class Walled:
    """A sandbox behind TLS as pleo.test, which no name server knows, and a proxy that wants a login."""

    pleo: Pleo
    proxy: ForwardProxy
    command_line: Local

    @property
    def address(self) -> str:
        return self.proxy.url.replace("://", f"://{LOGIN}@")

    def run(self, *argv: str, **environ: str) -> Ended:
        ended = self.command_line.run(*argv, **environ)
        assert "hush-secret" not in ended.out + ended.err
        return ended


@pytest.fixture
def walled(unconnected: Pleo, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Walled]:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    authority = Authority()
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    sandbox = unconnected.sandbox
    with TLSProxy(tmp_path, int(unconnected.url.rpartition(":")[2])) as server, ForwardProxy(server.port, "me:hush-secret/") as proxy:
        server.show(authority.sign("pleo.test"))
        environ = unconnected.environ | {
            "PLEO_API_URL": PLEO,
            "PLEO_AUTH_URL": PLEO,
            "PLEO_PROXY": proxy.url.replace("://", f"://{LOGIN}@"),
            "PLEO_WAREHOUSE": f"duckdb:///{tmp_path}/spend.duckdb",
            "PLEO_MARTS": "false",
        }
        made = Walled(replace(unconnected, environ=environ), proxy, Local(sandbox, environ, capsys))
        visit_there = in_thread(lambda url: visit(url.replace(PLEO, sandbox.url)))
        auth.login(made.pleo.settings, show=lambda _: None, open_browser=visit_there, timeout=10)
        sandbox.state.reset_counters()
        yield made


def test_all_traffic_goes_through_the_proxy_that_is_named(walled: Walled) -> None:
    assert set(walled.proxy.asked) == {CONNECT}, "the login"
    for argv in COMMANDS:
        walled.proxy.asked.clear()
        assert walled.run(*argv).code == 0, argv
        assert set(walled.proxy.asked) == {CONNECT}, argv
    assert walled.proxy.refused == 0 and walled.pleo.counted("refreshes") == 1


def test_the_environments_proxies_count_only_when_they_are_asked_for(walled: Walled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", walled.address)
    walled.proxy.asked.clear()
    for argv in COMMANDS[:-1]:
        assert walled.run(*argv, PLEO_PROXY="environment").code == 0, argv
    assert set(walled.proxy.asked) == {CONNECT}
    walled.proxy.asked.clear()
    without = walled.pleo.with_(PLEO_PROXY="")
    assert walled.pleo.manager(without).access_token(), "it still lives"
    with pytest.raises(httpx.ConnectError):
        PrivateClient(proxy=without.proxy).send("GET", PLEO, headers={}, auth=httpx.Auth())
    with pytest.raises(PleoUnavailable, match=r"could not be reached at https://pleo\.test for"):
        asyncio.run(fetch(without.api_url, without.proxy))
    monkeypatch.setenv("NO_PROXY", "pleo.test")
    with pytest.raises(httpx.ConnectError):
        PrivateClient(proxy="environment").send("GET", PLEO, headers={}, auth=httpx.Auth())
    assert walled.proxy.asked == []


def test_this_machine_is_reached_directly(connected: Pleo, monkeypatch: pytest.MonkeyPatch) -> None:
    """Over plain http a proxy would see the credentials."""
    with ForwardProxy(1) as proxy:
        monkeypatch.setenv("ALL_PROXY", proxy.url)
        for given in (proxy.url, "environment", ""):
            settings = connected.with_(PLEO_PROXY=given, PLEO_REQUESTS_PER_MINUTE="100000")
            connected.manager(settings).refresh()
            assert poll_companies(sync.connection_from_settings(settings), seconds=10)
        assert proxy.asked == []


def test_a_proxy_that_refuses_is_named_without_its_password(walled: Walled) -> None:
    wrong = walled.address.replace("me:", "you:")
    with pytest.raises(PleoUnavailable) as caught:
        asyncio.run(fetch(PLEO, wrong))
    place = walled.proxy.url.replace("://", "://***@")
    assert f"could not be reached at {PLEO} through the proxy {place} for companies (407" in str(caught.value)
    assert "check PLEO_PROXY" in str(caught.value)
    ended = walled.run("doctor", "--json", PLEO_PROXY=wrong)
    found = {check["check"]: check for check in json.loads(ended.out)["checks"]}
    assert "***@" in found["PLEO_PROXY"]["found"] and ended.code == 1
    for host in ("API", "authorisation server"):
        assert f"through the proxy {place} (407" in found[host]["found"] and "PLEO_PROXY" in found[host]["advice"]
    assert walled.run("refresh", PLEO_PROXY=walled.address).code == 0, "nothing was lost"
    assert "through the proxy" in walled.run("doctor", "--json").out
    assert REDACTOR.scrub("hush-secret/") == "***"


def test_a_proxy_of_the_environment_that_is_none_is_a_wrong_setting(walled: Walled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "socks5://me:hush-secret@127.0.0.1:1")
    ended = walled.run("refresh", PLEO_PROXY="environment")
    assert ended.code == 2 and "HTTPS_PROXY must be" in ended.err


def test_files_of_receipts_go_the_same_way(walled: Walled) -> None:
    async def ask() -> object:
        async with FileClient(plain_http=False, proxy=walled.address) as files:
            return await files.fetch(f"{PLEO}/nowhere", 1000)

    walled.proxy.asked.clear()
    assert asyncio.run(ask()) is Refusal.GONE
    assert walled.proxy.asked == [CONNECT]


def test_the_deadline_counts_behind_a_proxy_too(walled: Walled, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    authority = Authority()
    (tmp_path / "ca.pem").write_bytes(authority.certificate)
    with (
        dripping(b"HTTP/1.1 200 OK\r\nX-Slow: ") as url,
        TLSProxy(tmp_path, int(url.rpartition(":")[2])) as server,
        ForwardProxy(server.port) as proxy,
    ):
        server.show(authority.sign("pleo.test"))
        started = time.monotonic()
        with pytest.raises(httpx.TransportError):
            PrivateClient(deadline=1.0, proxy=proxy.url).send("GET", PLEO, headers={}, auth=httpx.Auth())
        assert proxy.asked == [CONNECT] and time.monotonic() - started < 4


@pytest.mark.parametrize(
    "value", ["proxy:3128", "socks5://proxy", "http://", "http://token@proxy", "http://a:b@proxy:99999", "http://p/x", "no"]
)
def test_a_proxy_is_an_address_or_the_environment(connected: Pleo, value: str) -> None:
    with pytest.raises(ConfigurationError, match="PLEO_PROXY: must"):
        connected.with_(PLEO_PROXY=value)


async def fetch(api_url: str, proxy: str) -> bytes:
    now = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now
        now += seconds

    def clock() -> float:
        return now

    async with PleoClient(api_url, httpx.Auth(), Budget(500, clock=clock, sleep=sleep), proxy=proxy, clock=clock, sleep=sleep) as client:
        return await client.fetch(PageRequest("GET", "/v1/companies", "companies"), bytes, Traffic())
