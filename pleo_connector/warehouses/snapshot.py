"""A copy of a DuckDB file that readers may hold open for as long as they like.

No process can read a DuckDB file while another one writes it, nor write it while another one reads. So readers get a
copy, which replaces the copy before in one step: a reader that has the old copy open still reads it, whole and unchanged.
"""

from __future__ import annotations

import re
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from pleo_connector.errors import WarehouseUnwritable

_COPY = """
import os, shutil, sys
try:
    shutil.copyfile(sys.argv[1], sys.argv[2])
    with open(sys.argv[2], "rb+") as copied:
        os.fsync(copied.fileno())
except OSError as error:
    sys.exit(error.strerror or str(error))
"""


def snapshot_path(chosen: str, database: Path) -> Path | None:
    """Where the snapshot goes, as `PLEO_SNAPSHOT` says: nowhere, `on` for beside the database, or a path."""
    if chosen.strip().lower() in ("", "off", "false", "0", "no"):
        return None
    if chosen.strip().lower() in ("on", "true", "1", "yes"):
        return database.with_name(f"{database.stem}_snapshot{database.suffix}")
    return Path(chosen.strip()).expanduser().absolute()


def publish(database: Path, target: Path) -> None:
    """Replace `target` by a copy of the database, which no process writes meanwhile and whose log is empty.

    The copy is read-only, so that no process leaves a log beside it, which would be read with the next copy.
    """
    fresh = target.with_name(f".{target.name}.new")
    try:
        # Another process copies: if this one closed the database file, the kernel would drop DuckDB's own lock on it.
        copied = subprocess.run(  # noqa: S603 - our own program and no shell
            [sys.executable, "-I", "-S", "-c", _COPY, str(database), str(fresh)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if copied.returncode:
            raise _unpublished(target, copied.stderr.strip().splitlines()[-1:] or [f"exit code {copied.returncode}"])
        fresh.chmod(0o444)
        target.with_name(f"{target.name}.wal").unlink(missing_ok=True)
        fresh.replace(target)
    except OSError as error:
        raise _unpublished(target, [error.strerror or str(error)]) from error
    finally:
        with suppress(OSError):  # its folder is read-only, and a warning says so
            fresh.unlink(missing_ok=True)


def _unpublished(target: Path, reason: list[str]) -> WarehouseUnwritable:
    full = re.search(r"No space left|File too large|quota", reason[0])
    advice = "free some space" if full else "give this user write access to its folder, or set PLEO_SNAPSHOT to another place"
    return WarehouseUnwritable(
        f"The rows are loaded, but the snapshot {target} could not be published ({reason[0]}), so its readers still see the copy before; {advice}, then run again."
    )
