"""From errors of DuckDB to errors of the connector: one sentence with what to do."""

from __future__ import annotations

import re

import duckdb

from pleo_connector.errors import WarehouseError, WarehouseLocked, WarehouseUnwritable

_HELD = re.compile(
    r"Could not set lock on file|Conflicting lock is held|used by another process|different configuration than existing", re.IGNORECASE
)
_HOLDER = re.compile(r"lock is held in (?P<program>.+?) \(PID (?P<pid>\d+)\)")

_IO = (duckdb.IOException, duckdb.FatalException, duckdb.SerializationException, OSError)

_UNWRITABLE = (
    (
        r"extension \"?motherduck",
        f"needs DuckDB's extension motherduck, which could not be installed: run INSTALL motherduck in DuckDB {duckdb.__version__} where it can download extensions, then run again.",
    ),
    (
        r"No such file or directory|cannot find the path",
        "cannot be made: neither its folder nor the folder above exists; create the folder, or set PLEO_WAREHOUSE to another place.",
    ),
    (
        r"File exists",
        "cannot be made: what should be its folder is a file; set PLEO_WAREHOUSE to another place.",
    ),
    (
        r"No space left|File too large|quota|out of disk|disk full",
        "cannot grow: the disk is full or a size limit is reached; nothing of this load was kept: free some space, then run again.",
    ),
    (
        r"Permission denied|Read-only file system|Operation not permitted|read-only mode|Access is denied",
        "cannot be written: permission denied, or read-only; give this user write access to the file and its folder, or set PLEO_WAREHOUSE to another place.",
    ),
    (
        r"database file with version number|newer version of DuckDB",
        f"was written by a newer DuckDB than the {duckdb.__version__} installed here; upgrade it (pip install --upgrade duckdb). The file was left as it was.",
    ),
    (
        r"Is a directory",
        "is a folder; set PLEO_WAREHOUSE to a file, which may be in it.",
    ),
    (
        r"not a valid DuckDB database|Corrupt|Not a directory|checksum",
        "is not a DuckDB database, or is damaged; it was left as it was: move it away, or set PLEO_WAREHOUSE to another file.",
    ),
)
"""A pattern of DuckDB's message, and the end of our sentence."""


def held_elsewhere(error: BaseException) -> bool:
    """True when another program has the file open, so that trying again may help."""
    return isinstance(error, duckdb.Error) and bool(_HELD.search(str(error)))


def refusal(location: str, error: Exception, *, waited: float = 0.0) -> WarehouseError:
    """Our error for DuckDB's, or for the system's when the folder or file could not be made."""
    message = " ".join(str(error).split("\n\n")[0].split())
    where = f"The warehouse {location}"
    if held_elsewhere(error):
        holder = _HOLDER.search(message)
        who = f"{holder['program']} (pid {holder['pid']})" if holder else "another program"
        if "different configuration" in message:
            who = "this same process, read-only or with other settings"
        return WarehouseLocked(f"{where} is open in {who}, and still was after {waited:g} s; close it there, then run again.")
    # a failed COMMIT is a TransactionException that quotes the IO error
    if isinstance(error, _IO) or type(error) is duckdb.Error or "Could not write" in message:
        for pattern, sentence in _UNWRITABLE:
            if re.search(pattern, message, re.IGNORECASE):
                return WarehouseUnwritable(f"{where} {sentence}")
        return WarehouseUnwritable(f"{where} cannot be used: {message}")
    return WarehouseError(f"{where} refused: {message}")
