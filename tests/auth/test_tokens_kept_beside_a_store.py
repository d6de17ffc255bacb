"""A host whose store failed keeps the new tokens; meanwhile another host, which cannot see them, gives the grant up."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from pleo_connector import auth
from pleo_connector.auth.stores import OpenedStore, State, open_store
from pleo_connector.auth.token_persistence import TokenFiles
from pleo_connector.errors import CredentialError, ReauthRequired, TokenStoreUnavailable, WrongKey
from tests.auth.harness import Pleo, in_thread, pleo, visit
from tests.auth.storms import stored_token_lives
from tests.postgres_server import new_database

STORES: dict[str, Callable[[Path], str]] = {
    "postgresql": lambda _: new_database(),
    "sqlite": lambda folder: str(folder / "state" / "tokens.sqlite"),
}
QUICK = {"settle": 0.01, "monotonic": lambda: 100 * time.monotonic(), "sleep": lambda seconds: time.sleep(seconds / 100)}


class Hosts:
    """Two hosts that share a store and nothing else; the first has just failed to store new tokens."""

    def __init__(self, found: Pleo, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.found = found
        self.folders = (folder / "one", folder / "two")
        for each in self.folders:
            each.mkdir(mode=0o700)
        self.one, self.two = self._opened(0), self._opened(1)
        found.connect()
        with monkeypatch.context() as patched:
            for method in ("commit", "rescue"):
                patched.setattr(type(self.one.store), method, _unavailable)
            with pytest.raises(TokenStoreUnavailable, match=r"\.spill, sealed"):
                self.manager(self.one).refresh()
        assert len(self.left()) == 1

    def manager(self, opened: OpenedStore) -> auth.CredentialManager:
        return auth.build_manager(self.found.settings, opened=opened, **QUICK)

    def left(self) -> list[Path]:
        return list(self.folders[0].glob("*.spill"))

    def given_up(self) -> None:
        """The second host asks Pleo, and hears that the tokens which it can see are used up."""
        with pytest.raises(ReauthRequired, match="outcome unknown"):
            self.manager(self.two).refresh()
        assert self.found.record().state is State.REAUTH_REQUIRED

    def _opened(self, number: int) -> OpenedStore:
        return replace(open_store(self.found.environ["PLEO_TOKEN_STORE"]), spill_folders=(self.folders[number],))


def _unavailable(*_: object, **__: object) -> bool:
    raise TokenStoreUnavailable("The token store cannot be used now.")


@pytest.fixture(params=sorted(STORES))
def hosts(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hosts]:
    keys = Fernet.generate_key().decode()
    environ = {"PLEO_TOKEN_STORE": STORES[request.param](tmp_path), "PLEO_TOKEN_KEYS": keys}
    with pleo(tmp_path, environ, requests_per_minute=0) as found:
        yield Hosts(found, tmp_path, monkeypatch)


@pytest.mark.parametrize("ask", ["access_token", "refresh"])
def test_the_first_host_takes_them_over_although_the_second_gave_up(hosts: Hosts, ask: str) -> None:
    hosts.given_up()
    before = hosts.found.counted("refreshes")
    getattr(hosts.manager(hosts.one), ask)()
    assert hosts.found.record().state is State.ACTIVE and hosts.left() == []
    assert stored_token_lives(hosts.found)
    assert hosts.found.counted("refreshes") == before + (ask == "refresh")
    hosts.manager(hosts.two).refresh()
    assert hosts.found.counted("reuse") == hosts.found.counted("revoked_grants") == 0


def test_the_status_of_each_host_says_what_that_host_can_do(hosts: Hosts) -> None:
    hosts.given_up()
    one, two = (auth.status(hosts.found.settings, opened=opened) for opened in (hosts.one, hosts.two))
    assert (one.state, two.state) == ("refreshing", "reauth_required")
    assert "its tokens lie here, sealed" in one.reason


def test_a_login_wins_over_what_was_kept(hosts: Hosts) -> None:
    hosts.given_up()
    login(hosts, hosts.two)
    stored = hosts.found.record()
    hosts.manager(hosts.one).access_token()
    assert hosts.found.record().blob == stored.blob
    hosts.manager(hosts.one).refresh()
    assert hosts.left() == [] and stored_token_lives(hosts.found)


def test_connecting_and_disconnecting_leave_no_tokens_behind(hosts: Hosts) -> None:
    login(hosts, hosts.one)
    assert hosts.left() == []
    TokenFiles(hosts.found.settings.connection, hosts.one.spill_folders).write("abc", 1, b"sealed")
    assert len(hosts.left()) == 1
    auth.disconnect(hosts.found.settings, opened=hosts.one)
    assert hosts.left() == []


def test_a_file_of_another_generation_or_that_cannot_be_opened_changes_nothing(hosts: Hosts) -> None:
    hosts.given_up()
    generation = hosts.found.record().generation
    (kept,) = hosts.left()
    kept.unlink()
    files = TokenFiles(hosts.found.settings.connection, hosts.one.spill_folders)
    files.write("older", generation - 1, b"never looked at")
    files.write("junk", generation, b"sealed by nobody")
    (hosts.folders[0] / kept.name).write_text("no JSON")
    (hosts.folders[0] / kept.name).chmod(0o600)
    with pytest.raises(ReauthRequired):
        hosts.manager(hosts.one).access_token()
    assert hosts.found.record().state is State.REAUTH_REQUIRED and len(hosts.left()) == 3


def login(hosts: Hosts, opened: OpenedStore) -> None:
    auth.login(hosts.found.settings, show=lambda _: None, open_browser=in_thread(visit), timeout=10, settle=0.0, opened=opened)


def test_the_keys_that_they_are_sealed_with_are_not_dropped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pleo(tmp_path, requests_per_minute=0) as found:
        hosts = Hosts(found, tmp_path, monkeypatch)
        auth.rotate_key(found.settings, opened=hosts.one)
        with pytest.raises(
            CredentialError,
            match=r"old keys were kept: new tokens.*\.spill, sealed with one of them; to have them taken over, run `pleo-connector refresh`",
        ):
            auth.rotate_key(found.settings, opened=hosts.one, forget_old=True)
        hosts.manager(hosts.one).access_token()
        auth.rotate_key(found.settings, opened=hosts.one, forget_old=True)
        hosts.manager(hosts.one).refresh()
        assert stored_token_lives(found) and found.counted("reuse") == 0


def test_when_their_key_is_lost_the_message_names_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pleo(tmp_path, requests_per_minute=0) as found:
        hosts = Hosts(found, tmp_path, monkeypatch)
        (path,) = hosts.left()
        content = json.loads(path.read_text())
        path.write_text(json.dumps(content | {"blob": base64.b64encode(Fernet(Fernet.generate_key()).encrypt(b"{}")).decode()}))
        with pytest.raises(WrongKey, match=r"outside the store, in .*\.spill, and do not open"):
            hosts.manager(hosts.one).refresh()
        assert hosts.left() == [path]
