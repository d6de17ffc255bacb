"""A link works once, for a while, for one connection, and only as it was made."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

import pytest
from itsdangerous import URLSafeTimedSerializer

from pleo_connector.errors import ConfigurationError
from pleo_connector.portal.facts import Facts
from pleo_connector.portal.invitations import Invitation, Invitations, Unusable, seconds_of
from pleo_connector.portal.parts import parts_of
from pleo_connector.portal.place import place_of
from pleo_connector.portal.postgres_facts import PostgresFacts
from pleo_connector.portal.sqlite_facts import SqliteFacts
from pleo_connector.settings import load
from tests.portal.harness import PASSWORD, SECRET, Hosted, environment, hosted
from tests.postgres_server import new_database

ENVIRON = environment("http://127.0.0.1:1", "https://connect.example.com/pleo", Path("unused"))
PLACE = place_of(load(ENVIRON, None))

LEDGERS: dict[str, Callable[[Path, Callable[[], float]], Facts]] = {
    "sqlite": lambda folder, clock: SqliteFacts(folder / "private" / "portal", clock=clock),
    "postgresql": lambda _folder, _clock: PostgresFacts(new_database()),
}


@dataclass
class Clock:
    now: float = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(params=sorted(LEDGERS))
def facts(request: pytest.FixtureRequest, tmp_path: Path) -> Facts:
    return LEDGERS[request.param](tmp_path, Clock())


def token_of(link: str) -> str:
    return parse_qs(urlsplit(link).query)["token"][0]


def test_every_ledger_keeps_gives_once_and_counts(facts: Facts) -> None:
    assert facts.get("kind", "a") is None and facts.take("kind", "a") is None and facts.all("kind") == []
    facts.put("kind", "a", "one", 60)
    facts.put("kind", "b", "over", -1)
    facts.put("other", "a", "another", 60)
    assert facts.get("kind", "a") == "one" and facts.get("kind", "b") is None
    assert [(kept.key, kept.value) for kept in facts.all("kind")] == [("a", "one")]
    assert facts.take("kind", "a", "two") is None, "only what it is"
    facts.put("kind", "a", "two", 60)
    assert facts.take("kind", "a", "one") is None
    assert facts.take("kind", "a", "two") == "two" and facts.take("kind", "a") is None
    assert facts.get("other", "a") == "another"
    assert [facts.count("tries", "x", 60) for _ in range(3)] == [1, 2, 3] and facts.count("tries", "y", 60) == 1
    assert [facts.count("over", "x", -1) for _ in range(3)] == [1, 1, 1]


def test_a_link_works_once_and_a_look_uses_nothing_up(facts: Facts) -> None:
    invitations = Invitations(facts, SECRET, PLACE)
    link = invitations.make("acme", 600)
    assert link.startswith("https://connect.example.com/pleo/invitation?token=")
    for _ in range(3):
        assert isinstance(invitations.look(token_of(link)), Invitation)
    used = invitations.use(token_of(link))
    assert isinstance(used, Invitation) and used.label == "acme"
    assert invitations.use(token_of(link)) is invitations.look(token_of(link)) is Unusable.SPENT


def test_a_newer_link_replaces_an_older_one_and_both_can_be_withdrawn(facts: Facts) -> None:
    invitations = Invitations(facts, SECRET, PLACE)
    older, newer, other = invitations.make("acme", 600), invitations.make("acme", 600), invitations.make("other", 600)
    assert set(invitations.open()) == {"acme", "other"}
    assert invitations.use(token_of(older)) is Unusable.SPENT
    assert isinstance(invitations.look(token_of(newer)), Invitation)
    invitations.withdraw("acme")
    assert invitations.use(token_of(newer)) is Unusable.SPENT
    assert isinstance(invitations.use(token_of(other)), Invitation)


def test_a_link_ends_with_its_time(tmp_path: Path) -> None:
    clock = Clock()
    invitations = Invitations(SqliteFacts(tmp_path / "facts", clock=clock), SECRET, PLACE, clock=clock)
    link = invitations.make("acme", 600)
    clock.now += 599
    assert isinstance(invitations.look(token_of(link)), Invitation)
    clock.now += 2
    assert invitations.use(token_of(link)) is Unusable.EXPIRED


def test_a_forged_link_is_none(facts: Facts) -> None:
    invitations = Invitations(facts, SECRET, PLACE)
    token = token_of(invitations.make("acme", 600))
    _, stamp, signature = token.split(".")
    other = token_of(Invitations(facts, "another-secret-of-more-than-32-characters", PLACE).make("acme", 600))
    relabelled = str(URLSafeTimedSerializer("x").dumps(["other", "identity", 600])).partition(".")[0]
    unsalted = str(URLSafeTimedSerializer(SECRET).dumps(["acme", "identity", 600]))
    for forged in ("", "x", token[:-1], f"{token}A", f"{relabelled}.{stamp}.{signature}", other, unsalted, "A" * 600, "\u0000é"):
        assert invitations.use(forged) is Unusable.FORGED, forged
    assert invitations.use(token) is Unusable.SPENT, "the other secret's link replaced it: they share the facts"


@pytest.mark.parametrize("text", ["", "7", "d", "7 days", "4m", "91d", "-1d", "7d7d", "99999d"])
def test_a_span_that_makes_no_sense_is_refused(text: str) -> None:
    with pytest.raises(ConfigurationError, match="5m to 90d"):
        seconds_of(text)


def test_spans() -> None:
    assert [seconds_of(text) for text in ("5m", "12h", "7d", "90d")] == [300, 43200, 604800, 7776000]


_USE = """
import sys
from pleo_connector.portal.invitations import Invitation
from pleo_connector.portal.parts import parts_of
from pleo_connector.settings import load
parts = parts_of(load(None, None))
print("ready", flush=True)
for token in sys.stdin:
    print("mine" if isinstance(parts.invitations.use(token.strip()), Invitation) else "spent", flush=True)
"""


@pytest.mark.parametrize("store", ["sqlite", "postgresql"])
def test_of_two_processes_that_use_a_link_at_once_one_gets_it(tmp_path: Path, store: str) -> None:
    environ = {**ENVIRON, "PLEO_TOKEN_STORE": new_database() if store == "postgresql" else str(tmp_path / "state" / "tokens.sqlite")}
    invitations = parts_of(load(environ, None)).invitations
    racers = [
        subprocess.Popen(
            [sys.executable, "-c", _USE], env={**environ, "PYTHONPATH": str(Path(__file__).parents[2])}, cwd=tmp_path,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        )
        for _ in range(2)
    ]  # fmt: skip
    try:
        assert [_line(racer) for racer in racers] == ["ready", "ready"]
        for _ in range(25):
            token = token_of(invitations.make("acme", 600))
            for racer in racers:
                assert racer.stdin is not None
                racer.stdin.write(f"{token}\n")
            assert sorted(_line(racer) for racer in racers) == ["mine", "spent"]
    finally:
        for racer in racers:
            racer.communicate(timeout=20)


def _line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


# --- over HTTP -------------------------------------------------------------------------------


@pytest.fixture
def clocked(tmp_path: Path) -> Iterator[tuple[Hosted, Clock]]:
    clock = Clock()
    with hosted(tmp_path, clock=clock) as portal:
        yield portal, clock


def test_scanners_that_open_a_link_do_not_use_it_up(portal: Hosted) -> None:
    link = portal.link()
    for _ in range(3):
        scanner = portal.browser()
        assert scanner.get(link).status == 200
        assert scanner.http.head(link).status_code == 405
    assert "Connected" in portal.browser().connect(link).text


def test_a_used_link_shows_a_plain_page(portal: Hosted) -> None:
    link = portal.link()
    late = portal.browser()
    page = late.get(link)
    portal.browser().connect(link)
    for answer in (late.post("/start", page.form("/start")), late.get(link)):
        assert answer.status == 410 and "This link was used already" in answer.text and "for a new one" in answer.text
    assert portal.sandbox.counters()["logins"] == 1


def test_a_link_that_is_too_old_shows_a_plain_page(clocked: tuple[Hosted, Clock]) -> None:
    portal, clock = clocked
    link = portal.link(seconds=600)
    browser = portal.browser()
    page = browser.get(link)
    clock.now += 700
    for answer in (browser.post("/start", page.form("/start")), browser.get(link)):
        assert answer.status == 410 and "too old" in answer.text


def test_a_forged_link_or_one_of_another_label_shows_a_plain_page(portal: Hosted) -> None:
    browser = portal.browser()
    good = browser.get(portal.link())
    for token in ("", "x", token_of(portal.link("other"))[:-2], "<script>alert(1)</script>"):
        page = browser.get(f"/invitation?token={quote(token)}")
        assert page.status == 404 and "This link does not work" in page.text and "<script>" not in page.response.text
        assert browser.post("/start", good.form("/start", token=token)).status == 404
    twice = token_of(portal.link())
    assert browser.get(f"/invitation?token={twice}&token={twice}").status == 404
    # A token decides the connection; nothing beside it does.
    onward = browser.post("/start", good.form("/start", token=token_of(portal.link("acme")), label="other")).onward
    browser.back_from_pleo(onward)
    assert portal.status("acme").state == "active" and portal.status("other").state == "not connected"


def test_a_link_needs_a_good_secret() -> None:
    for change in ({"PLEO_PORTAL_SECRET": ""}, {"PLEO_PORTAL_URL": ""}, {"PLEO_PORTAL_PASSWORD": ""}):
        with pytest.raises(ConfigurationError, match=f"The portal needs {next(iter(change))}"):
            place_of(load({**ENVIRON, **change}, None))
    with pytest.raises(ConfigurationError, match="are the same"):
        place_of(load({**ENVIRON, "PLEO_PORTAL_PASSWORD": SECRET}, None))
    with pytest.raises(ConfigurationError, match="PLEO_API_KEY"):
        place_of(load({**ENVIRON, "PLEO_API_KEY": PASSWORD}, None))
