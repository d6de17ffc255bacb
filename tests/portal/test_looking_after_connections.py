"""The operator's page: what it lists, and what its buttons do."""

from __future__ import annotations

import re

from tests.portal.harness import Hosted, Page


def link_on(page: Page) -> str:
    found = re.search(r'<p class="link" tabindex="0">(http[^<]+)</p>', page.response.text)
    assert found is not None, page.text
    return found[1]


def test_a_link_of_the_page_connects(portal: Hosted) -> None:
    operator = portal.browser()
    page = operator.operator()
    assert "Nobody is connected yet" in page.text and f"{portal.url}/callback" in page.text
    made = operator.post("/operator/invite", page.form("/operator/invite", label="acme", valid="1d"))
    assert made.status == 200 and "Invitation of acme" in made.text
    listed = operator.get("/operator")
    assert "acme invited A link is open until" in listed.text
    assert link_on(made) not in listed.response.text, "a link is shown once"
    assert "Connected" in portal.browser().connect(link_on(made)).text
    listed = operator.get("/operator")
    assert "acme active" in listed.text and "9 scopes" in listed.text and "Missing" not in listed.text
    assert re.search(r"\d+ \w{3} \d{4}, \d\d:\d\d UTC", listed.text)


def test_reconnecting_makes_a_link_for_the_same_label(portal: Hosted) -> None:
    portal.browser().connect(portal.link())
    portal.sandbox.state.revoke_grants()
    operator = portal.browser()
    made = operator.post("/operator/invite", operator.operator().form("/operator/invite"))
    portal.browser().connect(link_on(made))
    assert (portal.status().state, portal.status().generation) == ("active", 2)


def test_withdrawing_ends_a_link(portal: Hosted) -> None:
    link = portal.link()
    operator = portal.browser()
    page = operator.operator()
    assert operator.post("/operator/withdraw", page.form("/operator/withdraw")).status == 303
    assert portal.browser().get(link).status == 410
    assert "Nobody is connected yet" in operator.get("/operator").text


def test_disconnecting_forgets_the_tokens(portal: Hosted) -> None:
    portal.browser().connect(portal.link("acme"))
    portal.browser().connect(portal.link("other"))
    operator = portal.browser()
    page = operator.operator()
    told = operator.post("/operator/disconnect", page.form("/operator/disconnect"))
    assert told.status == 200 and "were forgotten here" in told.text
    assert portal.status("acme").state == "disconnected" and portal.status("other").state == "active"
    assert portal.sandbox.counters()["live_grants"] == 2
    gone = operator.post("/operator/disconnect", page.form("/operator/disconnect", label="other", uninstall="yes"))
    assert "uninstalled at Pleo" in gone.text and portal.sandbox.counters()["live_grants"] == 0


def test_a_key_that_does_not_open_shows_in_its_row(portal: Hosted) -> None:
    portal.browser().connect(portal.link())
    portal.parts.opened.store.replace("sandbox/sandbox-client/odd", b"not sealed by us")
    text = portal.browser().operator().text
    assert "odd unreadable" in text and "do not open with the key" in text and "acme active" in text


def test_other_environments_and_clients_are_not_listed(portal: Hosted) -> None:
    for name in ("production/sandbox-client/theirs", "sandbox/sandbox-client-two/theirs"):
        portal.parts.opened.store.replace(name, b"x")
    portal.parts.opened.store.replace("sandbox/sandbox-client", b"x")
    text = portal.browser().operator().text
    assert "theirs" not in text and "default unreadable" in text


def test_what_the_operator_mistypes_is_said(portal: Hosted) -> None:
    operator = portal.browser()
    page = operator.operator()
    for label, says in (("", "needs a label"), ("Acme Ltd", "small letters")):
        answer = operator.post("/operator/invite", page.form("/operator/invite", label=label))
        assert answer.status == 400 and says in answer.text
    answer = operator.post("/operator/invite", page.form("/operator/invite", label="acme", valid="for ever"))
    assert answer.status == 400 and "5m to 90d" in answer.text
