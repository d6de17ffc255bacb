"""One contract for all notes: a new kind is added to KINDS, and passes. What is theirs alone follows."""

from __future__ import annotations

import os
import sqlite3
import stat
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pleo_connector.auth.stores import open_notes
from pleo_connector.auth.stores.notes import MemoryNotes, Notes
from pleo_connector.auth.stores.postgres_notes import PostgresNotes
from pleo_connector.auth.stores.sqlite_notes import SqliteNotes
from pleo_connector.errors import ConfigurationError, TokenStoreCorrupt, TokenStoreUnavailable
from tests.postgres_server import new_database, run_sql

KINDS: dict[str, Callable[[Path], Notes]] = {
    "memory": lambda _: MemoryNotes(),
    "postgresql": lambda _: PostgresNotes(new_database()),
    "sqlite": lambda folder: SqliteNotes(folder / "private" / "tokens.sqlite.budget"),
}


@pytest.fixture(params=sorted(KINDS))
def notes(request: pytest.FixtureRequest, tmp_path: Path) -> Notes:
    return KINDS[request.param](tmp_path)


def add(text: str | None, _: float) -> tuple[str, int]:
    count = int(text or 0) + 1
    return str(count), count


def test_a_note_is_not_there_at_first_and_then_kept_by_its_name(notes: Notes) -> None:
    assert notes.read("one")[0] is None
    assert notes.change("one", lambda text, _: (f"{text}!", "told")) == "told"
    notes.change("two", lambda _, __: ("it's two", None))
    assert (notes.read("one")[0], notes.read("two")[0]) == ("None!", "it's two")
    notes.close()
    assert notes.change("one", lambda text, _: ("", text)) == "None!", "it may be used again after it was closed"


def test_time_goes_on(notes: Notes) -> None:
    first = notes.change("one", lambda _, now: ("x", now))
    time.sleep(0.05)
    assert 0.04 <= notes.read("one")[1] - first < 60


def test_an_edit_that_fails_changes_nothing(notes: Notes) -> None:
    notes.change("one", add)

    def fails(_: str | None, __: float) -> tuple[str, None]:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        notes.change("one", fails)
    assert notes.change("one", add) == 2


def test_of_many_at_once_none_is_lost(notes: Notes, request: pytest.FixtureRequest) -> None:
    """Also when nothing is there yet, and each has an opening of its own."""
    places = [notes]
    if isinstance(notes, SqliteNotes):
        places = [SqliteNotes(notes.path) for _ in range(6)]
    if isinstance(notes, PostgresNotes):
        places = [PostgresNotes(notes._server._url) for _ in range(6)]
    threads = [
        threading.Thread(target=lambda place=place: [place.change("one", add) for _ in range(10)]) for place in places for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert notes.read("one")[0] == str(20 * len(places))
    for place in places:
        place.close()


# --- one host ----------------------------------------------------------------------------------


def test_the_file_is_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        notes = SqliteNotes(tmp_path / "state" / "tokens.sqlite.budget")
        notes.change("one", add)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "state").iterdir()} == {0o600}


def test_what_is_not_private_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "tokens.sqlite.budget"
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigurationError, match="symbolic link"):
        SqliteNotes(path).change("one", add)
    path.unlink()
    path.touch(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        SqliteNotes(path).change("one", add)
    with pytest.raises(ConfigurationError, match="network or FUSE file system"):
        SqliteNotes(tmp_path / "other", file_system=lambda _: "nfs4").change("one", add)
    assert not (tmp_path / "other").exists()


def test_a_file_of_somebody_else_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "tokens.sqlite.budget"
    with sqlite3.connect(path) as db:
        db.execute("pragma application_id = 7")
    db.close()
    path.chmod(0o600)
    before = path.read_bytes()
    with pytest.raises(TokenStoreCorrupt, match="did not write"):
        SqliteNotes(path).change("one", add)
    assert path.read_bytes() == before


def test_a_damaged_file_is_told_and_a_deleted_one_made_anew(tmp_path: Path) -> None:
    notes = SqliteNotes(tmp_path / "tokens.sqlite.budget")
    notes.change("one", add)
    notes.path.write_bytes(b"not a database" * 100)
    with pytest.raises(TokenStoreCorrupt, match="delete this file"):
        notes.change("one", add)
    notes.path.unlink()
    assert notes.change("one", add) == 1
    assert stat.S_IMODE(notes.path.stat().st_mode) == 0o600


def test_what_was_written_before_a_restart_of_the_system_does_not_count(tmp_path: Path) -> None:
    notes = SqliteNotes(tmp_path / "tokens.sqlite.budget")
    notes.change("one", add)
    with sqlite3.connect(notes.path) as db:
        db.execute("update note set boot = 'another'")
    db.close()
    assert notes.read("one")[0] is None and notes.change("one", add) == 1


# --- several hosts -----------------------------------------------------------------------------


def test_a_lost_connection_is_made_anew() -> None:
    url = new_database()
    notes = PostgresNotes(url)
    for expected in (1, 2, 3):
        assert notes.change("one", add) == expected
        run_sql(
            url, "select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()"
        )
    assert notes.read("one")[0] == "3"
    notes.close()


def test_a_connection_lost_half_way_changes_nothing_and_is_done_again() -> None:
    url = new_database()
    notes = PostgresNotes(url)
    notes.change("one", add)
    lost: list[object] = []

    def lose_it_once(text: str | None, now: float) -> tuple[str, int]:
        if not lost:
            lost.extend(run_sql(url, "select pg_terminate_backend(pid) from pg_stat_activity where state = 'idle in transaction'"))
        return add(text, now)

    assert notes.change("one", lose_it_once) == 2 and len(lost) == 1
    notes.close()


def test_a_user_that_may_not_create_the_table_is_told_so() -> None:
    url = new_database()
    role = f"role_{os.getpid()}_{time.monotonic_ns()}"
    run_sql(url, f"create role {role} login")
    with pytest.raises(TokenStoreUnavailable, match="permission denied"):
        PostgresNotes(url.replace("postgres@", f"{role}@")).change("one", add)
    PostgresNotes(url).change("one", add)
    run_sql(url, f"grant usage on schema pleo_connector to {role}")
    run_sql(url, f"grant select, insert, update on pleo_connector.note to {role}")
    assert PostgresNotes(url.replace("postgres@", f"{role}@")).change("one", add) == 2


@pytest.mark.parametrize(
    ("setting", "kind"), [("a/tokens.sqlite", SqliteNotes), ("sqlite:///a/tokens.sqlite", SqliteNotes), ("postgresql://h/d", PostgresNotes)]
)
def test_they_lie_beside_the_token_store(setting: str, kind: type) -> None:
    found = open_notes(setting)
    assert isinstance(found, kind)
    if isinstance(found, SqliteNotes):
        assert found.path == Path("a/tokens.sqlite.budget").absolute() or found.path.name == "tokens.sqlite.budget"
