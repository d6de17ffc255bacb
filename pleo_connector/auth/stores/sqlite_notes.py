"""Notes of one host: an SQLite file beside the token store, as private as that.

Time is the system's clock since its start, which no one sets and which all processes share; after a restart of the
system what was written before it counts as never written.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import TypeVar

from pleo_connector.auth.stores.files import check_private_file, file_system_of, make_private_folder, refuse_network_file_system
from pleo_connector.auth.stores.notes import Edit
from pleo_connector.errors import TokenStoreCorrupt, TokenStoreUnavailable

T = TypeVar("T")

_APPLICATION_ID = 0x504C454E  # "PLEN"
_PATIENCE = 10.0
_TABLE = "create table if not exists note (name text primary key, boot text not null, text text not null) strict"


class SqliteNotes:
    """Notes in one private SQLite file (0600, in a 0700 folder)."""

    def __init__(
        self, path: Path, *, clock: Callable[[], float] = time.monotonic, file_system: Callable[[Path], str] = file_system_of
    ) -> None:
        self.path = path.parent.resolve() / path.name
        self._clock = clock
        self._file_system = file_system
        self._pid = 0

    def change(self, name: str, edit: Edit[T]) -> T:
        """Replace the text by what `edit` makes of it, in one transaction."""
        with self._open() as db:
            db.execute("begin immediate")
            found = db.execute("select text from note where name = ? and boot = ?", (name, _boot())).fetchone()
            text, told = edit(None if found is None else found[0], self._clock())
            db.execute("insert or replace into note (name, boot, text) values (?, ?, ?)", (name, _boot(), text))
            db.execute("commit")
        return told

    def read(self, name: str) -> tuple[str | None, float]:
        """The text, and the time."""
        with self._open() as db:
            found = db.execute("select text from note where name = ? and boot = ?", (name, _boot())).fetchone()
        return None if found is None else found[0], self._clock()

    def close(self) -> None:
        """Nothing to let go of: it is opened anew each time (0.2 ms), so that nothing is shared with a fork."""

    @contextlib.contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            if not self._ready():
                self._create()
            # mode=rw: a file that vanished in between must not come back with other permissions.
            db = sqlite3.connect(f"{self.path.as_uri()}?mode=rw", uri=True, timeout=_PATIENCE, isolation_level=None)
            with contextlib.closing(db):
                db.execute("pragma synchronous = normal")
                yield db
        except sqlite3.OperationalError as error:
            raise TokenStoreUnavailable(
                f"The request budget in {self.path} cannot be used now: {error}; check the disk, its space and permissions."
            ) from None
        except sqlite3.DatabaseError as error:
            raise TokenStoreCorrupt(f"The request budget in {self.path} is damaged: {error}; delete this file, nothing is lost.") from None

    def _ready(self) -> bool:
        return check_private_file(self.path, "request budget") and self._pid == os.getpid()

    def _create(self) -> None:
        make_private_folder(self.path.parent)
        refuse_network_file_system(self.path, self._file_system(self.path.parent))
        with contextlib.suppress(FileExistsError):  # another process was first
            try:
                os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0), 0o600))
            except PermissionError as error:
                raise TokenStoreUnavailable(f"The request budget {self.path} cannot be created: {error.strerror}.") from None
        check_private_file(self.path, "request budget")
        db = sqlite3.connect(f"{self.path.as_uri()}?mode=rw", uri=True, timeout=_PATIENCE, isolation_level=None)
        with contextlib.closing(db):
            ours = db.execute("pragma application_id").fetchone()[0]
            if ours not in (0, _APPLICATION_ID):
                raise TokenStoreCorrupt(f"{self.path} is an SQLite file that pleo-connector did not write; move it away.")
            db.execute(_TABLE)
            db.execute(f"pragma application_id = {_APPLICATION_ID}")
        self._pid = os.getpid()


@cache
def _boot() -> str:
    """Which start of the system this is, where it tells."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return ""
