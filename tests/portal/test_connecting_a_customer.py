"""The way of a customer: link, page, Pleo, and back."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from pleo_connector import auth
from pleo_connector.auth.stores import SqliteTokenStore
from pleo_connector.errors import TokenStoreUnavailable
from pleo_connector.sandbox import Fault
from tests.portal.harness import Hosted, hosted
from tests.postgres_server import new_database


def test_a_link_leads_to_tokens_that_work(portal: Hosted) -> None:
    browser = portal.browser()
    page = browser.get(portal.link())
    assert page.status == 200
    assert "Northwind Data asks to read your Pleo data" in page.text and "acme" in page.text
    assert "Accounting entries" in page.text and "accounting-entries:read" in page.text and "About people: code, email" in page.text
    onward = browser.post("/start", page.form("/start")).onward
    asked = parse_qs(urlsplit(onward).query)
    assert asked["code_challenge_method"] == ["S256"] and len(asked["state"][0]) == 43 and len(asked["code_challenge"][0]) == 43
    assert asked["redirect_uri"] == [f"{portal.url}/callback"] and asked["scope"] == [portal.settings.scopes]
    done = browser.back_from_pleo(onward)
    assert done.status == 200
    assert "Connected" in done.text and "for all companies of your organisation" in done.text and "Accounting entries" in done.text
    assert browser.get("/done").text == done.text, "the last page may be loaded again"
    assert (portal.status().state, portal.status().generation) == ("active", 1)
    auth.build_manager(portal.settings.labelled("acme")).refresh()
    assert portal.status("other").state == "not connected"


def test_a_public_client_needs_no_secret(tmp_path: Path) -> None:
    change = {"PLEO_CLIENT_ID": "sandbox-public", "PLEO_CLIENT_AUTH": "none"}
    with hosted(tmp_path, change=change) as portal:
        assert "Connected" in portal.browser().connect(portal.link()).text
        auth.build_manager(portal.settings.labelled("acme")).refresh()


@pytest.mark.parametrize("method", ["basic", "post"])
def test_a_confidential_client_proves_itself(tmp_path: Path, method: str) -> None:
    secret = "client/secret+odd%20"
    with hosted(tmp_path, change={"PLEO_CLIENT_AUTH": method, "PLEO_CLIENT_SECRET": secret}, client_secret=secret) as portal:
        assert "Connected" in portal.browser().connect(portal.link()).text


def test_a_store_of_several_hosts(tmp_path: Path) -> None:
    """Nothing is there at first: the portal makes its table, and the token store its own."""
    change = {"PLEO_TOKEN_STORE": new_database(), "PLEO_TOKEN_KEYS": "b8dV3pwjLq8e3N1J8D4rmcoGJqhAbkXkhp7V0p1jbgA="}
    with hosted(tmp_path, change=change) as portal:
        link = portal.link()
        assert "Connected" in portal.browser().connect(link).text
        assert portal.status().state == "active"
        assert portal.browser().get(link).status == 410
        assert "acme" in portal.browser().operator().text


def test_what_was_not_granted_is_told_stream_by_stream(tmp_path: Path) -> None:
    with hosted(tmp_path, withheld_scopes=("accounting-entries:read",)) as portal:
        done = portal.browser().connect(portal.link())
        readable, _, missing = done.text.partition("What was not granted")
        assert "Employees" in readable and "Receipts" not in readable
        assert "Accounting entries accounting-entries:read was asked for and not granted" in missing and "Receipts" in missing
        assert "Missing: Accounting entries, Receipts" in portal.browser().operator().text


def test_connecting_again_replaces_what_was_there(portal: Hosted) -> None:
    portal.browser().connect(portal.link())
    portal.browser().connect(portal.link())
    assert portal.status().generation == 2


def test_somebody_who_says_no_may_think_again(portal: Hosted) -> None:
    browser = portal.browser()
    page = browser.connect(portal.link(), allow=False)
    assert "You did not agree" in page.text and portal.status().state == "not connected"
    onward = browser.post("/again", page.form("/again")).onward
    assert "Connected" in browser.back_from_pleo(onward).text
    assert browser.post("/again", page.form("/again")).status == 403, "and then no more"


def test_trying_again_is_for_the_browser_that_was_invited(portal: Hosted) -> None:
    invited, other = portal.browser(), portal.browser()
    page = invited.connect(portal.link("acme"), allow=False)
    assert other.post("/again", page.form("/again")).status == 403
    other.get(portal.link("other"))  # it has a cookie now, and still no key
    assert other.post("/again", page.form("/again")).status == 403
    assert invited.post("/again", page.form("/again")).status == 200
    assert invited.post("/again", page.form("/again")).status == 403, "each try is another login with another cookie"


def test_a_failure_has_a_reference_that_the_log_knows(portal: Hosted, caplog: pytest.LogCaptureFixture) -> None:
    portal.sandbox.state.set_faults(Fault("truncated", path="/oauth/token", times=1))
    browser = portal.browser()
    page = browser.connect(portal.link())
    assert "Not connected" in page.text and "PLEO_" not in page.text
    reference = page.text.partition("with this reference: ")[2].split()[0]
    assert any(reference in record.getMessage() and "acme" in record.getMessage() for record in caplog.records)
    assert portal.status().state == "not connected"
    assert "Connected" in browser.back_from_pleo(browser.post("/again", page.form("/again")).onward).text


def test_nobody_is_sent_to_pleo_while_nothing_can_be_stored(portal: Hosted, monkeypatch: pytest.MonkeyPatch) -> None:
    """The invitation stays good, and the customer learns no more than a reference."""
    link = portal.link()

    def fails(_: object) -> None:
        raise TokenStoreUnavailable("The token store /srv/tokens.sqlite cannot be used now: disk full.")

    browser = portal.browser()
    page = browser.get(link)
    with monkeypatch.context() as patched:
        patched.setattr(SqliteTokenStore, "prove_writable", fails)
        refused = browser.post("/start", page.form("/start"))
    assert refused.status == 503
    assert "Nothing was connected" in refused.text and "/srv" not in refused.text
    assert "Connected" in browser.connect(link).text
    assert portal.status().state == "active"


def test_an_api_that_does_not_tell_costs_no_login(portal: Hosted) -> None:
    portal.sandbox.state.set_faults(Fault("status", path="/v1/introspect", status=503))
    assert "Employees" in portal.browser().connect(portal.link()).text
    assert portal.status().state == "active"
