"""The folder with the files of receipts: `<folder>/c0/c0760713-….pdf`, each whole or absent."""

from __future__ import annotations

import hashlib
import os
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from pleo_connector.errors import ConfigurationError
from pleo_connector.sync.whole_file import is_abandoned_draft, write_whole

MARKER = ".pleo-receipts"
_MARKER_TEXT = b"Files of Pleo receipts, kept by pleo-connector; the table receipt_files says which is which.\n"

_OTHER = "application/octet-stream"
_ENDINGS = {
    "application/pdf": "pdf",
    "application/postscript": "ps",
    "application/xml": "xml",
    "image/gif": "gif",
    "image/heic": "heic",
    "image/heif": "heif",
    "image/jpeg": "jpg",
    "image/png": "png",
    "text/xml": "xml",
}
"""By the formats that Pleo documents; a file of any other type is stored as `.bin`, which no program opens by itself."""
_FORMATS = {ending: kind for kind, ending in reversed(_ENDINGS.items())} | {"bin": _OTHER}


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in the folder."""

    path: str
    """Below the folder, with `/`."""
    content_type: str
    size: int
    sha256: str
    at: datetime


class ReceiptFolder:
    """Keeps files by the key of their receipt. ConfigurationError for what the file system refuses."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def prepare(self) -> None:
        """Create the folder, or recognise it by its marker file. ConfigurationError for a folder with other files."""
        marker = self._folder / MARKER
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            ours = marker.is_file()
            foreign = not ours and any(self._folder.iterdir())
            if not ours and not foreign:
                write_whole(marker, _MARKER_TEXT)
        except OSError as error:
            raise self._refused(error) from error
        if foreign:
            raise ConfigurationError(
                f"The folder for receipt files, {self._folder}, holds other files (it has no {MARKER}), so nothing is written there; "
                "name an empty or a new one in [streams.receipts] files."
            )

    def index(self) -> Mapping[str, str]:
        """Receipt -> path of the file that is there already. Removes what killed runs left half written."""
        paths = {}
        try:
            for below in self._folder.iterdir():
                if not below.is_dir():
                    continue
                with os.scandir(below) as files:
                    for file in files:
                        if is_abandoned_draft(file):
                            Path(file.path).unlink(missing_ok=True)
                        elif not file.name.startswith("."):
                            paths[file.name.partition(".")[0]] = f"{below.name}/{file.name}"
        except OSError as error:
            raise self._refused(error) from error
        return paths

    def keep(self, receipt_id: str, content: bytes, content_type: str, declared: str | None) -> StoredFile:
        """Write a file; `content_type` is that of the response, `declared` the format that Pleo names for the receipt."""
        kind = next((one for one in (content_type, declared) if one in _ENDINGS), _OTHER)
        name = str(uuid.UUID(receipt_id))  # a path is made of nothing but a UUID and an ending of ours
        path = f"{name[:2]}/{name}.{_ENDINGS.get(kind, 'bin')}"
        try:
            write_whole(self._folder / path, content)
        except OSError as error:
            raise self._refused(error) from error
        return StoredFile(path, kind, len(content), hashlib.sha256(content).hexdigest(), datetime.now(UTC))

    def adopt(self, path: str) -> StoredFile:
        """A file that is there already: an earlier run wrote it, and ended before its row."""
        file = self._folder / path
        try:
            with file.open("rb") as content:
                digest = hashlib.file_digest(content, "sha256").hexdigest()
            stat = file.stat()
        except OSError as error:
            raise self._refused(error) from error
        at = datetime.fromtimestamp(stat.st_mtime, UTC)
        return StoredFile(path, _FORMATS.get(file.suffix[1:], _OTHER), stat.st_size, digest, at)

    def remove(self, path: str) -> None:
        """Remove a file; one that is gone already is fine."""
        try:
            (self._folder / path).unlink(missing_ok=True)
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> ConfigurationError:
        return ConfigurationError(
            f"The folder for receipt files, {self._folder}, cannot be used: {error.strerror}; free space there, "
            "give this user write access, or name another in [streams.receipts] files."
        )
