"""Each threat that docs/portal.md names, tried."""

from __future__ import annotations

import socket
from pathlib import Path
from urllib.parse import urlencode, urlsplit

import httpx
import pytest

from pleo_connector.portal.request import address_of, networks_of
from pleo_connector.sandbox import consent
from tests.portal.harness import PASSWORD, PREFIX, Hosted, hosted, state_of


def connected_to_nothing(portal: Hosted) -> bool:
    return portal.status().state == "not connected" and portal.sandbox.counters()["token_requests"] == 0


# --- the redirect ----------------------------------------------------------------------------


def test_a_state_works_in_the_browser_that_began_and_in_no_other(portal: Hosted) -> None:
    began, other, invited = portal.browser(), portal.browser(), portal.browser()
    invited.to_pleo(portal.link("other"))
    back = consent(began.to_pleo(portal.link()))
    for stranger in (other, invited):
        answer = stranger.get(back)
        assert answer.status == 400 and "Pleo answered, but" in answer.text
    assert connected_to_nothing(portal)
    assert began.get(back).status == 303, "the strangers did not use it up"
    assert portal.status().state == "active" and portal.status("other").state == "not connected"


def test_a_redirect_counts_once(portal: Hosted) -> None:
    browser = portal.browser()
    back = consent(browser.to_pleo(portal.link()))
    assert [browser.get(back).response.headers["location"] for _ in range(2)] == [f"{PREFIX}/done"] * 2
    assert portal.sandbox.counters()["token_requests"] == 1 and portal.status().state == "active"


def test_a_made_up_or_missing_state_changes_nothing(portal: Hosted) -> None:
    browser = portal.browser()
    onward = browser.to_pleo(portal.link())
    state = state_of(onward)
    for query in (
        "",
        "code=abc",
        "code=abc&state=",
        f"code=abc&state={state[:-1]}",
        f"code=abc&state={state}&state={state}",
        f"#state={state}",
    ):
        assert browser.get(f"/callback?{query}").status == 400
    for method in ("HEAD", "POST", "OPTIONS", "PUT"):
        assert browser.http.request(method, f"{portal.url}/callback?code=abc&state={state}", data={}).status_code in (405, 415)
    assert browser.get(f"/callback/?code=abc&state={state}").status == 404, "the path is exact"
    assert connected_to_nothing(portal)
    assert "Connected" in browser.back_from_pleo(onward).text


def test_mix_up_an_answer_of_another_server_is_refused(portal: Hosted) -> None:
    browser = portal.browser()
    onward = browser.to_pleo(portal.link())
    answer = browser.get(f"{consent(onward)}&{urlencode({'iss': 'https://auth.evil.example'})}")
    assert answer.status == 303 and "Not connected" in browser.get("/done").text
    assert connected_to_nothing(portal), "the code was not shown to anybody"


def test_the_right_issuer_is_taken(portal: Hosted) -> None:
    browser = portal.browser()
    assert browser.get(f"{consent(browser.to_pleo(portal.link()))}&{urlencode({'iss': portal.sandbox.url})}").status == 303
    assert portal.status().state == "active"


def test_an_error_is_read_before_a_code(portal: Hosted) -> None:
    browser = portal.browser()
    browser.get(f"{consent(browser.to_pleo(portal.link()))}&error=access_denied")
    assert "You did not agree" in browser.get("/done").text and connected_to_nothing(portal)


# --- other sites -----------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [{"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}])
def test_a_form_that_another_site_sends_is_refused(portal: Hosted, headers: dict[str, str]) -> None:
    browser = portal.browser()
    page = browser.get(portal.link())
    assert browser.post("/start", page.form("/start"), **headers).status == 403
    assert browser.post("/start", page.form("/start")).status == 200, "and used nothing up"


def test_a_form_without_the_key_of_this_browser_is_refused(portal: Hosted) -> None:
    """Somebody with an invitation of their own cannot make another browser take it up."""
    attacker, victim = portal.browser(), portal.browser()
    form = attacker.get(portal.link()).form("/start")
    victim.get(portal.link("other"))
    for key in (form["key"], "", "0" * 64, "é"):
        assert victim.post("/start", form | {"key": key}).status == 403
    assert attacker.post("/start", form).status == 200


def test_every_form_of_the_operator_needs_its_key(portal: Hosted) -> None:
    portal.browser().connect(portal.link())
    operator, other = portal.browser(), portal.browser()
    page = operator.operator()
    stolen = other.operator().form("/operator/invite")["key"]
    for path in ("invite", "withdraw", "disconnect", "logout"):
        for key in ("", stolen):
            answer = operator.post(f"/operator/{path}", {"label": "acme", "valid": "7d", "key": key})
            assert answer.status == 403, path
        assert (
            portal.browser().post(f"/operator/{path}", page.form("/operator/invite")).response.headers["location"]
            == f"{PREFIX}/operator/login"
        )
    assert portal.status().state == "active" and portal.parts.invitations.open() == {}
    assert operator.get("/operator").status == 200, "nor was anybody logged out"


# --- the operator's session ------------------------------------------------------------------


def test_a_session_cannot_be_fixed_beforehand(portal: Hosted) -> None:
    attacker, victim = portal.browser(), portal.browser()
    attacker.operator()
    planted = attacker.http.cookies["pleo-operator"]
    attacker.post("/operator/logout", attacker.get("/operator").form("/operator/logout"))
    for cookie in (planted, "chosen-by-somebody"):
        victim.http.cookies.set("pleo-operator", cookie)
        assert victim.get("/operator").status == 303, "a planted cookie opens nothing"
        page = victim.get("/operator/login")
        answer = victim.post("/operator/login", page.form("/operator/login", password=PASSWORD))
        fresh = answer.response.cookies["pleo-operator"]
        assert fresh not in (planted, cookie)
        victim.http.cookies.clear()
    attacker.http.cookies.set("pleo-operator", planted)
    assert attacker.get("/operator").status == 303


def test_a_new_start_gets_a_new_cookie(portal: Hosted) -> None:
    browser = portal.browser()
    page = browser.get(portal.link())
    before = browser.http.cookies["pleo-visitor"]
    browser.post("/start", page.form("/start"))
    assert browser.http.cookies["pleo-visitor"] != before


def test_logging_out_ends_the_session_everywhere(portal: Hosted) -> None:
    browser = portal.browser()
    page = browser.operator()
    cookie = browser.http.cookies["pleo-operator"]
    browser.post("/operator/logout", page.form("/operator/logout"))
    browser.http.cookies.set("pleo-operator", cookie)
    assert browser.get("/operator").status == 303


def test_a_new_password_ends_all_sessions(portal: Hosted) -> None:
    browser = portal.browser()
    browser.operator()
    cookie = browser.http.cookies["pleo-operator"]
    sessions = type(portal.parts.sessions)
    facts, secret = portal.parts.sessions._facts, portal.settings.portal_secret.get_secret_value()
    assert sessions(facts, secret, PASSWORD).of(cookie) is not None
    assert sessions(facts, secret, "another-password").of(cookie) is None
    assert sessions(facts, "another-secret-of-more-than-32-chars", PASSWORD).of(cookie) is None


def test_guesses_are_counted(portal: Hosted) -> None:
    browser = portal.browser()
    answers = [browser.log_in(f"guess number {number} of the password") for number in range(6)]
    assert [answer.status for answer in answers] == [403] * 5 + [429]
    assert answers[-1].response.headers["retry-after"] == "900"
    assert browser.log_in().status == 429, "the right one comes too late as well"


def test_a_right_password_forgives_wrong_ones(portal: Hosted) -> None:
    browser = portal.browser()
    for _ in range(2):
        assert [browser.log_in("wrong, and long enough").status for _ in range(4)] == [403] * 4
        assert browser.log_in().status == 303
        browser.post("/operator/logout", browser.get("/operator").form("/operator/logout"))


def test_forwarded_addresses_are_believed_of_known_proxies_only() -> None:
    ours = networks_of("10.0.0.0/8 ::1/128")
    assert address_of("192.0.2.1", ["203.0.113.9"], ours) == "192.0.2.1"
    assert address_of("10.0.0.1", ["203.0.113.9"], ours) == "203.0.113.9"
    assert address_of("10.0.0.1", ["198.51.100.1, 203.0.113.9, 10.0.0.2"], ours) == "203.0.113.9", "what the client wrote itself is not"
    assert address_of("10.0.0.1", ["203.0.113.9, nonsense"], ours) == "10.0.0.1"
    assert address_of("10.0.0.1", [], ours) == "10.0.0.1"
    assert address_of("10.0.0.1", ["203.0.113.9"], networks_of("")) == "10.0.0.1"


# --- pages and addresses ---------------------------------------------------------------------


def test_every_answer_carries_the_same_headers(portal: Hosted) -> None:
    browser = portal.browser()
    pages = [browser.get(path) for path in ("/", "/healthz", "/nothing", "/callback", "/done", "/operator", "/operator/login", "/start")]
    pages += [browser.get(portal.link()), browser.post("/start", {}), browser.get("/", Host="evil.example")]
    pages += [browser.post("/operator/login", {"key": "x" * 9000})]
    for page in pages:
        headers = page.response.headers
        assert headers["cache-control"] == "no-store" and headers["referrer-policy"] == "no-referrer"
        assert headers["x-frame-options"] == "DENY" and headers["x-content-type-options"] == "nosniff"
        policy = headers["content-security-policy"]
        assert policy.startswith("default-src 'none'; style-src 'sha256-") and "frame-ancestors 'none'" in policy and "unsafe" not in policy
        assert "<script" not in page.response.text and " style=" not in page.response.text
        assert "server" not in headers


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "127.0.0.1@evil.example", ""])
def test_another_host_is_refused(portal: Hosted, host: str) -> None:
    answer = portal.browser().get("/operator", Host=host)
    assert answer.status in (400, 421) and "location" not in answer.response.headers
    assert portal.browser().get("/healthz", Host=host).status in (200, 400), "only the health of it may be asked by any name"


def test_two_hosts_are_none(portal: Hosted) -> None:
    parts = urlsplit(portal.url)
    with socket.create_connection((parts.hostname or "", parts.port or 0), 10) as raw:
        raw.sendall(f"GET {PREFIX}/operator HTTP/1.1\r\nHost: {parts.netloc}\r\nHost: evil.example\r\nConnection: close\r\n\r\n".encode())
        assert raw.makefile("rb").readline().split()[1] in (b"400", b"421")


@pytest.mark.parametrize("where", ["//evil.example", "/\\evil.example", "https://evil.example"])
def test_nothing_leads_to_where_a_request_says(portal: Hosted, where: str) -> None:
    browser = portal.browser()
    for path in (
        f"/operator?next={where}",
        f"/operator/login?next={where}&url={where}",
        f"/done?return_to={where}",
        f"/{where}",
        f"{where}/..",
    ):
        answer = browser.http.get(f"{portal.url}{path}", headers={"X-Forwarded-Host": "evil.example"})
        assert "evil" not in answer.headers.get("location", "") and answer.status_code in (200, 303, 400, 404)
    assert browser.operator().status == 200
    answer = browser.http.get(f"{portal.url}/operator/", headers={"X-Forwarded-Host": "evil.example", "Forwarded": "host=evil.example"})
    assert answer.status_code == 404, "no redirect to a tidier path"


def test_what_people_write_is_text(portal: Hosted) -> None:
    """A label cannot hold markup; a token and a problem are shown escaped."""
    operator = portal.browser()
    page = operator.operator()
    answer = operator.post("/operator/invite", page.form("/operator/invite", label="<b>x</b>", valid="<i>7d</i>"))
    assert answer.status == 400 and "<b>x" not in answer.response.text and "<i>7d" not in answer.response.text


def test_bodies_are_small_forms(portal: Hosted) -> None:
    browser = portal.browser()
    address = f"{portal.url}/start"
    assert browser.http.post(address, content=b"a" * 9000, headers={"Content-Type": "application/x-www-form-urlencoded"}).status_code == 413
    assert browser.http.post(address, json={}).status_code == 415
    assert (
        browser.http.post(
            address, content="&".join(f"a{n}=1" for n in range(99)), headers={"Content-Type": "application/x-www-form-urlencoded"}
        ).status_code
        == 400
    )
    assert browser.http.post(address, content=b"\xff=\xff", headers={"Content-Type": "application/x-www-form-urlencoded"}).status_code in (
        400,
        403,
    )


def test_health_tells_nothing(portal: Hosted) -> None:
    answer = httpx.get(f"{portal.url}/healthz", trust_env=False)
    assert (answer.status_code, answer.text) == (200, "ok\n") and "set-cookie" not in answer.headers


def test_settings_that_changed_during_a_login_are_no_reason_to_trust(tmp_path: Path) -> None:
    """A login begun at one authorisation server is not ended at another."""
    with hosted(tmp_path) as portal:
        browser = portal.browser()
        back = consent(browser.to_pleo(portal.link()))
        attempt = portal.parts.attempts
        object.__setattr__(portal.parts.connecting._settings, "auth_url", "https://auth.other.example")
        assert browser.get(back).status == 303 and "Not connected" in browser.get("/done").text
        assert attempt is portal.parts.attempts and connected_to_nothing(portal)
