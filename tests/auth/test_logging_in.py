from __future__ import annotations

import contextlib
import http.client
import logging
import socket
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlencode, urlsplit

import httpx
import pytest

from pleo_connector import auth
from pleo_connector.auth.loopback import LoopbackListener
from pleo_connector.auth.redirect import AuthorizationRequest
from pleo_connector.errors import ClientRejected, ConfigurationError, LoginFailed
from pleo_connector.sandbox import Fault, SandboxConfig, consent, running
from pleo_connector.settings import Settings
from tests.auth.harness import Pleo, free_port, in_thread


def get(url: str, **headers: str) -> httpx.Response:
    return httpx.get(url, headers=headers, trust_env=False)


def log_in(settings: Settings, browser: Callable[[str], object], timeout: float = 5.0) -> auth.LoginResult:
    return auth.login(settings, show=lambda _: None, open_browser=in_thread(browser), timeout=timeout)


def test_the_whole_flow_ends_with_tokens_that_work(unconnected: Pleo, tmp_path: Path) -> None:
    shown: list[str] = []
    pages: list[httpx.Response] = []
    result = auth.login(
        unconnected.settings, show=shown.append, open_browser=in_thread(lambda url: pages.append(get(consent(url)))), timeout=5
    )
    query = parse_qs(urlsplit(shown[0]).query)
    assert query["code_challenge_method"] == ["S256"] and len(query["state"][0]) == 43 and len(query["code_challenge"][0]) == 43
    assert query["redirect_uri"] == [unconnected.settings.redirect_uri]
    assert result.generation == 1 and result.missing_scopes == () and "companies:read" in result.scopes
    assert result.subject is not None and result.subject.startswith("urn:pleo:")
    (page,) = pages
    assert page.status_code == 200 and "close this window" in page.text
    assert page.headers["cache-control"] == "no-store" and page.headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    with unconnected.client() as client:
        assert client.get("/v1/introspect").status_code == 200


def test_two_logins_one_after_another_find_the_port_free(unconnected: Pleo) -> None:
    assert unconnected.connect().generation == 1
    assert unconnected.connect().generation == 2


def test_a_public_client_needs_no_secret(unconnected: Pleo) -> None:
    public = unconnected.with_(PLEO_CLIENT_ID="sandbox-public", PLEO_CLIENT_SECRET="", PLEO_CLIENT_AUTH="none")
    unconnected.connect(public)
    unconnected.manager(public).refresh()


def test_refused_consent_stores_nothing(unconnected: Pleo, tmp_path: Path) -> None:
    with pytest.raises(LoginFailed, match="access_denied"):
        log_in(unconnected.settings, lambda url: get(consent(url, allow=False)))
    assert auth.status(unconnected.settings).state == "not connected"


def test_an_unregistered_scope_is_named_as_a_setting(unconnected: Pleo) -> None:
    with pytest.raises(LoginFailed, match=r"invalid_scope.*PLEO_SCOPES"):
        log_in(unconnected.with_(PLEO_SCOPES="companies:read coffee:read"), lambda url: get(consent(url)))


def test_a_wrong_secret_shows_at_the_exchange(unconnected: Pleo) -> None:
    with pytest.raises(ClientRejected, match="PLEO_CLIENT_SECRET"):
        log_in(unconnected.with_(PLEO_CLIENT_SECRET="wrong-one"), lambda url: get(consent(url)))


def test_a_lost_exchange_is_not_repeated(unconnected: Pleo) -> None:
    unconnected.sandbox.state.reset_counters()
    unconnected.sandbox.state.set_faults(Fault("truncated", path="/oauth/token", times=1))
    with pytest.raises(LoginFailed, match="start the login again"):
        log_in(unconnected.settings, lambda url: get(consent(url)))
    assert unconnected.counted("token_requests") == 1
    assert auth.status(unconnected.settings).state == "not connected"


def test_nobody_answers(unconnected: Pleo) -> None:
    with pytest.raises(LoginFailed, match=r"within 0\.2 s"):
        log_in(unconnected.settings, lambda _: None, timeout=0.2)


def test_a_taken_port_is_one_clear_sentence(unconnected: Pleo) -> None:
    port = urlsplit(unconnected.settings.redirect_uri).port or 0
    with socket.create_server(("127.0.0.1", port)), pytest.raises(ConfigurationError, match=f"Port {port} of PLEO_REDIRECT_URI"):
        log_in(unconnected.settings, lambda _: None)


def test_a_settings_mistake_is_found_before_the_browser_opens(unconnected: Pleo) -> None:
    opened: list[str] = []
    with pytest.raises(ConfigurationError, match="PLEO_CLIENT_SECRET"):
        auth.login(unconnected.with_(PLEO_ENVIRONMENT="staging", PLEO_CLIENT_ID="x"), show=opened.append)
    with pytest.raises(ConfigurationError, match="Fernet key"):
        auth.login(unconnected.with_(PLEO_TOKEN_KEYS="not a key"), show=opened.append)
    with pytest.raises(ConfigurationError, match="PLEO_API_KEY"):
        auth.login(unconnected.with_(PLEO_API_KEY="key"), show=opened.append)
    assert opened == []


# --- the listener ----------------------------------------------------------------------------


def test_only_the_awaited_redirect_counts(unconnected: Pleo) -> None:
    statuses: list[int] = []

    def browser(url: str) -> None:
        right = consent(url)
        base = unconnected.settings.redirect_uri
        origin = base.removesuffix("/callback")
        state = parse_qs(urlsplit(right).query)["state"][0]
        wrong = [
            (f"{origin}/favicon.ico", {}),
            (f"{origin}/callback/?{urlsplit(right).query}", {}),
            (f"{base}?code=stolen&state=wrong", {}),
            (f"{base}?code=stolen", {}),
            (f"{base}?code=stolen&state={state}&state={state}", {}),
            (right, {"Host": "evil.example"}),
            (right, {"Host": f"localhost:{urlsplit(base).port}"}),
        ]
        statuses.extend(get(address, **headers).status_code for address, headers in wrong)
        statuses.append(httpx.post(right, trust_env=False).status_code)
        statuses.append(get(right).status_code)

    assert log_in(unconnected.settings, browser).generation == 1
    assert statuses[:-1] == [404] * 8 and statuses[-1] == 200


@pytest.fixture
def listening() -> tuple[LoopbackListener, str]:
    uri = f"http://127.0.0.1:{free_port()}/callback"
    return LoopbackListener(uri, lambda query: "state=right" in query), uri


def test_the_first_answer_wins(listening: tuple[LoopbackListener, str]) -> None:
    listener, uri = listening
    with listener:
        assert get(f"{uri}?code=first&state=right").status_code == 200
        assert get(f"{uri}?code=second&state=right").status_code == 404
        assert listener.wait(1) == "code=first&state=right"


def test_slow_large_and_broken_visitors_do_not_disturb(
    listening: tuple[LoopbackListener, str], capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    listener, uri = listening
    port = urlsplit(uri).port or 0
    caplog.set_level(logging.DEBUG)
    with listener:
        slow = [socket.create_connection(("127.0.0.1", port)) for _ in range(10)]
        for visitor in slow:
            visitor.sendall(b"GET /callback?code=secret HTTP/1.1\r\n")
        with socket.create_connection(("127.0.0.1", port)) as large:
            large.settimeout(5)
            large.sendall(b"GET /" + b"x" * 20_000)
            with contextlib.suppress(ConnectionResetError):
                assert large.recv(10) == b""
        with socket.create_connection(("127.0.0.1", port)) as broken:
            broken.sendall(b"\x16\x03\x01 not http\r\n\r\n")
        with socket.create_connection(("127.0.0.1", port)) as gone:
            gone.sendall(b"GET")
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        connection.request("GET", "/callback?code=the-code&state=right")
        assert connection.getresponse().status == 200
        connection.close()
        assert listener.wait(1) == "code=the-code&state=right"
        for visitor in slow:
            visitor.close()
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
    assert "the-code" not in caplog.text


def test_it_listens_on_loopback_alone(listening: tuple[LoopbackListener, str]) -> None:
    listener, _ = listening
    with listener:
        assert {server.server_address[0] for server in listener._servers} == {"127.0.0.1"}


def test_localhost_means_both_families() -> None:
    uri = f"http://localhost:{free_port()}/callback"
    with LoopbackListener(uri, lambda _: True) as listener:
        hosts = {str(server.server_address[0]) for server in listener._servers}
        assert "127.0.0.1" in hosts and hosts <= {"127.0.0.1", "::1"}
        for host in hosts:
            with socket.create_connection((host, urlsplit(uri).port or 0), timeout=5):
                pass


# --- what comes back -------------------------------------------------------------------------


def request() -> AuthorizationRequest:
    return AuthorizationRequest("https://auth.example", "client", "https://app.example/callback", "a:read")


def answer(asked: AuthorizationRequest, **values: str) -> str:
    return urlencode({"state": asked.state.reveal(), **values})


def test_an_error_is_read_before_a_code() -> None:
    asked = request()
    with pytest.raises(LoginFailed, match="access_denied"):
        asked.code_from(answer(asked, code="x", error="access_denied"))


def test_the_issuer_is_compared_when_present() -> None:
    asked = request()
    assert asked.code_from(answer(asked, code="x", iss="https://auth.example")).reveal() == "x"
    assert asked.code_from(answer(asked, code="x", iss="https://auth.example/")).reveal() == "x", "the same but for a slash"
    for other in ("https://auth.example//", "https://auth.example/x", "https://AUTH.example", ""):
        with pytest.raises(LoginFailed, match="another authorisation server"):
            asked.code_from(answer(asked, code="x", iss=other))


def test_a_server_may_call_itself_otherwise_than_its_address() -> None:
    asked = AuthorizationRequest("https://auth.example", "client", "https://app.example/callback", "a:read", issuer="https://id.example/")
    assert asked.url.startswith("https://auth.example/oauth/authorize?")
    assert asked.code_from(answer(asked, code="x", iss="https://id.example")).reveal() == "x"
    with pytest.raises(LoginFailed, match="PLEO_ISSUER"):
        asked.code_from(answer(asked, code="x", iss="https://auth.example"))


def test_the_issuer_of_the_settings_is_the_one_that_counts(unconnected: Pleo) -> None:
    def claim(url: str) -> None:
        state, target = (parse_qs(urlsplit(url).query)[name][0] for name in ("state", "redirect_uri"))
        httpx.get(target, params={"state": state, "code": "x", "iss": unconnected.url}, trust_env=False)

    with pytest.raises(LoginFailed, match=r"another authorisation server than https://id\.example"):
        log_in(unconnected.with_(PLEO_ISSUER="https://id.example"), claim)
    assert unconnected.counted("token_requests") == 0


@pytest.mark.parametrize("name", ["state", "iss", "error", "code"])
def test_a_parameter_given_twice_is_refused(name: str) -> None:
    asked = request()
    values = {"state": asked.state.reveal(), "code": "x"} | ({"iss": asked.issuer} if name == "iss" else {})
    twice = urlencode([*values.items(), *[(name, values.get(name, "access_denied"))] * (1 if name in values else 2)])
    with pytest.raises(LoginFailed, match=f"holds {name} more than once"):
        asked.code_from(twice)


def test_an_odd_error_is_not_echoed() -> None:
    asked = request()
    with pytest.raises(LoginFailed) as caught:
        asked.code_from(answer(asked, error="<script>\x1b[31m"))
    assert "script" not in str(caught.value)


@pytest.mark.parametrize("query", ["", "code=x", "code=x&state=wrong", "state=&code=x"])
def test_a_foreign_state_is_refused(query: str) -> None:
    with pytest.raises(LoginFailed, match="wrong state"):
        request().code_from(query)


def test_every_request_has_its_own_state_and_verifier() -> None:
    one, two = request(), request()
    assert one.state != two.state and one.verifier != two.verifier
    assert 43 <= len(one.verifier.reveal()) <= 128
    assert one.verifier.reveal() not in one.url


# --- pasting ---------------------------------------------------------------------------------

PASTED = "https://app.example/callback"


def paste(found: Pleo, change: Callable[[str], str]) -> auth.LoginResult:
    shown: list[str] = []
    settings = found.with_(PLEO_REDIRECT_URI=PASTED)
    return auth.login(settings, show=shown.append, prompt=lambda _: change(consent(shown[0])))


@pytest.fixture(scope="module")
def https_redirect(tmp_path_factory: pytest.TempPathFactory) -> object:
    folder = tmp_path_factory.mktemp("paste")
    with running(SandboxConfig(port=0, redirect_uris=(PASTED,))) as sandbox:
        environ = {"PLEO_API_URL": sandbox.url, "PLEO_AUTH_URL": sandbox.url, "PLEO_TOKEN_STORE": str(folder / "tokens.sqlite")}
        yield Pleo(sandbox, environ)


def test_a_pasted_address_logs_in(https_redirect: Pleo) -> None:
    assert paste(https_redirect, lambda address: f"  {address}\n").generation == 1


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda address: address + "#x", "fragment"),
        (lambda address: address.replace("app.example", "evil.example"), "does not start with"),
        (lambda address: address.replace("https", "http"), "does not start with"),
        (lambda address: address.replace("state=", "state=x"), "wrong state"),
        (lambda _: "", "does not start with"),
        (lambda _: "http://[::1/callback?code=x", "not an address"),
        (lambda _: "https://exa\u2100mple/callback?code=x", "not an address"),
    ],
)
def test_a_wrong_paste_is_refused(https_redirect: Pleo, change: Callable[[str], str], message: str) -> None:
    with pytest.raises(LoginFailed, match=message):
        paste(https_redirect, change)


def test_pasting_needs_a_prompt(https_redirect: Pleo) -> None:
    with pytest.raises(ConfigurationError, match="pasted"):
        auth.login(https_redirect.with_(PLEO_REDIRECT_URI=PASTED), show=lambda _: None)


def test_scopes_that_were_not_granted_are_told(unconnected: Pleo) -> None:
    """Against a scripted token endpoint: the sandbox grants what was asked."""

    def handle(sent: httpx.Request) -> httpx.Response:
        if sent.url.path == "/oauth/token":
            return httpx.Response(200, json={"access_token": "aaaaaaaa", "refresh_token": "rrrrrrrr", "scope": "companies:read"})
        return httpx.Response(404)

    result = auth.login(
        unconnected.with_(PLEO_SCOPES="companies:read users:read"),
        show=lambda _: None,
        open_browser=in_thread(lambda url: get(consent(url))),
        timeout=5,
        transport=httpx.MockTransport(handle),
    )
    assert result.scopes == ("companies:read",) and result.missing_scopes == ("users:read",)


def test_the_scopes_that_the_api_tells_are_kept(unconnected: Pleo) -> None:
    """The token answer says nothing of them; `status` and `doctor` must not list what was merely asked for."""
    answers = {
        "/oauth/token": {"access_token": "aaaaaaaa", "refresh_token": "rrrrrrrr"},
        "/v1/introspect": {"data": {"scope": "companies:read", "subjectURN": "urn:pleo:company:1"}},
    }

    def handle(sent: httpx.Request) -> httpx.Response:
        found = answers.get(sent.url.path)
        return httpx.Response(404) if found is None else httpx.Response(200, json=found)

    settings = unconnected.with_(PLEO_SCOPES="companies:read users:read")
    browser = in_thread(lambda url: get(consent(url)))
    auth.login(settings, show=lambda _: None, open_browser=browser, timeout=5, transport=httpx.MockTransport(handle))
    told = auth.status(settings)
    assert told.scopes == ("companies:read",) and told.generation == 1
    assert unconnected.manager(settings).tokens().refresh.reveal() == "rrrrrrrr"
