"""What only the PostgreSQL store has: a lock that may be lost, a schema, passwords in URLs, and poolers."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from pleo_connector import auth
from pleo_connector.auth.manager import LOOK_EVERY
from pleo_connector.auth.stores import PostgresTokenStore, State, open_store
from pleo_connector.errors import ConfigurationError, ReauthRequired, TokenStoreCorrupt, TokenStoreUnavailable, WrongKey
from pleo_connector.sandbox import Fault
from tests.auth.harness import Pleo, pleo
from tests.auth.session_sharing_proxy import sharing_sessions
from tests.auth.storms import child_of, forker, kill_at_random, scaled, stampede, verdict, wait_for
from tests.postgres_server import end_locks, new_database, run_sql

ONE = "sandbox/one"
QUICK = 0.8
"""A deadline of the token endpoint's that lets a test see it pass."""


@pytest.fixture
def environ() -> dict[str, str]:
    return {"PLEO_TOKEN_STORE": new_database(), "PLEO_TOKEN_KEYS": Fernet.generate_key().decode(), "REFRESHER_DEADLINE": str(QUICK)}


@pytest.fixture
def connected(environ: dict[str, str], tmp_path: Path) -> Iterator[Pleo]:
    with pleo(tmp_path, environ, requests_per_minute=0) as found:
        found.connect()
        found.sandbox.state.reset_counters()
        yield found


# --- many processes --------------------------------------------------------------------------


@pytest.mark.slow
def test_eight_processes_of_25_threads_for_a_minute(environ: dict[str, str], tmp_path: Path) -> None:
    stampede(tmp_path, processes=8, threads=25, seconds=scaled(60, 8), lifetime=4, environ={**environ, "REFRESHER_DEADLINE": "20"})


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_500_kills_lose_nothing_unseen(connected: Pleo) -> None:
    seen = kill_at_random(connected, scaled(500), deadline=QUICK)
    assert seen.total() == scaled(500) and seen["recovered"] > 0, seen


def test_a_kill_after_the_rotation_is_reported(connected: Pleo) -> None:
    with forker(connected) as process:
        connected.sandbox.state.set_faults(Fault("delay_after", path="/oauth/token", times=1, seconds=0.7))
        pid = child_of(process)
        wait_for(lambda: connected.counted("refreshes") == 1)
        os.kill(pid, signal.SIGKILL)
        connected.sandbox.state.set_faults()
        assert verdict(connected, deadline=QUICK) == "reported"
        assert connected.counted("reuse") == 0


# --- a lock that is lost ---------------------------------------------------------------------


def refresh_into(connected: Pleo, done: list[object]) -> None:
    done.append(connected.manager().refresh())


def lose_the_lock_during_a_post(connected: Pleo, times: int) -> None:
    for number in range(1, times + 1):
        before = connected.manager().tokens().access
        connected.sandbox.state.set_faults(Fault("delay_after", path="/oauth/token", times=1, seconds=0.4))
        done: list[object] = []
        owner = threading.Thread(target=refresh_into, args=(connected, done))
        owner.start()
        wait_for(lambda number=number: connected.counted("refreshes") == number)
        assert end_locks(connected.environ["PLEO_TOKEN_STORE"]) == 1
        other = connected.manager().access_token(rejected=before)
        owner.join(20)
        assert done == [connected.manager().tokens()], "whoever gets the lock meanwhile waits for the owner, which lives"
        assert other == connected.manager().tokens().access
    assert connected.counted("refreshes") == times and connected.counted("reuse") == 0
    assert connected.record().generation == times + 1 and connected.record().state is State.ACTIVE


def test_an_owner_that_loses_its_lock_during_the_post_is_waited_for(connected: Pleo) -> None:
    lose_the_lock_during_a_post(connected, 3)


@pytest.mark.slow
def test_fifty_owners_lose_their_locks(connected: Pleo) -> None:
    lose_the_lock_during_a_post(connected, scaled(50))


def test_an_owner_without_its_lock_does_not_post(connected: Pleo) -> None:
    url = connected.environ["PLEO_TOKEN_STORE"]
    store = open_store(url).store

    class LosesItsLock:
        lock_proves_owner_dead = False

        def __getattr__(self, name: str) -> object:
            return getattr(store, name)

        def begin(self, *values: object) -> bool:
            opened = store.begin(*values)  # type: ignore[arg-type]
            if ends:
                assert end_locks(url) == ends.pop()
            return opened

    ends = [1]
    waits: list[float] = []
    connected.manager(opened=replace(open_store(url), store=LosesItsLock()), sleep=waits.append).refresh()  # type: ignore[arg-type]
    assert len(waits) == 1 and connected.counted("token_requests") == 1
    assert connected.record().generation == 2


def test_tokens_that_come_after_their_owner_was_given_up_are_kept(connected: Pleo) -> None:
    """An owner may be stopped for longer than anybody waits: what it brings then is still the only live grant."""
    connected.sandbox.state.set_faults(Fault("delay_after", path="/oauth/token", times=1, seconds=2.5))
    tokens: list[object] = []
    owner = threading.Thread(target=lambda: tokens.append(connected.manager(deadline=20.0).refresh()))
    owner.start()
    wait_for(lambda: connected.counted("refreshes") == 1)
    # Its intent says that it would be done by now.
    url = connected.environ["PLEO_TOKEN_STORE"]
    run_sql(url, "update pleo_connector.connection set intent_deadline = intent_started + 0.1")
    assert end_locks(url) == 1
    with pytest.raises(ReauthRequired, match="rotation uncertain"):
        connected.manager().refresh()
    owner.join(20)
    assert connected.record().state is State.ACTIVE and connected.record().generation == 2
    assert connected.manager().tokens() == tokens[0]
    assert connected.counted("reuse") == 0


def test_another_hosts_wrong_clock_does_not_shorten_the_wait(connected: Pleo) -> None:
    """An owner whose clock is behind seems to have started long ago."""
    connected.sandbox.state.set_faults(Fault("delay_after", path="/oauth/token", times=1, seconds=1.0))
    before = connected.manager().tokens().access
    behind = connected.manager(clock=lambda: time.time() - 300)
    owner = threading.Thread(target=behind.refresh)
    owner.start()
    wait_for(lambda: connected.counted("refreshes") == 1)
    end_locks(connected.environ["PLEO_TOKEN_STORE"])
    connected.manager().access_token(rejected=before)
    owner.join(20)
    assert connected.record().generation == 2 and connected.counted("refreshes") == 1 and connected.counted("reuse") == 0


def test_hosts_whose_clocks_differ_by_more_than_a_token_lives_do_not_replace_each_others(connected: Pleo) -> None:
    clients = [connected.client(clock=lambda off=off: time.time() + off) for off in (0.0, 3600.0, -3600.0)]
    for client in clients:
        connected.sandbox.state.expire_access_tokens()
        for other in clients:
            time.sleep(LOOK_EVERY + 0.01)  # a look into the store counts for so long
            assert client.get("/v1/introspect").status_code == other.get("/v1/introspect").status_code == 200
    for client in clients:
        client.close()
    assert connected.counted("refreshes") == len(clients) and connected.counted("reuse") == 0


def test_lost_sessions_are_made_anew(connected: Pleo) -> None:
    url = connected.environ["PLEO_TOKEN_STORE"]
    manager = connected.manager()
    manager.access_token()
    run_sql(url, "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()")
    assert manager.refresh() == manager.tokens()
    run_sql(url, "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()")
    manager.tokens()


# --- poolers ---------------------------------------------------------------------------------


def test_a_pooler_in_transaction_mode_is_refused(environ: dict[str, str]) -> None:
    with sharing_sessions(environ["PLEO_TOKEN_STORE"]) as url:
        store = PostgresTokenStore(url)
        assert store.read(ONE) is None, "the pooler works"
        with pytest.raises(ConfigurationError, match="shares sessions"):
            store.replace(ONE, b"x")
        with pytest.raises(ConfigurationError, match="name the server itself"), store.lock(ONE, 1):
            raise AssertionError("unreachable")
        assert PostgresTokenStore(environ["PLEO_TOKEN_STORE"]).read(ONE) is None


# --- settings, schema, secrets ---------------------------------------------------------------


def test_reading_creates_nothing_and_a_login_creates_the_schema(environ: dict[str, str]) -> None:
    url = environ["PLEO_TOKEN_STORE"]
    store = PostgresTokenStore(url)
    assert store.read(ONE) is None
    assert run_sql(url, "select to_regnamespace('pleo_connector')") == [(None,)]
    threads = [threading.Thread(target=PostgresTokenStore(url).replace, args=(f"sandbox/{number}", b"x")) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert run_sql(url, "select count(*) from pleo_connector.connection") == [(6,)]


def test_a_user_that_may_not_create_anything_can_use_what_is_there(environ: dict[str, str]) -> None:
    url = environ["PLEO_TOKEN_STORE"]
    PostgresTokenStore(url).replace(ONE, b"x")
    role = f"role_{os.getpid()}_{time.monotonic_ns()}"
    run_sql(url, f"create role {role} login")
    run_sql(url, f"grant usage on schema pleo_connector to {role}")
    run_sql(url, f"grant select, insert, update on pleo_connector.connection to {role}")
    assert PostgresTokenStore(url.replace("postgres@", f"{role}@")).replace(ONE, b"y") == 2


def test_tables_of_another_version_are_left_alone(environ: dict[str, str]) -> None:
    url = environ["PLEO_TOKEN_STORE"]
    store = PostgresTokenStore(url)
    store.replace(ONE, b"x")
    run_sql(url, "alter table pleo_connector.connection drop column refreshed_at")
    with pytest.raises(TokenStoreCorrupt, match="left as it is"):
        store.replace(ONE, b"y")
    with pytest.raises(TokenStoreCorrupt, match="left as it is"):
        store.commit(ONE, 1, "x", b"y")


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://user:hunter2-secret@127.0.0.1:1/db", "the connection was refused"),
        ("postgresql://user:hunter2-secret@no-such-host.invalid/db", "not known|: OperationalError;"),
    ],
)
def test_a_server_that_is_not_there_is_told_without_the_password(url: str, says: str) -> None:
    opened = open_store(url)
    with pytest.raises(TokenStoreUnavailable, match=says) as caught:
        opened.store.read(ONE)
    assert "hunter2" not in f"{caught.value!r}{opened!r}{opened.store!r}" and caught.value.__context__ is not None
    assert caught.value.__suppress_context__
    assert "user" not in opened.place


@pytest.mark.parametrize("url", ["postgresql://user:hunter2@secret@host/db", "postgresql://user:hunter2/secret@host/db"])
def test_a_password_that_is_not_encoded_is_refused_without_telling_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match="%40") as caught:
        open_store(url)
    assert "hunter2" not in str(caught.value) and "secret" not in str(caught.value)


def test_what_the_server_says_is_passed_on(environ: dict[str, str]) -> None:
    missing = environ["PLEO_TOKEN_STORE"].replace("/pleo_", "/no_pleo_")
    with pytest.raises(TokenStoreUnavailable, match="does not exist"):
        PostgresTokenStore(missing).read(ONE)


def test_every_host_needs_the_key_so_none_is_made(environ: dict[str, str], tmp_path: Path) -> None:
    with pleo(tmp_path, {"PLEO_TOKEN_STORE": environ["PLEO_TOKEN_STORE"]}) as found:
        with pytest.raises(ConfigurationError, match="set PLEO_TOKEN_KEYS"):
            found.connect()
        found.connect(found.with_(PLEO_TOKEN_KEYS=environ["PLEO_TOKEN_KEYS"]))
        with pytest.raises(WrongKey, match="PLEO_TOKEN_KEYS is not set"):
            found.manager().access_token()


def test_the_status_tells_the_place_and_no_password(connected: Pleo) -> None:
    told = auth.status(connected.settings)
    assert told.store_kind == "postgresql" and "pleo_" in (told.store_place or "") and "postgres@" not in (told.store_place or "")
    assert told.state == "active" and told.generation == 1
