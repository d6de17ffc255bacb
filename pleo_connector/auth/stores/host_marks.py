"""What this host has seen of token stores, kept apart from them: a restored store does not bring its own witness along.

One small file for each thing that is marked, in a private folder. Nothing in here is secret, and nothing depends on it:
a mark that is lost or cannot be written only means that less is noticed.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path

from pleo_connector.auth.stores.files import check_private_file, make_private_folder, write_private_file
from pleo_connector.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Mark:
    """The highest generation that was seen, and the place of the store that held it."""

    generation: int
    place: str


class HostMarks:
    """Marks by name, in a folder of this host."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder.expanduser()

    def host(self, *, make: bool = True) -> str | None:
        """A random name of this host, made when first asked for; None when there is none, or it cannot be kept."""
        file = self.folder / "host"
        try:
            if make:
                make_private_folder(self.folder)
            if not check_private_file(file, "host's name"):
                if not make:
                    return None
                with contextlib.suppress(FileExistsError):  # another process was first
                    write_private_file(file, secrets.token_hex(8).encode())
            return file.read_text(encoding="ascii") or None
        except (ConfigurationError, OSError, UnicodeDecodeError):
            return None

    def read(self, name: str) -> Mark | None:
        """The mark, or None when there is none that can be read."""
        file = self._file(name)
        try:
            if not check_private_file(file, "host mark"):
                return None
            found = json.loads(file.read_text(encoding="utf-8"))
            return Mark(int(found["generation"]), str(found["place"]))
        except (ConfigurationError, OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, name: str, mark: Mark) -> None:
        """Set the mark, if the folder takes it. Of two that write at once one wins: a mark that is too low is safe."""
        file = self._file(name)
        temporary = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            make_private_folder(self.folder)
            with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
                json.dump(asdict(mark), out)
            temporary.replace(file)
        except (ConfigurationError, OSError):
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)

    def fault(self) -> str | None:
        """Why nothing can be kept here, as part of a sentence; None when it can."""
        if not self.folder.exists():
            above = next((folder for folder in self.folder.parents if folder.exists()), None)
            return None if above is not None and above.is_dir() and os.access(above, os.W_OK) else f"{self.folder} cannot be made"
        try:
            make_private_folder(self.folder)
        except ConfigurationError:
            return f"{self.folder} is no folder, or others may write to it"
        return None if os.access(self.folder, os.W_OK) else f"{self.folder} cannot be written"

    def _file(self, name: str) -> Path:
        return self.folder / f"{hashlib.sha256(name.encode()).hexdigest()[:32]}.json"
