from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from cryptography.fernet import Fernet

from pleo_connector import auth
from pleo_connector.auth.answers import Refused
from pleo_connector.auth.connection import binding_of, keys_of
from pleo_connector.auth.manager import LOOK_EVERY
from pleo_connector.auth.stores import OpenedStore, State, open_store
from pleo_connector.auth.token import DEFAULT_LIFETIME, TokenSet, lifetime_from
from pleo_connector.errors import (
    ClientRejected,
    ConfigurationError,
    CredentialError,
    PleoError,
    ReauthRequired,
    RefreshUnavailable,
    TokenStoreCorrupt,
    TokenStoreUnavailable,
    WrongKey,
)
from pleo_connector.sandbox import Fault
from tests.auth.harness import Pleo, pleo
from tests.auth.test_asking_the_token_endpoint import JUNK
from tests.postgres_server import new_database

NO_INTROSPECTION = Fault("status", path="/oauth/token/introspect", status=404)


def token_fault(kind: str, **more: object) -> Fault:
    return Fault(kind, path="/oauth/token", times=1, **more)  # type: ignore[arg-type]


# --- when it is due --------------------------------------------------------------------------


@pytest.mark.parametrize(("lifetime", "leeway"), [(900, 90), (120, 15), (20, 10), (4, 2), (86400, 8640)])
def test_the_leeway_is_a_tenth_at_least_fifteen_seconds_at_most_half(lifetime: float, leeway: float) -> None:
    tokens = TokenSet(auth.Secret("a"), auth.Secret("r"), issued_at=1000, lifetime=lifetime)
    assert tokens.leeway == leeway
    assert not tokens.is_due(1000 + lifetime - leeway - 0.1) and tokens.is_due(1000 + lifetime - leeway)


@pytest.mark.parametrize("odd", [None, 0, -1, 1e12, "soon", float("nan"), True, [900], float("inf")])
def test_an_odd_expires_in_is_taken_for_five_minutes(odd: object) -> None:
    assert lifetime_from(odd) == DEFAULT_LIFETIME


@pytest.mark.parametrize("fine", [900, 900.0, "900"])
def test_a_sensible_expires_in_is_believed(fine: object) -> None:
    assert lifetime_from(fine) == 900


def test_a_fresh_token_is_used_as_it_is(connected: Pleo) -> None:
    with connected.client() as client:
        for _ in range(3):
            assert client.get("/v1/introspect").status_code == 200
    assert connected.counted("token_requests") == 0


def test_a_due_token_is_refreshed_once_and_stored(connected: Pleo) -> None:
    before = connected.record()
    manager = connected.manager(clock=lambda: time.time() + 850)
    token = manager.access_token()
    assert manager.access_token() == token
    after = connected.record()
    assert (after.generation, after.state, after.intent) == (before.generation + 1, State.ACTIVE, None)
    assert connected.counted("refreshes") == 1 and connected.counted("reuse") == 0
    with connected.client() as client:
        assert client.get("/v1/introspect").status_code == 200


def test_a_clock_set_back_does_not_keep_a_dead_token(connected: Pleo) -> None:
    connected.manager(clock=lambda: time.time() - 3600).access_token()
    assert connected.counted("refreshes") == 1


# --- 401 between calls -----------------------------------------------------------------------


def test_a_401_between_two_calls_is_mended_unseen(connected: Pleo) -> None:
    with connected.client() as client:
        for _ in range(3):
            connected.sandbox.state.expire_access_tokens()
            assert client.get("/v1/introspect").status_code == 200
    assert connected.counted("refreshes") == 3 and connected.counted("reuse") == 0


def test_another_process_refreshed_first_so_the_401_needs_no_refresh(connected: Pleo) -> None:
    with connected.client() as client:
        client.get("/v1/introspect")
        connected.manager().refresh()
        assert client.get("/v1/introspect").status_code == 200
    assert connected.counted("refreshes") == 1


def test_a_second_401_running_is_an_error_that_says_what_to_do(connected: Pleo) -> None:
    connected.sandbox.state.set_faults(Fault("status", path="/v1/introspect", status=401))
    with connected.client() as client, pytest.raises(ReauthRequired, match="pleo-connector connect"):
        client.get("/v1/introspect")
    assert connected.counted("refreshes") == 1
    assert connected.sandbox.counters()["by_path"]["/v1/introspect"] == 2


def test_a_token_that_others_replaced_on_its_way_is_no_refusal(connected: Pleo) -> None:
    """Refreshes by other processes kill what this request carries, twice running: nothing is wrong with the grant."""
    elsewhere = connected.manager()
    manager = connected.manager()
    taken = manager.access_token

    def overtaken(rejected: auth.Secret | None = None) -> auth.Secret:
        token = taken(rejected)
        if sent < 3:
            elsewhere.refresh()
        return token

    sent = 0

    def count(_: httpx.Request) -> None:
        nonlocal sent
        sent += 1

    manager.access_token = overtaken  # type: ignore[method-assign]
    with httpx.Client(base_url=connected.url, auth=auth.PleoAuth(manager, [connected.url]), trust_env=False) as client:
        client.event_hooks = {"request": [count]}
        assert client.get("/v1/introspect").status_code == 200
    assert connected.sandbox.counters()["by_path"]["/v1/introspect"] == 4
    assert connected.counted("refreshes") == 3 and connected.counted("reuse") == 0


def test_a_403_never_refreshes(connected: Pleo) -> None:
    connected.sandbox.state.set_faults(Fault("status", path="/v1/introspect", status=403))
    with connected.client() as client:
        assert client.get("/v1/introspect").status_code == 403
    assert connected.counted("token_requests") == 0


def test_a_body_that_cannot_be_sent_again_is_not(connected: Pleo) -> None:
    def once() -> Iterator[bytes]:
        yield b"{}"

    connected.sandbox.state.expire_access_tokens()
    with connected.client() as client:
        assert client.post("/v1/vendors:search", content=once()).status_code == 401
        assert connected.counted("token_requests") == 0


# --- what Pleo may answer --------------------------------------------------------------------


def test_a_revoked_grant_is_reported_once_and_then_nobody_asks_again(connected: Pleo) -> None:
    connected.sandbox.state.revoke_grants()
    with connected.client() as client:
        for _ in range(3):
            with pytest.raises(ReauthRequired, match="run `pleo-connector connect`"):
                client.get("/v1/introspect")
    with pytest.raises(ReauthRequired):
        connected.manager().access_token()
    assert connected.counted("token_requests") == 1
    assert connected.record().state is State.REAUTH_REQUIRED
    assert connected.connect().generation == connected.record().generation
    with connected.client() as client:
        assert client.get("/v1/introspect").status_code == 200


@pytest.mark.parametrize("method", ["basic", "post"])
def test_a_wrong_client_secret_keeps_the_tokens(connected: Pleo, method: str) -> None:
    before = connected.record()
    wrong = connected.with_(PLEO_CLIENT_SECRET="not the secret", PLEO_CLIENT_AUTH=method)
    with pytest.raises(ClientRejected, match=r"PLEO_CLIENT_ID, PLEO_CLIENT_SECRET and PLEO_CLIENT_AUTH") as caught:
        connected.manager(wrong).refresh()
    assert "not the secret" not in str(caught.value)
    after = connected.record()
    assert (after.state, after.generation, after.blob) == (State.ACTIVE, before.generation, before.blob)
    assert connected.counted("token_requests") == 1
    connected.manager().refresh()
    assert connected.counted("refreshes") == 1


def test_post_authentication_works_too(connected: Pleo) -> None:
    connected.manager(connected.with_(PLEO_CLIENT_AUTH="post")).refresh()
    assert connected.counted("refreshes") == 1


def test_another_oauth_error_is_a_configuration_error(connected: Pleo) -> None:
    connected.sandbox.state.set_faults(token_fault("status", status=400, error="invalid_scope"))
    with pytest.raises(ConfigurationError, match="invalid_scope"):
        connected.manager().refresh()
    assert connected.record().state is State.ACTIVE


def test_nothing_connected_says_which_command(tmp_path: Path) -> None:
    with pleo(tmp_path) as found, found.client() as client, pytest.raises(ReauthRequired, match="run `pleo-connector connect`"):
        client.get("/v1/introspect")
    assert not (tmp_path / "state").exists()


def test_a_process_that_was_up_before_the_login_uses_it(unconnected: Pleo) -> None:
    with unconnected.client() as client:
        with pytest.raises(ReauthRequired):
            client.get("/v1/introspect")
        unconnected.connect()
        assert client.get("/v1/introspect").status_code == 200


def test_an_unreachable_authorisation_host_keeps_everything(connected: Pleo) -> None:
    def refuse(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    waits: list[float] = []
    manager = connected.manager(transport=httpx.MockTransport(refuse), sleep=waits.append)
    with pytest.raises(RefreshUnavailable, match="PLEO_AUTH_URL"):
        manager.refresh()
    assert len(waits) == 5
    assert connected.record().state is State.ACTIVE
    connected.manager().refresh()


def test_while_the_old_token_lives_a_failed_refresh_is_no_failure(connected: Pleo) -> None:
    connected.sandbox.state.set_faults(Fault("status", path="/oauth/token", status=503))
    waits: list[float] = []
    manager = connected.manager(clock=lambda: time.time() + 850, sleep=waits.append)
    first = manager.access_token()
    assert manager.access_token() == first and waits == []
    assert connected.sandbox.counters()["by_path"]["/oauth/token"] == 1, "it asks again later, not at every call"
    connected.sandbox.state.set_faults()
    assert connected.manager(clock=lambda: time.time() + 860).access_token() != first, "ten seconds later"


def test_backoff_honours_retry_after_and_ends(connected: Pleo) -> None:
    connected.sandbox.state.set_faults(Fault("status", path="/oauth/token", status=429, retry_after=7, times=5))
    time_ = FakeTime()
    connected.manager(monotonic=time_, sleep=time_.sleep).refresh()
    assert len(time_.slept) == 5 and all(7 <= wait <= 30 for wait in time_.slept)
    assert connected.counted("token_requests") == 1 and connected.counted("refreshes") == 1

    connected.sandbox.state.set_faults(Fault("status", path="/oauth/token", status=503))
    with pytest.raises(RefreshUnavailable, match="503"):
        connected.manager(monotonic=time_, sleep=time_.sleep).refresh()
    assert len(time_.slept) == 10


@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_retry_after_counts_for_every_process_and_call(tmp_path: Path, kind: str) -> None:
    """Pleo is asked once; the others, and later calls, wait or say until when."""
    store = {} if kind == "sqlite" else {"PLEO_TOKEN_STORE": new_database(), "PLEO_TOKEN_KEYS": Fernet.generate_key().decode()}
    with pleo(tmp_path, store, requests_per_minute=0) as found:
        found.connect()
        found.sandbox.state.reset_counters()
        found.sandbox.state.set_faults(Fault("status", path="/oauth/token$", status=429, retry_after=600, times=1))
        for _ in range(4):
            with pytest.raises(RefreshUnavailable, match=r"429.*wait until 2|left alone until 2") as caught:
                found.manager().refresh()
            assert 500 < (caught.value.retry_after or 0) <= 600
        assert found.manager().access_token(), "the present token is used meanwhile"
        assert found.sandbox.counters()["faults"]["status"] == 1 and found.counted("token_requests") == 0


def test_four_that_are_told_to_wait_do_so_together(tmp_path: Path) -> None:
    with pleo(tmp_path, requests_per_minute=0) as found:
        found.connect()
        found.sandbox.state.reset_counters()
        found.sandbox.state.set_faults(Fault("status", path="/oauth/token$", status=429, retry_after=2, times=1))
        rejected = found.manager().tokens().access
        with ThreadPoolExecutor(4) as pool:
            got = list(pool.map(lambda manager: manager.access_token(rejected=rejected), [found.manager() for _ in range(4)]))
        assert got == [found.manager().tokens().access] * 4
        assert found.counted("refreshes") == 1 and found.counted("sent_before_retry_after") == 0


# --- lost answers ----------------------------------------------------------------------------

UNPROCESSED: list[tuple[str, dict[str, object]]] = [
    ("reset", {}),
    ("status", {"status": 503}),
    ("status", {"status": 500}),
    ("status", {"status": 429}),
    ("status", {"status": 408}),
    ("status", {"status": 400, "error": "temporarily_unavailable"}),
    ("html", {}),
]
ROTATED: list[tuple[str, dict[str, object]]] = [
    ("reset", {"after_effect": True}),
    ("truncated", {}),
    ("cut", {}),
    ("status", {"status": 502, "after_effect": True}),
    ("status", {"status": 503, "after_effect": True}),
    ("status", {"status": 504, "after_effect": True}),
    ("status", {"status": 408, "after_effect": True}),
]


def prepared(tmp_path_pleo: Pleo, oracle: str) -> tuple[Fault, ...]:
    """Connect again so that the tokens know what the server can tell; returns the faults that keep it so."""
    faults = () if oracle == "introspection" else (NO_INTROSPECTION,)
    tmp_path_pleo.sandbox.state.set_faults(*faults)
    tmp_path_pleo.connect()
    tmp_path_pleo.sandbox.state.reset_counters()
    return faults


def refresh_with(found: Pleo, oracle: str) -> None:
    manager = found.manager(sleep=lambda seconds: time.sleep(min(seconds, 0.1)))
    if oracle == "none":
        token = manager.access_token()
        found.sandbox.state.expire_access_tokens()
        manager.access_token(rejected=token)
    else:
        manager.refresh()


@pytest.mark.parametrize("oracle", ["introspection", "probe", "none"])
@pytest.mark.parametrize(("kind", "more"), UNPROCESSED)
def test_a_refresh_that_was_not_processed_is_done_again(connected: Pleo, oracle: str, kind: str, more: dict[str, object]) -> None:
    connected.sandbox.state.set_faults(*prepared(connected, oracle), token_fault(kind, **more))
    refresh_with(connected, oracle)
    assert connected.counted("refreshes") == 1 and connected.counted("reuse") == 0 and connected.counted("revoked_grants") == 0
    with connected.client() as client:
        assert client.get("/v1/introspect").status_code == 200


@pytest.mark.parametrize("oracle", ["introspection", "probe", "none"])
@pytest.mark.parametrize(("kind", "more"), ROTATED)
def test_a_rotation_whose_answer_was_lost_is_reported(connected: Pleo, oracle: str, kind: str, more: dict[str, object]) -> None:
    connected.sandbox.state.set_faults(*prepared(connected, oracle), token_fault(kind, **more))
    before = connected.record()
    with pytest.raises(ReauthRequired, match=r"rotation uncertain.*pleo-connector connect"):
        refresh_with(connected, oracle)
    record = connected.record()
    assert before == replace(record, state=State.ACTIVE, reason="", intent=None, updated_at=before.updated_at), "the tokens' bytes stay"
    assert record.state is State.REAUTH_REQUIRED and "pid=" in record.reason and "last good refresh" in record.reason
    assert connected.counted("refreshes") == 1
    # Without an oracle one last retry is sent: if it is reuse, the grant was lost before.
    assert connected.counted("reuse") == (1 if oracle == "none" else 0)
    posts = connected.counted("token_requests")
    with pytest.raises(ReauthRequired):
        connected.manager().access_token()
    assert connected.counted("token_requests") == posts


def test_when_the_oracle_is_unreachable_too_nothing_is_given_up(connected: Pleo) -> None:
    """The network dies right after the request was sent: the intent stays, and is resolved later."""
    connected.sandbox.state.set_faults(Fault("reset", path="/"))
    with pytest.raises(RefreshUnavailable):
        connected.manager(sleep=lambda _: None).refresh()
    assert connected.record().state is State.REFRESHING
    connected.sandbox.state.set_faults()
    connected.manager().refresh()
    assert connected.record().state is State.ACTIVE
    assert connected.counted("refreshes") == 1 and connected.counted("reuse") == 0


def test_a_loser_that_is_refused_uses_the_winners_tokens(connected: Pleo) -> None:
    """Between its POST and the answer somebody else's tokens were stored: invalid_grant is then no news."""
    opened = open_store(connected.environ["PLEO_TOKEN_STORE"])
    keys, binding = keys_of(connected.settings, opened), binding_of(connected.settings)
    assert keys is not None
    winner = TokenSet(auth.Secret("winners-access"), auth.Secret("winners-refresh"), issued_at=time.time(), lifetime=900)
    posts: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        posts.append(request.url.path)
        record = opened.store.read(binding.connection)
        assert record is not None and record.intent is not None
        assert opened.store.commit(binding.connection, record.generation, record.intent.id, keys.seal(winner, binding))
        return httpx.Response(400, json={"error": "invalid_grant"})

    tokens = connected.manager(transport=httpx.MockTransport(answer)).refresh()
    assert (tokens.access, tokens.refresh) == (winner.access, winner.refresh) and posts == ["/oauth/token"]
    assert connected.record().state is State.ACTIVE and connected.record().generation == 2


@pytest.mark.parametrize(("response", "kind"), JUNK)
def test_junk_never_reaches_the_store(connected: Pleo, response: httpx.Response, kind: type) -> None:
    before = connected.record().blob

    def answer(request: httpx.Request) -> httpx.Response:
        junk = httpx.Response(response.status_code, headers=response.headers, content=b"" if kind is Refused else b"<junk>")
        return junk if request.url.path == "/oauth/token" else httpx.Response(404)

    with pytest.raises(PleoError):
        connected.manager(transport=httpx.MockTransport(answer), sleep=lambda _: None).refresh()
    assert connected.record().blob == before and connected.record().generation == 1


@pytest.mark.parametrize("off", [300.0, -300.0])
def test_clocks_that_are_five_minutes_off_fail_no_call(connected: Pleo, off: float) -> None:
    wrong, right = connected.client(clock=lambda: time.time() + off), connected.client()
    with wrong, right:
        for client in (wrong, right) * 3:
            connected.sandbox.state.expire_access_tokens()
            assert client.get("/v1/introspect").status_code == 200
            time.sleep(LOOK_EVERY + 0.01)  # a look into the store counts for so long
    assert 6 <= connected.counted("refreshes") <= 12 and connected.counted("reuse") == 0


def test_a_clock_that_steps_during_a_run_costs_a_refresh_and_no_call(connected: Pleo) -> None:
    """Back by an hour, and forth: as a wrong time server does, or a switch to winter time on a clock that keeps local time."""
    steps = [0.0]
    with connected.client(clock=lambda: time.time() + sum(steps)) as client:
        for step, seconds in enumerate((0.0, -3600.0, 3600.0, 3600.0, -3600.0)):
            steps.append(seconds)
            for _ in range(3):
                assert client.get("/v1/introspect").status_code == 200
            assert connected.counted("refreshes") <= step, "one for each step at most"
            time.sleep(LOOK_EVERY + 0.01)
    assert connected.counted("refreshes") >= 1 and connected.counted("reuse") == 0


# --- logins and refreshes at once ------------------------------------------------------------


def test_a_login_during_a_refresh_wins(connected: Pleo) -> None:
    connected.sandbox.state.set_faults(token_fault("delay_after", seconds=0.8))
    results: list[auth.Secret] = []
    thread = threading.Thread(target=lambda: results.append(connected.manager().refresh().access))
    thread.start()
    until(lambda: connected.counted("refreshes") == 1)
    connected.connect()
    login = connected.manager().tokens()
    thread.join()
    assert results == [login.access]
    assert connected.record().state is State.ACTIVE and connected.manager().tokens() == login


def test_disconnect_waits_for_a_refresh_and_is_final(connected: Pleo) -> None:
    connected.sandbox.state.set_faults(token_fault("delay_after", seconds=0.5))
    thread = threading.Thread(target=connected.manager().refresh)
    thread.start()
    until(lambda: connected.counted("refreshes") == 1)
    assert "forgotten here" in auth.disconnect(connected.settings)
    thread.join()
    assert connected.record().state is State.DISCONNECTED and connected.record().blob is None
    with pytest.raises(ReauthRequired):
        connected.manager().access_token()


def until(true: object, seconds: float = 60.0) -> None:
    end = time.monotonic() + seconds
    while not true():  # type: ignore[operator]
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


# --- the store and its key -------------------------------------------------------------------


class FailingCommits:
    """The real store, whose commits fail as a full disk would."""

    def __init__(self, opened: OpenedStore, failures: float) -> None:
        self._store = opened.store
        self.failures = failures

    def __getattr__(self, name: str) -> object:
        return getattr(self._store, name)

    def commit(self, connection: str, generation: int, intent_id: str, blob: bytes) -> bool:
        if self.failures > 0:
            self.failures -= 1
            raise TokenStoreUnavailable("disk full.")
        return self._store.commit(connection, generation, intent_id, blob)


class FakeTime:
    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept.append(seconds)


def failing(connected: Pleo, failures: float, folders: tuple[Path, ...]) -> tuple[OpenedStore, FailingCommits]:
    opened = open_store(connected.environ["PLEO_TOKEN_STORE"])
    store = FailingCommits(opened, failures)
    return replace(opened, store=store, spill_folders=folders), store  # type: ignore[arg-type]


def test_a_store_that_fails_for_a_while_gets_the_tokens_in_the_end(connected: Pleo) -> None:
    opened, _ = failing(connected, 7, ())
    time_ = FakeTime()
    connected.manager(opened=opened, monotonic=time_, sleep=time_.sleep).refresh()
    assert connected.record().generation == 2 and time_.now < 60
    assert connected.counted("refreshes") == 1


def test_tokens_that_cannot_be_stored_are_spilled_and_adopted_by_the_next_start(connected: Pleo, tmp_path: Path) -> None:
    opened, _ = failing(connected, float("inf"), (tmp_path / "missing", tmp_path))
    time_ = FakeTime()
    with pytest.raises(TokenStoreUnavailable, match=r"\.spill, sealed"):
        connected.manager(opened=opened, monotonic=time_, sleep=time_.sleep).refresh()
    (spilled,) = tmp_path.glob("*.spill")
    assert spilled.stat().st_mode & 0o777 == 0o600
    healthy = replace(open_store(connected.environ["PLEO_TOKEN_STORE"]), spill_folders=(tmp_path,))
    token = connected.manager(opened=healthy).access_token()
    assert connected.counted("refreshes") == 1 and connected.counted("reuse") == 0
    assert connected.record().generation == 2 and list(tmp_path.glob("*.spill")) == []
    assert httpx.get(connected.url + "/v1/introspect", headers={"Authorization": f"Bearer {token.reveal()}"}).status_code == 200


def test_with_no_place_to_spill_the_process_itself_keeps_them(connected: Pleo) -> None:
    opened, store = failing(connected, float("inf"), ())
    time_ = FakeTime()
    manager = connected.manager(opened=opened, monotonic=time_, sleep=time_.sleep)
    with pytest.raises(TokenStoreUnavailable, match="do not stop it"):
        manager.refresh()
    store.failures = 0
    manager.access_token()
    assert connected.record().generation == 2 and connected.counted("refreshes") == 1


def test_a_wrong_key_changes_nothing_and_is_not_called_disconnected(connected: Pleo) -> None:
    before = connected.record()
    wrong = connected.with_(PLEO_TOKEN_KEYS=Fernet.generate_key().decode())
    for attempt in (
        lambda: connected.manager(wrong).access_token(),
        lambda: connected.manager(wrong).refresh(),
        lambda: auth.status(wrong),
        lambda: connected.connect(wrong),
    ):
        with pytest.raises(WrongKey, match="PLEO_TOKEN_KEYS"):
            attempt()
    assert connected.record() == before and connected.counted("token_requests") == 0
    connected.manager().access_token()


def test_a_lost_key_file_is_a_wrong_key_and_no_new_one_is_made(connected: Pleo, tmp_path: Path) -> None:
    (key,) = (tmp_path / "state").glob("*.key")
    key.unlink()
    with pytest.raises(WrongKey, match="pleo-connector disconnect"):
        connected.manager().access_token()
    with pytest.raises(WrongKey):
        connected.connect()
    assert not key.exists()
    auth.disconnect(connected.settings)
    connected.connect()
    assert key.stat().st_mode & 0o777 == 0o600


def test_keys_rotate_by_putting_a_new_one_first(tmp_path: Path) -> None:
    old, new = Fernet.generate_key().decode(), Fernet.generate_key().decode()
    with pleo(tmp_path) as found:
        found.connect(found.with_(PLEO_TOKEN_KEYS=old))
        assert not list((tmp_path / "state").glob("*.key"))
        found.manager(found.with_(PLEO_TOKEN_KEYS=f"{new}, {old}")).refresh()
        found.manager(found.with_(PLEO_TOKEN_KEYS=new)).access_token()
        with pytest.raises(WrongKey):
            found.manager(found.with_(PLEO_TOKEN_KEYS=old)).access_token()


def test_another_servers_tokens_are_not_sent_anywhere(connected: Pleo) -> None:
    elsewhere = connected.with_(PLEO_AUTH_URL="https://auth.staging.pleo.io")
    with pytest.raises(ReauthRequired, match="were issued by"):
        connected.manager(elsewhere).access_token()


def test_a_corrupt_store_is_reported_and_left_alone(connected: Pleo) -> None:
    path = Path(connected.environ["PLEO_TOKEN_STORE"])
    path.write_bytes(b"scribble" * 1000)
    for attempt in (lambda: connected.manager().access_token(), lambda: auth.status(connected.settings), connected.connect):
        with pytest.raises(TokenStoreCorrupt, match="left as it is"):
            attempt()
    assert path.read_bytes() == b"scribble" * 1000


def test_every_failure_is_one_of_ours(connected: Pleo) -> None:
    assert issubclass(TokenStoreCorrupt, CredentialError) and issubclass(WrongKey, CredentialError)
