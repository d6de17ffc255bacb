"""Real disks and folders that take nothing: read-only, without a byte or an entry left."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Neither the folder nor a file in it can be written."""
    files = [path for path in folder.iterdir() if path.is_file()]
    for path in files:
        path.chmod(0o400)
    folder.chmod(0o500)
    try:
        yield
    finally:
        folder.chmod(0o700)
        for path in files:
            path.chmod(0o600)


@contextmanager
def full(folder: Path) -> Iterator[None]:
    """Not a byte is left on the disk of the folder."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x" * 512)
    try:
        yield
    finally:
        filler.unlink()


@contextmanager
def full_of_files(folder: Path) -> Iterator[None]:
    """The disk of the folder takes no further file, although there is room."""
    made: list[Path] = []
    with suppress(OSError):
        while True:
            (folder / f"file-{len(made)}").touch()
            made.append(folder / f"file-{len(made)}")
    try:
        yield
    finally:
        for file in made:
            file.unlink()


@contextmanager
def mounted_read_only(folder: Path) -> Iterator[None]:
    """The disk of the folder is mounted for reading."""
    subprocess.run(["mount", "-o", "remount,ro", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["mount", "-o", "remount,rw", folder], check=True)


@contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of 512 KB and 100 files at the folder."""
    folder.mkdir(mode=0o700)
    options = "size=512k,nr_inodes=100,mode=0700"
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False)
    if made.returncode != 0:
        pytest.skip("a disk can be mounted by root alone")
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def unprivileged() -> tuple[str, ...]:
    """What takes from root the right to write what is read-only."""
    if os.geteuid() != 0:
        return ()
    if shutil.which("setpriv") is None:
        pytest.skip("root writes what is read-only, and there is no setpriv to stop it")
    return ("setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override")
