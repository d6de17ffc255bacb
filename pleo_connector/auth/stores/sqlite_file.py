"""A private SQLite file that keeps what is committed: made, checked and opened; its faults become sentences."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from pleo_connector.auth.stores.files import (
    check_folder,
    check_private_file,
    existing,
    file_system_of,
    make_private_folder,
    prove_room,
    refuse_network_file_system,
)
from pleo_connector.auth.stores.sqlite_table import TABLE, add_later_columns
from pleo_connector.errors import TokenStoreCorrupt, TokenStoreUnavailable

_APPLICATION_ID = 0x504C454F  # "PLEO": a file without it was not written here
_VERSION = 1
_DUCKDB_MARK = slice(8, 12)  # where a DuckDB file says "DUCK"
_ROOM = 6 * 4096  # bytes
PADDING = 4096  # the commit must not need a page that a full disk cannot give


class SqliteFile:
    """The file of a token store (0600, in a 0700 folder)."""

    def __init__(self, path: Path, file_system: Callable[[Path], str], patience: float) -> None:
        """`patience`: seconds to wait for another process's transaction."""
        self.path = path
        self._patience = patience
        if path.parent.exists():
            check_folder(path.parent)
            refuse_network_file_system(path, file_system(path.parent))
        check_private_file(path, "token store")

    def written(self) -> bool:
        """Whether there is a store; ConfigurationError when others may touch it."""
        # An empty file is a store that somebody is creating, or was killed creating.
        return check_private_file(self.path, "token store") and self.path.stat().st_size > 0

    def create(self) -> None:
        """Make folder, file and table, as far as they are missing."""
        make_private_folder(self.path.parent)
        refuse_network_file_system(self.path, file_system_of(self.path.parent))
        if not check_private_file(self.path, "token store"):
            try:
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600))
            except FileExistsError:
                pass  # another process was first
            except OSError as error:
                raise TokenStoreUnavailable(
                    f"The token store {self.path} cannot be created: {error.strerror}; check the disk, its space and permissions."
                ) from None
        with self.open(write=True, creating=True) as db:
            if db.execute("pragma application_id").fetchone()[0] == 0:
                db.execute(TABLE)
                db.execute(f"pragma application_id = {_APPLICATION_ID}")
                db.execute(f"pragma user_version = {_VERSION}")
            take_room(db)

    def prove_writable(self) -> None:
        """Write and take back as much as a login needs; where there is no store yet, in the folder that it would be made in."""
        if not self.written():
            folder = existing(self.path.parent)
            refuse_network_file_system(self.path, file_system_of(folder))
            prove_room(folder, self.path, PADDING)
            return
        with self.open(write=True) as db:
            take_room(db)

    @contextlib.contextmanager
    def open(self, *, write: bool = False, creating: bool = False, keep_journal: bool = False) -> Iterator[sqlite3.Connection]:
        """The file, checked to be ours; `write` is one transaction, rolled back when the block raises.

        `keep_journal` leaves the rollback journal's disk space to the next transaction that keeps it, with sealed bytes in it.
        """
        try:
            # mode=rw: a file that vanished in between must not come back empty.
            db = sqlite3.connect(f"{self.path.as_uri()}?mode=rw", uri=True, timeout=self._patience, isolation_level=None)
            db.row_factory = sqlite3.Row
            with contextlib.closing(db):
                self._check(db, creating=creating, keep_journal=keep_journal)
                if not write:
                    yield db
                    return
                db.execute("begin immediate")
                try:
                    if not creating:
                        add_later_columns(db)
                    yield db
                    db.execute("commit")
                except BaseException:
                    if db.in_transaction:
                        db.execute("rollback")
                    raise
        except sqlite3.Error as error:
            raise self._translated(error) from None

    def _check(self, db: sqlite3.Connection, *, creating: bool, keep_journal: bool) -> None:
        journal = "persist" if keep_journal else "delete"
        for pragma in (f"journal_mode = {journal}", "synchronous = extra", "secure_delete = on", "trusted_schema = off"):
            db.execute(f"pragma {pragma}").fetchall()
        ours = db.execute("pragma application_id").fetchone()[0]
        empty = creating and ours == 0 and db.execute("select count(*) from sqlite_schema").fetchone()[0] == 0
        if ours != _APPLICATION_ID and not empty:
            raise self._corrupt("it is an SQLite file that pleo-connector did not write")
        version = db.execute("pragma user_version").fetchone()[0]
        if not empty and version != _VERSION:
            raise self._corrupt(f"it has version {version}, and this pleo-connector reads version {_VERSION}")

    def _translated(self, error: sqlite3.Error) -> TokenStoreCorrupt | TokenStoreUnavailable:
        # OperationalError is what passes (busy, full, read-only); other DatabaseErrors mean the bytes are wrong.
        if isinstance(error, sqlite3.OperationalError) and "no such table" not in str(error) and "malformed" not in str(error):
            return TokenStoreUnavailable(
                f"The token store {self.path} cannot be used now: {error}; check the disk, its space and permissions."
            )
        with contextlib.suppress(OSError), self.path.open("rb") as file:
            if file.read(_DUCKDB_MARK.stop)[_DUCKDB_MARK] == b"DUCK":
                return TokenStoreCorrupt(
                    f"{self.path} is a DuckDB file, which cannot keep tokens; it was left as it is. "
                    "Set PLEO_TOKEN_STORE to another file, or to postgresql://... for several hosts."
                )
        return self._corrupt(str(error))

    def _corrupt(self, why: str) -> TokenStoreCorrupt:
        return TokenStoreCorrupt(
            f"The token store {self.path} is damaged: {why}. It was left as it is; "
            "restore it, or move it away and run `pleo-connector connect`."
        )


def take_room(db: sqlite3.Connection) -> None:
    """Write pages that are of no use but for one: a journal that is kept has room for them, and so for the next change of a row.

    Random, because SQLite leaves alone what would stay the same.
    """
    db.execute("create table if not exists room (padding blob)")
    db.execute("insert into room select zeroblob(?) where not exists (select 1 from room)", (_ROOM,))
    db.execute("update room set padding = randomblob(?)", (_ROOM,))
