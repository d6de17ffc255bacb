"""Whether the files of receipts are fetched, where they are kept, and what becomes of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

FILES_OF = "receipts"
"""The one stream whose files can be fetched."""

FILE_OPTIONS = ("files", "files_per_run", "files_largest_mb", "files_of_deleted")
"""As the options file spells them."""

_MEGABYTE = 1_000_000
_MOST = {"files_per_run": 1_000_000, "files_largest_mb": 1_000}


class FilesOfDeleted(StrEnum):
    """What becomes of a file whose receipt is deleted at Pleo."""

    KEEP = "keep"
    """It stays: books must be kept for years."""
    REMOVE = "remove"
    """It is removed by the next run."""


@dataclass(frozen=True, slots=True)
class ReceiptFiles:
    """Fetch the files of receipts into a folder."""

    folder: Path
    per_run: int = 1_000
    """Files that one run fetches at most; the others wait for the next."""
    largest: int = 50 * _MEGABYTE
    """Bytes; a larger file is left at Pleo."""
    of_deleted: FilesOfDeleted = FilesOfDeleted.KEEP


def checked_option(name: str, value: Any) -> Any:
    """The value of one of FILE_OPTIONS; ValueError says what it must be."""
    if name == "files":
        if not isinstance(value, str) or not value.strip():
            raise ValueError(f'{name} must be a folder such as "receipts", not {value!r}')
        return Path(value).expanduser()
    if name == "files_of_deleted":
        if value not in list(FilesOfDeleted):
            raise ValueError(f"{name} cannot be {value!r}; known: {', '.join(FilesOfDeleted)}")
        return FilesOfDeleted(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= _MOST[name]:
        raise ValueError(f"{name} must be a whole number from 1 to {_MOST[name]:,}, not {value!r}")
    return value


def receipt_files(values: Mapping[str, Any]) -> ReceiptFiles | None:
    """What the options say together, checked before; None when no files are wanted. ValueError for a choice about files that are not."""
    given = {name: values[name] for name in FILE_OPTIONS if name in values}
    if not given:
        return None
    if "files" not in given:
        raise ValueError(f"{next(iter(given))} says something about files that are not fetched: name their folder (files) too")
    made = ReceiptFiles(given["files"])
    return ReceiptFiles(
        made.folder,
        given.get("files_per_run", made.per_run),
        given["files_largest_mb"] * _MEGABYTE if "files_largest_mb" in given else made.largest,
        given.get("files_of_deleted", made.of_deleted),
    )
