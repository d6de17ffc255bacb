"""Where new tokens go when the store cannot be written after a rotation: a sealed file beside it."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import logging
from pathlib import Path

from pleo_connector.auth.stores.files import check_private_file, write_private_file
from pleo_connector.errors import ConfigurationError

_log = logging.getLogger(__name__)


class Spill:
    """Keeps what a store refused, by intent, in the first folder that takes it and in memory."""

    def __init__(self, connection: str, folders: tuple[Path, ...]) -> None:
        self._connection = hashlib.sha256(connection.encode()).hexdigest()[:12]
        self._folders = folders
        self._unsaved: dict[str, bytes] = {}

    def write(self, intent_id: str, blob: bytes) -> Path | None:
        """Keep a sealed blob; the file's path, or None when no folder took it and only memory has it."""
        self._unsaved[intent_id] = blob
        content = json.dumps({"intent": intent_id, "blob": base64.b64encode(blob).decode()}).encode()
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
            return self._unsaved[intent_id]
        for folder in self._folders:
            path = self._path(folder, intent_id)
            try:
                if check_private_file(path, "spill file"):
                    return base64.b64decode(json.loads(path.read_bytes())["blob"])
            except (ConfigurationError, OSError, ValueError, KeyError, TypeError):
                _log.warning("The spill file %s is not usable and was left alone.", path)
        return None

    def drop(self, intent_id: str) -> None:
        """Forget it: the store has it now, or a newer login."""
        self._unsaved.pop(intent_id, None)
        for folder in self._folders:
            with contextlib.suppress(OSError):
                self._path(folder, intent_id).unlink(missing_ok=True)

    def _path(self, folder: Path, intent_id: str) -> Path:
        return folder / f"pleo-tokens.{self._connection}.{intent_id}.spill"
