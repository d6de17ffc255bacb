"""PLEO_PROXY=environment: every form of HTTPS_PROXY, ALL_PROXY and NO_PROXY that curl and requests take works, or is named in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pleo_connector.api import FileClient
from pleo_connector.auth.redaction import REDACTOR
from pleo_connector.cli.ending import run
from pleo_connector.errors import ConfigurationError
from pleo_connector.proxies import is_proxied, passwords, route, through

PLEO = "https://external.pleo.io"
VARIABLES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*VARIABLES, *map(str.upper, VARIABLES)):
        monkeypatch.delenv(name, raising=False)


def chosen(url: str = PLEO) -> str | None:
    way = route("environment", url)
    assert way["trust_env"] is False
    return None if way["proxy"] is None else str(way["proxy"].url)


@pytest.mark.parametrize(
    ("given", "proxy"),
    [
        ({"HTTPS_PROXY": "http://proxy.test:3128"}, "http://proxy.test:3128"),
        ({"https_proxy": "http://small.test:3128", "HTTPS_PROXY": "http://large.test:3128"}, "http://small.test:3128"),
        ({"HTTPS_PROXY": "proxy.test:3128"}, "http://proxy.test:3128"),
        ({"HTTPS_PROXY": " 10.1.2.3:3128 "}, "http://10.1.2.3:3128"),
        ({"HTTPS_PROXY": "[fd00::1]:3128"}, "http://[fd00::1]:3128"),
        ({"HTTPS_PROXY": "http://proxy.test/"}, "http://proxy.test/"),
        ({"ALL_PROXY": "proxy.test:3128"}, "http://proxy.test:3128"),
        ({"ALL_PROXY": "socks5://socks.test:1080", "HTTPS_PROXY": "proxy.test:3128"}, "http://proxy.test:3128"),
        ({"all_proxy": "http://all.test:1", "HTTPS_PROXY": "https://proxy.test:2"}, "https://proxy.test:2"),
        ({"HTTP_PROXY": "http://proxy.test:3128"}, None),
        ({"HTTP_PROXY": "socks5://proxy.test:3128", "NO_PROXY": ","}, None),
        ({"HTTPS_PROXY": "", "ALL_PROXY": "  "}, None),
        ({"HTTPS_PROXY": "socks5://unused.test", "NO_PROXY": "*"}, None),
        ({}, None),
    ],
)
def test_the_proxy_is_the_one_that_curl_takes(given: dict[str, str], proxy: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    assert chosen() == proxy
    assert is_proxied("environment", PLEO) is (proxy is not None)
    assert bool(through("environment", PLEO)) is (proxy is not None)


ADDRESSES = {
    "name": "https://external.pleo.io",
    "v4": "https://10.1.2.3",
    "v6": "https://[fd00::17]:8443",
}


@pytest.mark.parametrize(
    ("no_proxy", "spared"),
    [
        ("localhost,fd00::/8", {"v6"}),
        ("10.0.0.0/8", {"v4"}),
        ("10.1.2.3/8 , ,fd00::17", {"v4", "v6"}),
        ("10/8", {"v4"}),
        ("169.254/16", set()),
        ("10.1.2.3", {"v4"}),
        ("10.1.2.3:443", {"v4"}),
        ("10.1.2.3:8443", set()),
        ("[fd00::17]", {"v6"}),
        ("[fd00::17]:8443", {"v6"}),
        ("[fd00::17]:443", set()),
        ("[fd00::]/8", {"v6"}),
        ("FD00:0:0::17", {"v6"}),
        ("fe80::1%eth0, ::1, [::1]", set()),
        ("::/0 0.0.0.0/0", {"v4", "v6"}),
        ("pleo.io", {"name"}),
        (".pleo.io", {"name"}),
        ("*.pleo.io", {"name"}),
        ("*pleo.io", {"name"}),
        ("External.PLEO.io.", {"name"}),
        ("external.pleo.io:443", {"name"}),
        ("pleo.io:443", {"name"}),
        ("external.pleo.io:8443", set()),
        ("leo.io,pleo.i,xexternal.pleo.io,io.", {"name"}),
        ("leo.io,pleo.i,xexternal.pleo.io", set()),
        ("https://external.pleo.io", {"name"}),
        ("http://external.pleo.io", set()),
        ("all://pleo.io,all://10.0.0.0/8", {"name", "v4"}),
        ("*", {"name", "v4", "v6"}),
        ("a.test,*", {"name", "v4", "v6"}),
        ("a.test\tpleo.io\n10.0.0.0/8", {"name", "v4"}),
        (",, ,", set()),
        ("10.1.2.*", set()),
    ],
)
@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_no_proxy_in_every_form(name: str, no_proxy: str, spared: set[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    monkeypatch.setenv(name, no_proxy)
    assert {kind for kind, url in ADDRESSES.items() if chosen(url) is None} == spared


@pytest.mark.parametrize("entry", ["fd00::/129", "10.0.0.0/33", "[::1", "::1]", "1:2:3", "pleo.io/path", "[pleo.io]", "10.0.0.0/8/8"])
def test_an_entry_that_is_nothing_is_named_with_its_variable(entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    monkeypatch.setenv("NO_PROXY", f"localhost,{entry}")
    with pytest.raises(ConfigurationError) as caught:
        chosen()
    assert f"NO_PROXY has '{entry}'" in str(caught.value) and caught.value.exit_code == 2


@pytest.mark.parametrize(
    "value",
    [
        "socks5://me:hush@proxy.test",
        "socks5h://proxy.test",
        "http://",
        "proxy.test:port",
        "ftp://proxy.test",
        "http://me@proxy.test",
        "http://a\x01b:1",
    ],
)
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "ALL_PROXY"])
def test_a_proxy_that_is_none_is_named_with_its_variable(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name.lower(), value)
    with pytest.raises(ConfigurationError, match=f"{name} must be a URL such as") as caught:
        chosen()
    assert "hush" not in str(caught.value)


def test_passwords_of_any_form_are_known_and_none_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "me:hush%2Fsecret@proxy.test:3128")
    monkeypatch.setenv("ALL_PROXY", "socks5://you:other-secret@[::bad")
    assert set(passwords("environment")) == {("me", "hush/secret"), ("you", "other-secret")}
    assert through("environment", PLEO) == " through the proxy of HTTPS_PROXY http://***@proxy.test:3128"


def test_a_proxy_that_httpx_refuses_is_named_too() -> None:
    with pytest.raises(ConfigurationError, match="PLEO_PROXY must be a URL"):
        route("http://a\x01b:3128", PLEO)


def test_the_systems_exceptions_count_where_the_standard_library_knows_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pleo_connector.proxies.getproxies", lambda: {"https": "http://proxy.test:3128"})
    monkeypatch.setattr("pleo_connector.proxies.proxy_bypass", lambda host: host == "external.pleo.io")
    assert chosen() is None
    assert chosen("https://auth.pleo.io") == "http://proxy.test:3128"


def test_files_are_fetched_directly_where_no_proxy_has_their_host(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.test:3128")
    monkeypatch.setenv("NO_PROXY", "files.test")
    client = FileClient(plain_http=False, proxy="environment")
    assert client._way("https://files.test/a") is not client._way("https://elsewhere.test/a")
    local = FileClient(plain_http=True, proxy="environment")
    assert local._way("http://127.0.0.1/a") is local._way("https://elsewhere.test/a")


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"NO_PROXY": "localhost,fd00::/8"}, ""),
        ({"NO_PROXY": "fd00::/129"}, "NO_PROXY has 'fd00::/129'"),
        ({"HTTPS_PROXY": "socks4://x"}, "HTTPS_PROXY"),
    ],
)
def test_the_doctor_lives_and_says_so(
    environment: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in ({"HTTPS_PROXY": "http://me:hush-hush@127.0.0.1:9"} | environment).items():
        monkeypatch.setenv(name, value)
    settings = {
        "PLEO_PROXY": "environment",
        "PLEO_API_URL": "https://pleo.invalid",
        "PLEO_AUTH_URL": "https://pleo.invalid",
        "PLEO_API_KEY": "a-key",
        "PLEO_WAREHOUSE": f"duckdb:///{tmp_path}/w.duckdb",
        "PLEO_TOKEN_STORE": f"{tmp_path}/tokens.sqlite",
    }
    code = run(["doctor", "--json"], settings)
    shown = capsys.readouterr().out
    found = {check["check"]: check["found"] for check in json.loads(shown)["checks"]}
    assert code == 1 and "hush-hush" not in shown and REDACTOR.scrub("hush-hush") != "hush-hush"
    assert "bug" not in shown and "versions" in found and "warehouse" in found
    assert said in found["API"]
    if not said:
        assert "through the proxy of HTTPS_PROXY" in found["API"]
