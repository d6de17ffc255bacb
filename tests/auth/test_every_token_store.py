"""One contract for all token stores: a new store is added to STORES, and passes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pleo_connector.auth.stores import Intent, PostgresTokenStore, SqliteTokenStore, State, TokenStore
from pleo_connector.auth.stores.memory import MemoryTokenStore
from pleo_connector.errors import RefreshUnavailable
from tests.postgres_server import new_database

STORES: dict[str, Callable[[Path], TokenStore]] = {
    "memory": lambda _: MemoryTokenStore(),
    "postgresql": lambda _: PostgresTokenStore(new_database()),
    "sqlite": lambda folder: SqliteTokenStore(folder / "private" / "tokens.sqlite"),
}
ONE, TWO = "sandbox/one", "sandbox/two"


@pytest.fixture(params=sorted(STORES))
def store(request: pytest.FixtureRequest, tmp_path: Path) -> TokenStore:
    return STORES[request.param](tmp_path)


def intent(name: str = "abc") -> Intent:
    return Intent(name, "host", 42, 1000.0, 1020.0, access_dead=True)


def test_nothing_is_there_at_first(store: TokenStore) -> None:
    assert store.read(ONE) is None
    assert not store.begin(ONE, 0, intent())
    assert not store.commit(ONE, 0, "abc", b"x")
    assert not store.mark(ONE, 0, State.ACTIVE, "")
    store.delete(ONE)
    assert store.read(ONE) is None


def test_to_prove_that_a_login_could_be_stored_leaves_nothing(store: TokenStore) -> None:
    store.prove_writable()
    assert store.records() == []
    store.replace(ONE, b"one")
    store.begin(ONE, 1, intent())
    before = store.read(ONE)
    store.prove_writable()
    after = store.read(ONE)
    assert before is not None and after is not None
    assert replace(after, read_at=None) == replace(before, read_at=None) and len(store.records()) == 1
    assert store.commit(ONE, 1, "abc", b"two")


def test_a_login_is_stored_and_connections_are_apart(store: TokenStore) -> None:
    assert store.replace(ONE, b"one") == 1
    assert store.replace(TWO, b"two") == 1
    assert store.replace(ONE, b"newer") == 2
    one, two = store.read(ONE), store.read(TWO)
    assert one is not None and two is not None
    assert (one.generation, one.state, one.blob, one.intent, one.reason) == (2, State.ACTIVE, b"newer", None, "")
    assert two.blob == b"two" and one.refreshed_at is not None


def test_the_age_of_tokens_is_told_by_the_stores_own_clock_or_not_at_all(store: TokenStore) -> None:
    """Only where hosts share the store: there their own clocks may differ. What is not an arrival does not make tokens younger."""

    def ago() -> float | None:
        record = store.read(ONE)
        assert record is not None
        return record.stored_ago

    store.replace(ONE, b"one")
    if not isinstance(store, PostgresTokenStore):
        assert ago() is None
        return
    time.sleep(0.2)
    store.begin(ONE, 1, intent())
    store.mark(ONE, 1, State.ACTIVE, "", "abc")
    before = ago()
    assert before is not None and before >= 0.2
    store.begin(ONE, 1, intent())
    store.commit(ONE, 1, "abc", b"two")
    after = ago()
    assert after is not None and after < before


def test_a_login_has_a_name_that_refreshes_keep(store: TokenStore) -> None:
    def lineage() -> str | None:
        record = store.read(ONE)
        return None if record is None else record.lineage

    store.replace(ONE, b"one")
    first = lineage()
    store.begin(ONE, 1, intent())
    store.commit(ONE, 1, "abc", b"two")
    store.mark(ONE, 2, State.REAUTH_REQUIRED, "lost")
    store.rescue(ONE, 2, b"three")
    assert first and lineage() == first
    store.delete(ONE)
    assert lineage() == first
    store.replace(ONE, b"four")
    assert lineage() not in (None, first)


def test_an_intent_is_kept_whole_and_opens_once(store: TokenStore) -> None:
    store.replace(ONE, b"one")
    assert store.begin(ONE, 1, intent())
    record = store.read(ONE)
    assert record is not None and record.state is State.REFRESHING and record.intent == intent() and record.blob == b"one"
    assert not store.begin(ONE, 1, intent("other")), "an open intent must not be overwritten"


def test_commit_needs_the_open_intent_and_its_generation(store: TokenStore) -> None:
    store.replace(ONE, b"one")
    assert not store.commit(ONE, 1, "abc", b"x"), "nothing was begun"
    store.begin(ONE, 1, intent())
    assert not store.commit(ONE, 1, "other", b"x")
    assert not store.commit(ONE, 2, "abc", b"x")
    assert store.commit(ONE, 1, "abc", b"next")
    record = store.read(ONE)
    assert record is not None and (record.generation, record.state, record.blob, record.intent) == (2, State.ACTIVE, b"next", None)
    assert not store.commit(ONE, 1, "abc", b"again")


def test_a_late_commit_never_beats_a_newer_login(store: TokenStore) -> None:
    store.replace(ONE, b"one")
    store.begin(ONE, 1, intent())
    store.replace(ONE, b"login")
    assert not store.commit(ONE, 1, "abc", b"late")
    record = store.read(ONE)
    assert record is not None and (record.generation, record.blob, record.state) == (2, b"login", State.ACTIVE)


def test_a_late_commit_never_revives_what_was_disconnected(store: TokenStore) -> None:
    store.replace(ONE, b"one")
    store.begin(ONE, 1, intent())
    store.delete(ONE)
    assert not store.commit(ONE, 1, "abc", b"late")
    record = store.read(ONE)
    assert record is not None and (record.state, record.blob, record.intent) == (State.DISCONNECTED, None, None)
    assert store.replace(ONE, b"again") == 3, "generations only grow"


def test_mark_is_bound_to_the_generation_and_clears_the_intent(store: TokenStore) -> None:
    store.replace(ONE, b"one")
    store.begin(ONE, 1, intent())
    assert not store.mark(ONE, 9, State.REAUTH_REQUIRED, "no")
    assert store.mark(ONE, 1, State.REAUTH_REQUIRED, "because")
    record = store.read(ONE)
    assert record is not None and (record.state, record.reason, record.intent, record.blob) == (
        State.REAUTH_REQUIRED,
        "because",
        None,
        b"one",
    )
    assert not store.begin(ONE, 1, intent()), "no refresh of a grant that is gone"


def test_only_one_holds_the_lock(store: TokenStore) -> None:
    holding, done, refused = threading.Event(), threading.Event(), []

    def hold() -> None:
        with store.lock(ONE, 1) as handle:
            assert handle.still_held()
            holding.set()
            done.wait(5)

    thread = threading.Thread(target=hold)
    thread.start()
    holding.wait(5)
    try:
        with store.lock(ONE, 0.1):
            pass
    except RefreshUnavailable as error:
        refused.append(str(error))
    with store.lock(TWO, 1):
        pass  # another connection is another lock
    done.set()
    thread.join()
    assert len(refused) == 1
    with store.lock(ONE, 1) as handle:
        assert handle.still_held()


def test_the_lock_is_free_again_after_an_error(store: TokenStore) -> None:
    with pytest.raises(ZeroDivisionError), store.lock(ONE, 1):
        raise ZeroDivisionError
    with store.lock(ONE, 0.1):
        pass


def test_one_of_many_racers_begins(store: TokenStore) -> None:
    store.replace(ONE, b"one")
    won: list[str] = []

    def race(name: str) -> None:
        if store.begin(ONE, 1, intent(name)):
            won.append(name)

    threads = [threading.Thread(target=race, args=(str(number),)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    record = store.read(ONE)
    assert record is not None and record.intent is not None and won == [record.intent.id]


def test_mark_may_be_bound_to_the_intent(store: TokenStore) -> None:
    """Somebody stopped for long must not clear the intent of whoever went on without it."""
    store.replace(ONE, b"one")
    store.begin(ONE, 1, intent("mine"))
    assert not store.mark(ONE, 1, State.ACTIVE, "", "other")
    record = store.read(ONE)
    assert record is not None and record.intent == intent("mine")
    assert store.mark(ONE, 1, State.ACTIVE, "", "mine")
    assert not store.mark(ONE, 1, State.ACTIVE, "", "mine"), "it is not open any more"


def test_tokens_of_an_owner_taken_for_dead_are_rescued_unless_there_are_newer_ones(store: TokenStore) -> None:
    store.replace(ONE, b"one")
    assert not store.rescue(ONE, 1, b"late"), "nobody gave it up"
    store.mark(ONE, 1, State.REAUTH_REQUIRED, "lost")
    assert not store.rescue(ONE, 2, b"late")
    assert store.rescue(ONE, 1, b"late")
    record = store.read(ONE)
    assert record is not None and (record.generation, record.state, record.blob, record.reason) == (2, State.ACTIVE, b"late", "")
    store.mark(ONE, 2, State.REAUTH_REQUIRED, "lost")
    store.replace(ONE, b"login")
    assert not store.rescue(ONE, 2, b"late")
    store.delete(ONE)
    assert not store.rescue(ONE, 4, b"late") and not store.rescue(TWO, 1, b"late")


def test_the_holder_of_the_lock_is_told(store: TokenStore) -> None:
    assert store.holder(ONE) is None
    with store.lock(ONE, 1):
        assert store.holder(ONE)
        assert store.holder(TWO) is None
    assert store.holder(ONE) is None
