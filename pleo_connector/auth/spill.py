"""Where new tokens go when the store cannot be written after a rotation: a sealed file beside it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import logging
from dataclasses import dataclass
from pathlib import Path

from pleo_connector.auth.stores.files import check_private_file, write_private_file
from pleo_connector.errors import ConfigurationError

_log = logging.getLogger(__name__)


class Spill:
    """Keeps what a store refused, by intent, in the first folder that takes it and in memory."""

    def __init__(self, connection: str, folders: tuple[Path, ...]) -> None:
        self._connection = hashlib.sha256(connection.encode()).hexdigest()[:12]
        self._folders = folders
        self._unsaved: dict[str, tuple[int, bytes]] = {}

    def write(self, intent_id: str, generation: int, blob: bytes) -> Path | None:
        """Keep the sealed blob that replaces `generation`; the file's path, or None when no folder took it and only memory has it."""
        self._unsaved[intent_id] = (generation, blob)
        content = json.dumps({"intent": intent_id, "generation": generation, "blob": base64.b64encode(blob).decode()}).encode()
        for folder in self._folders:
            path = self._path(folder, intent_id)
            try:
                write_private_file(path, content)
            except OSError as error:
                _log.error("The new tokens could not be kept in %s: %s.", path, error.strerror)
                continue
            return path
        return None

    def find(self, intent_id: str) -> bytes | None:
        """The sealed blob of an open intent, if it was kept anywhere."""
        if intent_id in self._unsaved:
            return self._unsaved[intent_id][1]
        found = (_read(self._path(folder, intent_id)) for folder in self._folders)
        return next((kept.blob for kept in found if kept is not None), None)

    def of_generation(self, generation: int) -> tuple[str, bytes] | None:
        """Intent and sealed blob of what was to replace this generation, if it was kept anywhere."""
        for intent_id, (of, blob) in self._unsaved.items():
            if of == generation:
                return intent_id, blob
        found = (_read(path) for path in self._files())
        return next(((kept.intent, kept.blob) for kept in found if kept is not None and kept.generation == generation), None)

    def waiting(self, generation: int) -> Path | None:
        """A file with what is to replace this generation; what is older is deleted."""
        self.settle(generation - 1)
        return next((path for path in self._files() if (kept := _read(path)) is not None and kept.generation in (None, generation)), None)

    def settle(self, generation: int | None = None) -> None:
        """Forget what was to replace this generation or an older one (None: any): the store has newer tokens, or none."""
        for intent_id in [one for one, (of, _) in self._unsaved.items() if generation is None or of <= generation]:
            del self._unsaved[intent_id]
        for path in self._files():
            kept = _read(path)
            # A file without a number is from before they had one, and not of a refresh that is still under way.
            if generation is None or (kept is not None and (kept.generation is None or kept.generation <= generation)):
                with contextlib.suppress(OSError):
                    path.unlink(missing_ok=True)

    def _files(self) -> list[Path]:
        found: list[Path] = []
        for folder in self._folders:
            with contextlib.suppress(OSError):
                found += sorted(folder.glob(f"pleo-tokens.{self._connection}.*.spill"))
        return found

    def _path(self, folder: Path, intent_id: str) -> Path:
        return folder / f"pleo-tokens.{self._connection}.{intent_id}.spill"


@dataclass(frozen=True, slots=True)
class _Kept:
    intent: str
    generation: int | None
    blob: bytes


def _read(path: Path) -> _Kept | None:
    try:
        if not check_private_file(path, "spill file"):
            return None
        content = json.loads(path.read_bytes())
        generation = content.get("generation")
        return _Kept(str(content["intent"]), generation if isinstance(generation, int) else None, base64.b64decode(content["blob"]))
    except (ConfigurationError, OSError, ValueError, KeyError, TypeError, AttributeError):
        _log.warning("The spill file %s is not usable and was left alone.", path)
        return None
