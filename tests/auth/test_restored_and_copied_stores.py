"""A token store that was put back from a backup, or copied, is noticed before anything is sent; one that is in order never is."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from pleo_connector import auth
from pleo_connector.auth.stores import Intent, PostgresTokenStore, SqliteTokenStore, open_store
from pleo_connector.errors import StaleTokenStore
from tests.auth import refresher_process
from tests.auth.harness import Pleo
from tests.postgres_server import new_database, run_sql

CHECKOUT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Place:
    """A connected connector, and how its store is backed up, put back, and made as the first version made it."""

    pleo: Pleo
    back_up: Callable[[], object]
    put_back: Callable[[], object]
    age: Callable[[], object]

    @property
    def store(self) -> str:
        return self.pleo.environ["PLEO_TOKEN_STORE"]

    @property
    def shared(self) -> bool:
        return self.store.startswith("postgresql")

    @property
    def marks(self) -> Path:
        return Path(self.pleo.environ["PLEO_HOST_MARKS"])

    def at(self, **environ: str) -> Pleo:
        return replace(self.pleo, environ={**self.pleo.environ, **environ})


@pytest.fixture(params=["postgresql", "sqlite"])
def place(request: pytest.FixtureRequest, unconnected: Pleo, tmp_path: Path) -> Iterator[Place]:
    url = new_database() if request.param == "postgresql" else unconnected.environ["PLEO_TOKEN_STORE"]
    keys = {"PLEO_TOKEN_KEYS": Fernet.generate_key().decode(), "PLEO_HOST_MARKS": str(tmp_path / "host")}
    connected = replace(unconnected, environ={**unconnected.environ, **keys, "PLEO_TOKEN_STORE": url})
    connected.connect()
    connected.sandbox.state.reset_counters()
    if request.param == "postgresql":
        table = "pleo_connector.connection"
        yield Place(
            connected,
            back_up=lambda: run_sql(url, f"drop table if exists backup; create table backup as table {table}"),
            put_back=lambda: run_sql(url, f"begin; delete from {table}; insert into {table} select * from backup; commit"),
            age=lambda: run_sql(url, f"alter table {table} drop column lineage"),
        )
    else:
        backup = tmp_path / "backup.sqlite"
        yield Place(
            connected,
            back_up=lambda: shutil.copy2(url, backup),
            put_back=lambda: shutil.copy2(backup, url),
            age=lambda: _without_later_columns(Path(url)),
        )


def _without_later_columns(file: Path) -> None:
    db = sqlite3.connect(file)
    for column in ("lineage", "host"):
        db.execute(f"alter table connection drop column {column}")
    db.commit()
    db.close()


def refused(pleo: Pleo, says: str, *, by_a_new_process: bool = False) -> str:
    """What everybody is told who asks for a token; nothing reaches the token endpoint, and no grant ends."""
    before = pleo.sandbox.counters()
    messages = []
    for ask in (lambda: pleo.manager().access_token(), lambda: pleo.manager().refresh()):
        with pytest.raises(StaleTokenStore, match=says) as error:
            ask()
        messages.append(str(error.value))
    if by_a_new_process:
        environ = {**os.environ, **pleo.environ, "PYTHONPATH": str(CHECKOUT)}
        ended = subprocess.run(
            [sys.executable, refresher_process.__file__, "once"], env=environ, capture_output=True, text=True, timeout=60, check=False
        )
        assert "StaleTokenStore" in ended.stderr and messages[0] in ended.stderr, ended.stderr
    after = pleo.sandbox.counters()
    assert (after["token_requests"], after["reuse"], after["refreshes"]) == (before["token_requests"], before["reuse"], before["refreshes"])
    assert after["live_grants"] == before["live_grants"] >= 1
    assert len(set(messages)) == 1 and "pleo-connector connect" in messages[0]
    return messages[0]


def test_an_older_copy_put_back_is_refused_until_somebody_connects(place: Place, tmp_path: Path) -> None:
    pleo, elsewhere = place.pleo, place.at(PLEO_HOST_MARKS=str(tmp_path / "other host"))
    place.back_up()
    running = pleo.manager()
    running.refresh()
    pleo.manager().refresh()
    if place.shared:
        elsewhere.manager().refresh()  # several hosts share such a store
    newest = pleo.record().generation
    pleo.manager().access_token()
    place.put_back()
    message = refused(pleo, "older copy", by_a_new_process=True)
    assert "generation 1 of" in message and f"generation {newest}:" in message and place.store.rpartition("@")[2] in message
    with pytest.raises(StaleTokenStore):
        running.refresh()  # it was up all the time
    told = auth.status(pleo.settings)
    assert (told.state, told.reason) == ("stale", message)
    if place.shared:
        with pytest.raises(StaleTokenStore):
            elsewhere.manager().access_token()
    pleo.connect()
    for host in (pleo, elsewhere) if place.shared else (pleo,):
        host.manager().refresh()
        assert auth.status(host.settings).state == "active"
    running.refresh()
    assert pleo.counted("reuse") == 0


def test_a_backup_of_an_open_refresh_is_refused_before_anybody_is_asked(place: Place) -> None:
    record = place.pleo.record()
    store = open_store(place.store).store
    assert store.begin(record.connection, record.generation, Intent("abc", "another-host", 1, 0.0, 0.1))
    place.back_up()
    place.pleo.manager().refresh()
    place.put_back()
    introspections = place.pleo.sandbox.counters()["by_path"].get("/oauth/token/introspect", 0)
    refused(place.pleo, "older copy")
    assert place.pleo.sandbox.counters()["by_path"].get("/oauth/token/introspect", 0) == introspections


def test_a_backup_of_before_a_login_or_a_disconnect_is_refused(place: Place) -> None:
    place.back_up()
    place.pleo.connect()
    place.put_back()
    refused(place.pleo, "older copy")
    place.pleo.connect()
    place.back_up()
    auth.disconnect(place.pleo.settings)
    place.put_back()
    refused(place.pleo, "older copy")


def test_a_backup_after_which_nothing_happened_is_fine(place: Place) -> None:
    place.pleo.manager().refresh()
    place.back_up()
    place.put_back()
    place.pleo.manager().refresh()
    assert place.pleo.counted("reuse") == 0


def test_a_store_of_the_first_version_goes_on_and_is_watched_too(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.age()
    shutil.rmtree(place.marks)
    place.back_up()
    place.pleo.manager().access_token()
    place.pleo.manager().refresh()
    place.pleo.manager().refresh()
    assert place.pleo.record().generation == 3 and not caplog.records
    assert (place.pleo.record().lineage is None) == place.shared, "a file gets its columns by itself, a database at the next login"
    place.put_back()
    refused(place.pleo, "older copy")
    place.pleo.connect()
    place.pleo.manager().refresh()
    assert place.pleo.record().lineage is not None and place.pleo.counted("reuse") == 0


def test_a_store_made_anew_at_the_same_place_is_no_older_copy(place: Place) -> None:
    for _ in range(3):
        place.pleo.manager().refresh()
    if place.shared:
        run_sql(place.store, "drop schema pleo_connector cascade")
    else:
        Path(place.store).unlink()
    place.pleo.connect()
    assert place.pleo.record().generation == 1
    place.pleo.manager().refresh()


def test_without_marks_nothing_is_refused(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """A crash before the mark was written, or a new container of a shared store."""
    place.pleo.manager().refresh()
    shutil.rmtree(place.marks)
    for _ in range(2):
        place.pleo.manager().refresh()
    warned = [record.getMessage() for record in caplog.records]
    if place.shared:
        assert not warned
    else:
        assert len(warned) == 1 and "last used on another host" in warned[0], "once, and by then it is known here"


def test_marks_that_cannot_be_kept_stop_nothing_and_are_told(place: Place, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("no folder")
    deaf = place.at(PLEO_HOST_MARKS=str(tmp_path / "file" / "marks"))
    deaf.connect()
    for _ in range(2):
        deaf.manager().refresh()
    told = auth.status(deaf.settings)
    assert told.state == "active" and told.installation_fault and "PLEO_HOST_MARKS" in str(told.installation)
    assert not caplog.records


def test_a_mark_of_a_moment_ago_is_no_alarm(place: Place) -> None:
    """One process read the store, another refreshed and noted it, and only then the first compares."""
    installation = open_store(place.store, str(place.marks)).installation
    read = place.pleo.record()
    place.pleo.manager().refresh()
    installation.check(read, place.pleo.record)
    with pytest.raises(StaleTokenStore):
        installation.check(read, lambda: read)


def test_managers_that_refresh_in_turn_raise_no_alarm(place: Place) -> None:
    errors: list[Exception] = []

    def go() -> None:
        manager = place.pleo.manager()
        try:
            for _ in range(6):
                manager.refresh()
        except Exception as error:  # noqa: BLE001 - told below
            errors.append(error)

    threads = [threading.Thread(target=go) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and place.pleo.counted("reuse") == 0 and place.pleo.counted("refreshes") >= 6


# --- copies of a file --------------------------------------------------------------------------


@pytest.fixture
def home(connected: Pleo, tmp_path: Path) -> Pleo:
    """Connected, with an SQLite store and marks of its own."""
    pleo = replace(connected, environ={**connected.environ, "PLEO_HOST_MARKS": str(tmp_path / "host")})
    pleo.connect()
    return pleo


def copied(home: Pleo, to: Path) -> Pleo:
    shutil.copytree(Path(home.environ["PLEO_TOKEN_STORE"]).parent, to)
    return replace(home, environ={**home.environ, "PLEO_TOKEN_STORE": str(to / "tokens.sqlite")})


def test_a_copy_beside_the_first_is_refused_until_it_has_a_login_of_its_own(home: Pleo, tmp_path: Path) -> None:
    copy = copied(home, tmp_path / "second")
    message = refused(copy, "is a copy of")
    assert home.environ["PLEO_TOKEN_STORE"] in message and copy.environ["PLEO_TOKEN_STORE"] in message
    assert auth.status(copy.settings).state == "stale"
    home.manager().refresh()
    refused(copy, "is a copy of|older copy")
    auth.disconnect(copy.settings)
    home.manager().refresh()
    copy.connect()
    for pleo in (home, copy, home, copy):
        pleo.manager().refresh()
    assert home.counted("reuse") == 0


def test_a_store_that_was_moved_goes_on_at_its_new_place(home: Pleo, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    moved = copied(home, tmp_path / "second")
    shutil.move(home.environ["PLEO_TOKEN_STORE"], tmp_path / "kept.sqlite")
    moved.manager().refresh()
    assert not caplog.records
    shutil.move(tmp_path / "kept.sqlite", home.environ["PLEO_TOKEN_STORE"])
    refused(home, "is a copy of|older copy")
    moved.manager().refresh()


def test_the_same_file_by_another_path_is_no_copy(home: Pleo, tmp_path: Path) -> None:
    (tmp_path / "again").symlink_to(Path(home.environ["PLEO_TOKEN_STORE"]).parent)
    other = replace(home, environ={**home.environ, "PLEO_TOKEN_STORE": str(tmp_path / "again" / "tokens.sqlite")})
    for pleo in (other, home, other):
        pleo.manager().refresh()


def test_a_copy_on_another_host_is_warned_about_before_anything_is_sent(
    home: Pleo, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy = copied(home, tmp_path / "second")
    shutil.rmtree(Path(home.environ["PLEO_TOKEN_STORE"]).parent)  # it is out of sight there
    other = replace(copy, environ={**copy.environ, "PLEO_HOST_MARKS": str(tmp_path / "other host")})
    home.sandbox.state.reset_counters()
    told = auth.status(other.settings)
    assert told.state == "active" and told.installation_fault and "another host" in str(told.installation)
    assert not (tmp_path / "other host").exists(), "looking leaves no mark"
    other.manager().access_token()
    assert [record.levelname for record in caplog.records] == ["WARNING"] and "another host" in caplog.text
    assert home.counted("token_requests") == 0


def test_a_database_copied_to_another_name_is_warned_about_and_then_told_apart(unconnected: Pleo, tmp_path: Path) -> None:
    url = new_database()
    keys = {"PLEO_TOKEN_KEYS": Fernet.generate_key().decode(), "PLEO_HOST_MARKS": str(tmp_path / "host")}
    first = replace(unconnected, environ={**unconnected.environ, **keys, "PLEO_TOKEN_STORE": url})
    first.connect()
    name = url.rpartition("/")[2]
    server = f"{url.rpartition('/')[0]}/postgres"
    run_sql(server, f"select pg_terminate_backend(pid) from pg_stat_activity where datname = '{name}'")
    run_sql(server, f"create database {name}_copy template {name}")
    second = replace(first, environ={**first.environ, "PLEO_TOKEN_STORE": f"{url}_copy"})
    told = auth.status(second.settings)
    assert told.installation_fault and name in str(told.installation)
    second.manager().refresh()
    refused(first, "older copy")


def test_stores_of_the_first_version_are_read_without_a_change(tmp_path: Path) -> None:
    file = tmp_path / "state" / "tokens.sqlite"
    SqliteTokenStore(file).replace("sandbox/one", b"x")
    _without_later_columns(file)
    before = file.read_bytes()
    found = SqliteTokenStore(file).read("sandbox/one")
    assert found is not None and (found.lineage, found.host) == (None, None) and file.read_bytes() == before


def test_a_user_who_may_not_add_a_column_logs_in_all_the_same() -> None:
    url = new_database()
    PostgresTokenStore(url).replace("sandbox/one", b"x")
    run_sql(url, "alter table pleo_connector.connection drop column lineage")
    role = f"role_{url.rpartition('/')[2]}"
    run_sql(url, f"create role {role} login; grant usage on schema pleo_connector to {role}")
    run_sql(url, f"grant select, insert, update on pleo_connector.connection to {role}")
    store = PostgresTokenStore(url.replace("postgres@", f"{role}@"))
    assert store.replace("sandbox/one", b"y") == 2
    found = store.read("sandbox/one")
    assert found is not None and found.lineage is None
