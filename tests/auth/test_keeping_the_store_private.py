from __future__ import annotations

import os
import sqlite3
import stat
from pathlib import Path

import duckdb
import pytest

from pleo_connector.auth.stores import SqliteTokenStore, open_store
from pleo_connector.auth.stores.files import file_system_of
from pleo_connector.errors import ConfigurationError, TokenStoreCorrupt, TokenStoreUnavailable

ONE = "sandbox/one"


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_everything_is_private_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store = SqliteTokenStore(tmp_path / "state" / "tokens.sqlite")
        store.replace(ONE, b"blob")
        with store.lock(ONE, 1):
            pass
    finally:
        os.umask(before)
    assert mode(tmp_path / "state") == 0o700
    assert {mode(path) for path in (tmp_path / "state").iterdir()} == {0o600}
    assert store.permissions() == "0600"


def test_folders_above_are_as_private_when_they_have_to_be_made(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        SqliteTokenStore(tmp_path / "a" / "b" / "c" / "tokens.sqlite").replace(ONE, b"blob")
    finally:
        os.umask(before)
    assert [mode(tmp_path / name) for name in ("a", "a/b", "a/b/c")] == [0o700] * 3


def test_reading_creates_nothing(tmp_path: Path) -> None:
    assert SqliteTokenStore(tmp_path / "state" / "tokens.sqlite").read(ONE) is None
    assert list(tmp_path.iterdir()) == []


def test_the_lock_file_outlives_the_lock(tmp_path: Path) -> None:
    store = SqliteTokenStore(tmp_path / "state" / "tokens.sqlite")
    for _ in range(2):
        with store.lock(ONE, 1):
            inside = [path.stat().st_ino for path in (tmp_path / "state").glob("*.lock")]
        assert [path.stat().st_ino for path in (tmp_path / "state").glob("*.lock")] == inside != []


def test_a_replaced_lock_file_is_noticed(tmp_path: Path) -> None:
    store = SqliteTokenStore(tmp_path / "state" / "tokens.sqlite")
    with store.lock(ONE, 1) as handle:
        assert handle.still_held()
        (path,) = (tmp_path / "state").glob("*.lock")
        path.rename(path.with_suffix(".old"))
        assert not handle.still_held()


def test_a_symbolic_link_is_refused(tmp_path: Path) -> None:
    SqliteTokenStore(tmp_path / "real.sqlite").replace(ONE, b"blob")
    (tmp_path / "link.sqlite").symlink_to(tmp_path / "real.sqlite")
    with pytest.raises(ConfigurationError, match="symbolic link"):
        SqliteTokenStore(tmp_path / "link.sqlite")


def test_a_file_open_to_others_is_refused(tmp_path: Path) -> None:
    store = SqliteTokenStore(tmp_path / "tokens.sqlite")
    store.replace(ONE, b"blob")
    store.path.chmod(0o644)
    with pytest.raises(ConfigurationError, match="chmod 600"):
        store.read(ONE)


def test_a_world_writable_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o1777)
    with pytest.raises(ConfigurationError, match="written by everybody"):
        SqliteTokenStore(tmp_path / "open" / "tokens.sqlite")


def test_a_path_that_is_meant_for_duckdb_is_refused_before_it_becomes_anything(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"names a DuckDB file.*tokens\.sqlite"):
        open_store(str(tmp_path / "spend.duckdb"))
    SqliteTokenStore(tmp_path / "odd.duckdb").replace(ONE, b"blob")
    assert open_store(str(tmp_path / "odd.duckdb")).store.read(ONE) is not None, "an earlier version made it"


@pytest.mark.skipif(os.name != "posix" or os.geteuid() != 0, reason="only root can give a file away")
def test_another_users_file_is_refused(tmp_path: Path) -> None:
    store = SqliteTokenStore(tmp_path / "tokens.sqlite")
    store.replace(ONE, b"blob")
    os.chown(store.path, 12345, 12345)
    with pytest.raises(ConfigurationError, match="another user"):
        store.read(ONE)


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "9p", "virtiofs", "gfs2", "vmhgfs", "wekafs", "pvfs2", "macfuse", "remote"])
def test_a_network_file_system_is_refused_with_advice(tmp_path: Path, kind: str) -> None:
    with pytest.raises(ConfigurationError, match="PLEO_TOKEN_STORE to a file on a local disk"):
        SqliteTokenStore(tmp_path / "tokens.sqlite", file_system=lambda _: kind)


def test_the_file_system_is_that_of_the_nearest_mount(tmp_path: Path) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(
        "22 1 8:1 / / rw shared:1 - ext4 /dev/sda1 rw\n"
        f"30 22 0:40 / {tmp_path!s}/my\\040share rw - nfs4 server:/x rw\n"
        "31 22 0:41 / /elsewhere rw - tmpfs tmpfs rw\n"
    )
    (tmp_path / "my share").mkdir()
    assert file_system_of(tmp_path / "my share", mounts) == "nfs4"
    assert file_system_of(tmp_path, mounts) == "ext4"
    assert file_system_of(tmp_path, tmp_path / "none", list) == ""


def test_a_system_without_proc_is_asked_in_its_own_way(tmp_path: Path) -> None:
    """As on macOS and Windows."""
    told = [(Path(tmp_path.anchor), "apfs"), (tmp_path / "share", "smbfs")]
    (tmp_path / "share").mkdir()
    assert file_system_of(tmp_path / "share", tmp_path / "none", lambda: told) == "smbfs"
    assert file_system_of(tmp_path, tmp_path / "none", lambda: told) == "apfs"
    assert file_system_of(Path(tmp_path.anchor), tmp_path / "none") != "", "psutil tells"


@pytest.mark.parametrize(
    "content", [b"not a database at all, but long enough to be looked at " * 40, b"SQLite format 3\0" + b"\xff" * 4096]
)
def test_a_damaged_file_is_reported_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "tokens.sqlite"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(TokenStoreCorrupt, match="left as it is"):
        SqliteTokenStore(path).read(ONE)
    assert path.read_bytes() == content


def test_a_duckdb_file_is_no_token_store(tmp_path: Path) -> None:
    path = tmp_path / "spend.duckdb"
    duckdb.connect(str(path)).close()
    path.chmod(0o600)
    before = path.read_bytes()
    with pytest.raises(TokenStoreCorrupt, match=r"is a DuckDB file.*Set PLEO_TOKEN_STORE to another file"):
        SqliteTokenStore(path).read("pleo")
    assert path.read_bytes() == before


def test_another_programs_database_is_never_taken_over(tmp_path: Path) -> None:
    path = tmp_path / "tokens.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("create table theirs (x)")
    db.close()
    path.chmod(0o600)
    before = path.read_bytes()
    store = SqliteTokenStore(path)
    with pytest.raises(TokenStoreCorrupt, match="did not write"):
        store.read(ONE)
    with pytest.raises(TokenStoreCorrupt, match="did not write"):
        store.replace(ONE, b"blob")
    assert path.read_bytes() == before


def test_forgotten_tokens_are_not_left_in_the_file(tmp_path: Path) -> None:
    store = SqliteTokenStore(tmp_path / "tokens.sqlite")
    store.replace(ONE, b"needle-in-the-haystack" * 50)
    store.delete(ONE)
    assert b"needle-in-the-haystack" not in store.path.read_bytes()


def test_a_busy_store_is_a_passing_trouble(tmp_path: Path) -> None:
    store = SqliteTokenStore(tmp_path / "tokens.sqlite", patience=0.05)
    store.replace(ONE, b"blob")
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("begin exclusive")
    try:
        with pytest.raises(TokenStoreUnavailable, match="locked"):
            store.delete(ONE)
    finally:
        other.close()
    record = store.read(ONE)
    assert record is not None and record.blob == b"blob"


def test_settings_name_a_store(tmp_path: Path) -> None:
    by_path, by_url = open_store(str(tmp_path / "a.sqlite")), open_store(f"sqlite:///{tmp_path}/a.sqlite")
    assert by_path.place == by_url.place == str(tmp_path.resolve() / "a.sqlite")
    assert by_path.kind == "sqlite"
    for wrong in ("mysql://user:pw@host/db", "duckdb:///x", "sqlite://", "sqlite:///"):
        with pytest.raises(ConfigurationError, match="sqlite:///") as caught:
            open_store(wrong)
        assert "pw" not in str(caught.value)


def test_an_empty_file_is_a_store_being_created(tmp_path: Path) -> None:
    path = tmp_path / "tokens.sqlite"
    path.touch(mode=0o600)
    store = SqliteTokenStore(path)
    assert store.read(ONE) is None and not store.commit(ONE, 1, "x", b"y")
    assert store.replace(ONE, b"blob") == 1
