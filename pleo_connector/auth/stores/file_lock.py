"""A lock between the processes of one host that the kernel drops when its holder dies."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import filelock

from pleo_connector.auth.stores.files import check_private_file
from pleo_connector.errors import ConfigurationError, RefreshUnavailable, TokenStoreUnavailable


class FileLockHandle:
    """The lock file of one connection while this process holds it."""

    def __init__(self, path: Path, lock: filelock.BaseFileLock) -> None:
        self._path = path
        self._lock = lock
        self._pid = os.getpid()
        self._inode = path.stat().st_ino

    def still_held(self) -> bool:
        """False in a fork, after release, or when somebody replaced the lock file."""
        try:
            return self._lock.is_locked and self._pid == os.getpid() and self._path.stat().st_ino == self._inode
        except OSError:
            return False


@contextlib.contextmanager
def held(path: Path, timeout: float) -> Iterator[FileLockHandle]:
    """Hold a lock file, which stays when the lock is released; RefreshUnavailable after `timeout` seconds."""
    check_private_file(path, "lock file")
    lock = filelock.FileLock(path, mode=0o600)
    try:
        lock.acquire(timeout=timeout, poll_interval=0.02)
    except filelock.Timeout:
        raise RefreshUnavailable(
            f"Another process holds the token lock {path} for longer than {timeout:g} s; try again, or look for a hung process."
        ) from None
    except (OSError, NotImplementedError) as error:
        raise TokenStoreUnavailable(f"The lock file {path} cannot be locked: {error}; set PLEO_TOKEN_STORE to a local disk.") from None
    try:
        # filelock falls back to a marker file where flock is missing; that would not prove anything.
        if isinstance(lock, filelock.SoftFileLock):
            raise ConfigurationError(f"The file system of {path} has no file locks; set PLEO_TOKEN_STORE to a file on a local disk.")
        yield FileLockHandle(path, lock)
    finally:
        lock.release()
