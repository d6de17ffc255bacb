"""Gets the tokens of a refresh into the store.

When the store cannot be written after a rotation (a full disk, a database that is away), the sealed tokens go to a file beside it,
and are taken over as soon as the store works again. This is rare; without it, one fault of the store would cost the grant.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from pleo_connector.auth.advice import how_to_connect
from pleo_connector.auth.keys import Binding, KeyRing
from pleo_connector.auth.stores.files import check_private_file, write_private_file
from pleo_connector.auth.stores.installation import Installation
from pleo_connector.auth.stores.protocol import Intent, Record, State, TokenStore
from pleo_connector.auth.token import TokenSet
from pleo_connector.errors import ConfigurationError, CredentialError, TokenStoreUnavailable, WrongKey

_PATIENCE = 60.0  # seconds of trying to store tokens that exist nowhere else

_log = logging.getLogger(__name__)


class TokenPersistence:
    """The way of one connection's new tokens into its store; nothing here asks Pleo."""

    def __init__(
        self,
        *,
        store: TokenStore,
        binding: Binding,
        installation: Installation,
        files: TokenFiles,
        monotonic: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._store = store
        self._binding = binding
        self._installation = installation
        self._files = files
        self._monotonic = monotonic
        self._sleep = sleep

    def commit(self, record: Record, intent: Intent, new: TokenSet, keys: KeyRing) -> bool:
        """Store what replaces `record`; False when a newer login is there. TokenStoreUnavailable once they are in a file instead."""
        blob = keys.seal(new, self._binding)
        end = self._monotonic() + _PATIENCE
        wait = 0.5
        while True:
            try:
                stored = self._stored(record.generation, intent.id, blob)
                break
            except (CredentialError, ConfigurationError, OSError) as error:
                if self._monotonic() >= end:
                    raise self._kept_outside(record, intent, blob, error) from None
                _log.error("New tokens could not be stored yet, trying again: %s", error)
                self._sleep(wait)
                wait = min(2 * wait, 8.0)
        self._files.settle(record.generation)
        if not stored:
            _log.warning("Refresh %s: a newer login was stored meanwhile; its tokens are used, these are dropped.", intent.id)
            return False
        self._installation.saw(replace(record, generation=record.generation + 1))
        _log.info("Refresh %s done: generation %d, token %s.", intent.id, record.generation + 1, keys.fingerprint(new.refresh))
        return True

    def adopt(self, record: Record, intent: Intent, keys: KeyRing) -> bool:
        """Store what the open refresh left beside the store; False when it left nothing."""
        blob = self._files.find(intent.id)
        if blob is None:
            return False
        try:
            keys.open(blob, self._binding)  # a file from elsewhere must not get in
        except WrongKey:
            raise WrongKey(
                f"New tokens of {record.connection} lie outside the store, in {self._files.waiting(record.generation) or 'memory'}, and do not open with "
                f"the key from {keys.origin}. Set PLEO_TOKEN_KEYS to the key they were sealed with; if it is lost, {how_to_connect(record.connection)}."
            ) from None
        stored = self._stored(record.generation, intent.id, blob)
        self._files.settle(record.generation)
        if stored:
            _log.warning("Tokens kept outside the store by refresh %s were taken over.", intent.id)
        else:
            _log.warning("Tokens kept outside the store by refresh %s were dropped: a newer login is there.", intent.id)
        return True

    def rescue(self, record: Record, keys: KeyRing) -> bool:
        """Store what was left here by a refresh that another host has since given up for lost; False when there is nothing of that kind."""
        kept = self._files.of_generation(record.generation) if record.state is State.REAUTH_REQUIRED else None
        if kept is None or self._installation.judge(record, lambda: record).standing.stale:
            return False
        intent_id, blob = kept
        try:
            keys.open(blob, self._binding)
        except WrongKey as error:
            _log.error("Tokens kept outside the store by refresh %s cannot be opened: %s", intent_id, error)
            return False
        if not self._store.rescue(record.connection, record.generation, blob):
            return False  # a login or another process was first
        self._files.settle(record.generation)
        _log.warning("Tokens kept outside the store by refresh %s were taken over; the grant lives.", intent_id)
        return True

    def _stored(self, generation: int, intent_id: str, blob: bytes) -> bool:
        connection = self._binding.connection
        stored = self._store.commit(connection, generation, intent_id, blob)
        # Cut off for so long that others gave this refresh up for lost: it is not.
        stored = stored or self._store.rescue(connection, generation, blob)
        if not stored and self._store.read(connection) is None:  # as when the file system with the store was unmounted
            raise TokenStoreUnavailable("The token store no longer has this connection; put back what was there.")
        return stored

    def _kept_outside(self, record: Record, intent: Intent, blob: bytes, error: Exception) -> TokenStoreUnavailable:
        path = self._files.write(intent.id, record.generation, blob)
        kept = (
            f"in {path}, sealed, and are taken over as soon as the store works again"
            if path
            else "only in this process's memory: do not stop it"
        )
        sentence = f"The tokens were refreshed and cannot be stored ({error}) The new ones are kept {kept}."
        _log.critical("%s", sentence)
        return TokenStoreUnavailable(sentence)


class TokenFiles:
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
