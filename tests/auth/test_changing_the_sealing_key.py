from __future__ import annotations

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from pleo_connector import auth
from pleo_connector.auth import key_sources
from pleo_connector.auth.connection import binding_of, keys_for_login
from pleo_connector.auth.key_sources import GROUP, KeySource, provider_named
from pleo_connector.auth.stores import State, open_store
from pleo_connector.errors import ConfigurationError, CredentialError, WrongKey
from tests.auth.harness import Pleo, in_thread, pleo, visit
from tests.auth.storms import start, wait_for
from tests.postgres_server import new_database


def key_file(tmp_path: Path) -> Path:
    (found,) = (tmp_path / "state").glob("*.key")
    return found


def test_a_new_key_seals_and_the_old_one_is_kept_until_told(connected: Pleo, tmp_path: Path) -> None:
    before, old = connected.record(), key_file(tmp_path).read_text()
    was = auth.status(connected.settings).key_id
    done = auth.rotate_key(connected.settings)
    after = connected.record()
    assert done.sealed == ("sandbox/sandbox-client",) and done.left == () and done.keys_kept == 2
    assert done.key_id == auth.status(connected.settings).key_id != was
    assert after.blob != before.blob and (after.generation, after.state) == (before.generation, before.state)
    assert key_file(tmp_path).read_text().splitlines()[1:] == [old.strip()]
    assert key_file(tmp_path).stat().st_mode & 0o777 == 0o600
    forgotten = auth.rotate_key(connected.settings, forget_old=True)
    assert (forgotten.key_id, forgotten.keys_kept) == (done.key_id, 1)
    assert old.strip() not in key_file(tmp_path).read_text()
    connected.manager().refresh()
    assert connected.counted("token_requests") == 1


def test_a_running_process_takes_up_the_new_key(connected: Pleo) -> None:
    running = connected.manager()
    running.access_token()
    auth.rotate_key(connected.settings)
    auth.rotate_key(connected.settings, forget_old=True)
    connected.manager().refresh()
    assert running.tokens() == connected.manager().tokens()
    auth.rotate_key(connected.settings)
    auth.rotate_key(connected.settings, forget_old=True)
    running.refresh()
    assert running.tokens() == connected.manager().tokens()
    assert connected.counted("refreshes") == 2 and connected.counted("reuse") == 0


@pytest.mark.slow
def test_keys_rotate_while_others_refresh(tmp_path: Path) -> None:
    """Every refresh seals, every rotation seals anew: nobody may meet something that does not open."""
    with pleo(tmp_path, access_token_lifetime=1, requests_per_minute=0) as found:
        found.connect()
        callers = [start(found, "call", "3", "4") for _ in range(3)]
        wait_for(lambda: found.counted("refreshes") > 1)
        for number in range(8):
            auth.rotate_key(found.settings, forget_old=number % 2 == 1)
        told = [process.communicate(timeout=60) for process in callers]
        assert all('"failed": 0' in out and err == "" for out, err in told), told
        assert found.counted("refreshes") > 3 and found.counted("reuse") == 0
        assert found.record().state is State.ACTIVE


def test_a_wrong_key_never_becomes_the_right_one(connected: Pleo, tmp_path: Path) -> None:
    before = connected.record()
    key_file(tmp_path).write_text(Fernet.generate_key().decode())
    wrong = key_file(tmp_path).read_text()
    for forget in (False, True):
        with pytest.raises(WrongKey, match="left as they are"):
            auth.rotate_key(connected.settings, forget_old=forget)
    with pytest.raises(WrongKey):
        auth.rotate_key(connected.with_(PLEO_TOKEN_KEYS=Fernet.generate_key().decode()))
    assert connected.record() == before and key_file(tmp_path).read_text() == wrong


def test_a_connection_that_does_not_open_is_left_and_the_old_keys_with_it(connected: Pleo, tmp_path: Path) -> None:
    other = connected.with_(PLEO_CONNECTION="other")
    connected.connect(other)
    store = open_store(connected.environ["PLEO_TOKEN_STORE"]).store
    store.replace(other.connection, b"sealed by nobody")
    done = auth.rotate_key(connected.settings)
    assert (done.sealed, done.left) == (("sandbox/sandbox-client",), (other.connection,))
    with pytest.raises(CredentialError, match="old keys were kept"):
        auth.rotate_key(connected.settings, forget_old=True)
    assert len(key_file(tmp_path).read_text().split()) == 2


def test_keys_of_the_variable_are_changed_by_whoever_sets_it(unconnected: Pleo) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    unconnected.connect(unconnected.with_(PLEO_TOKEN_KEYS=old))
    done = auth.rotate_key(unconnected.with_(PLEO_TOKEN_KEYS=f"{new},{old}"))
    assert done.origin == "PLEO_TOKEN_KEYS" and len(done.sealed) == 1
    unconnected.manager(unconnected.with_(PLEO_TOKEN_KEYS=new)).access_token()


def test_in_postgresql_too(unconnected: Pleo) -> None:
    url, old, new = new_database(), Fernet.generate_key().decode(), Fernet.generate_key().decode()
    unconnected.connect(unconnected.with_(PLEO_TOKEN_STORE=url, PLEO_TOKEN_KEYS=old))
    assert auth.rotate_key(unconnected.with_(PLEO_TOKEN_STORE=url, PLEO_TOKEN_KEYS=f"{new},{old}")).sealed == ("sandbox/sandbox-client",)
    unconnected.manager(unconnected.with_(PLEO_TOKEN_STORE=url, PLEO_TOKEN_KEYS=new)).access_token()


# --- providers -------------------------------------------------------------------------------


class InMemory:
    kept: tuple[str, ...] = ()

    def load(self) -> tuple[str, ...]:
        return InMemory.kept

    def save(self, keys: list[str]) -> None:
        InMemory.kept = tuple(keys)


class ReadOnly(InMemory):
    def save(self, keys: list[str]) -> None:
        raise NotImplementedError


class Leaky(InMemory):
    def load(self) -> tuple[str, ...]:
        raise RuntimeError("the key is hunter2")


def source(kind: str) -> KeySource:
    point = EntryPoint(kind, f"{__name__}:{kind}", GROUP)
    return KeySource(provider_named(kind, [point]), f"the key provider {kind}")


def test_a_provider_keeps_the_keys() -> None:
    InMemory.kept = ()
    made = source("InMemory")
    assert made.ring() is None
    first = made.ring(create=True)
    assert first is not None and len(InMemory.kept) == 1
    second = made.add_key()
    assert second.key_id != first.key_id and second.count == 2
    assert made.keep_first().key_id == second.key_id and len(InMemory.kept) == 1


def test_a_provider_may_be_read_only_or_broken_and_its_words_are_not_repeated() -> None:
    InMemory.kept = (Fernet.generate_key().decode(),)
    assert source("ReadOnly").ring() is not None
    with pytest.raises(ConfigurationError, match="read-only"):
        source("ReadOnly").add_key()
    with pytest.raises(CredentialError, match="RuntimeError") as caught:
        source("Leaky").ring()
    assert "hunter2" not in str(caught.value)


def test_a_provider_that_is_not_installed_is_named(connected: Pleo) -> None:
    with pytest.raises(ConfigurationError, match=r"installed are: .*keyring"):
        connected.manager(connected.with_(PLEO_KEY_PROVIDER="vault")).access_token()


def test_the_keyring_keeps_them_over_processes(unconnected: Pleo, tmp_path: Path) -> None:
    """With a keyring backend of the test's own; the real one belongs to a desktop session."""
    (tmp_path / "backend.py").write_text(
        "import json, pathlib\n"
        "from keyring.backend import KeyringBackend\n"
        f"FILE = pathlib.Path({str(tmp_path / 'kept.json')!r})\n"
        "class Kept(KeyringBackend):\n"
        "    priority = 9\n"
        "    def get_password(self, service, name):\n"
        "        return json.loads(FILE.read_text()).get(service + name) if FILE.exists() else None\n"
        "    def set_password(self, service, name, value):\n"
        "        FILE.write_text(json.dumps({service + name: value}))\n"
    )
    code = (
        "from pleo_connector.auth.key_sources import KeySource, provider_named\n"
        "print(KeySource(provider_named('keyring'), 'x').ring(create=True).key_id)\n"
    )
    environ = {"PYTHONPATH": str(tmp_path), "PYTHON_KEYRING_BACKEND": "backend.Kept", "PATH": "", "HOME": str(tmp_path)}
    told = {subprocess.run([sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True).stdout for _ in range(2)}
    assert len(told) == 1 and len(told.pop().strip()) == 8


@pytest.mark.parametrize("changes", [("new",), ("new", "forget old")])
def test_a_login_that_is_open_meanwhile_is_sealed_with_the_new_key(connected: Pleo, changes: tuple[str, ...]) -> None:
    """The keys were loaded before the person was asked, who takes minutes to consent."""

    def consents_late(url: str) -> None:
        for change in changes:
            auth.rotate_key(connected.settings, forget_old=change == "forget old")
        visit(url)

    auth.login(connected.settings, show=lambda _: None, open_browser=in_thread(consents_late), timeout=30)
    auth.rotate_key(connected.settings, forget_old=True)
    assert connected.record().generation == 2
    connected.manager().refresh()


def test_two_first_logins_make_one_key(unconnected: Pleo, monkeypatch: pytest.MonkeyPatch) -> None:
    """A provider that keeps what it was given last."""
    kept: list[list[str]] = []

    class Last:
        def load(self) -> list[str]:
            return kept[-1] if kept else []

        def save(self, keys: list[str]) -> None:
            time.sleep(0.2)
            kept.append(keys)

    monkeypatch.setattr(key_sources, "provider_named", lambda _: Last())
    settings = unconnected.with_(PLEO_KEY_PROVIDER="last")
    opened = open_store(settings.token_store)
    with ThreadPoolExecutor(4) as pool:
        rings = list(pool.map(lambda _: keys_for_login(settings, opened, binding_of(settings)), range(4)))
    assert len(kept) == 1 and len({ring.key_id for ring in rings}) == 1
