"""A new sealing key: every stored connection is sealed anew, while others go on using it."""

from __future__ import annotations

from dataclasses import dataclass

from pleo_connector.auth.advice import how_to_refresh
from pleo_connector.auth.connection import LOCK_TIMEOUT, binding_of
from pleo_connector.auth.key_sources import source_of
from pleo_connector.auth.keys import Binding, KeyRing
from pleo_connector.auth.reauth import missing_key
from pleo_connector.auth.stores import OpenedStore, Record, TokenStore, open_store
from pleo_connector.auth.token_persistence import TokenFiles
from pleo_connector.errors import ConfigurationError, CredentialError, WrongKey
from pleo_connector.settings import Settings


@dataclass(frozen=True, slots=True)
class KeyRotation:
    """What a key rotation did; holds no key."""

    key_id: str
    """Names the key that seals from now on."""
    origin: str
    sealed: tuple[str, ...]
    """The connections that are sealed with it now."""
    left: tuple[str, ...]
    """Connections that none of these keys opens; they were left as they are."""
    keys_kept: int


def rotate_key(
    settings: Settings, *, forget_old: bool = False, opened: OpenedStore | None = None, lock_timeout: float = LOCK_TIMEOUT
) -> KeyRotation:
    """Seal all that is stored with a new key (of PLEO_TOKEN_KEYS: with its first).

    The old keys stay behind the new one, for processes that still seal with them; `forget_old` makes no new key, seals with
    the present one, and drops the others, unless something does not open. WrongKey when nothing opens.
    """
    if settings.uses_api_key:
        raise ConfigurationError("PLEO_API_KEY is set: no tokens are stored, so there is no key to change.")
    opened = opened or open_store(settings.token_store, settings.host_marks)
    with opened.store.lock("sealing keys", lock_timeout):  # one key rotation at a time
        return _rotated(settings, opened, lock_timeout, forget_old=forget_old)


def _rotated(settings: Settings, opened: OpenedStore, lock_timeout: float, *, forget_old: bool) -> KeyRotation:
    source = source_of(settings, opened)
    ring = source.ring()
    if ring is None:
        raise missing_key(settings.connection)
    names = [record.connection for record in opened.store.records()]
    if not (forget_old or source.origin == "PLEO_TOKEN_KEYS"):
        _must_open_something(opened.store, names, ring, binding_of(settings))
        ring = source.add_key()
    sealed: list[str] = []
    left: list[str] = []
    for name in names:
        done = _sealed_anew(opened.store, name, ring, lock_timeout)
        (sealed if done else left).extend([name] if done is not None else [])
    if left and not sealed:
        raise _nothing_opens(left[0], ring)
    if forget_old and source.origin != "PLEO_TOKEN_KEYS":
        if left:
            raise CredentialError(f"The old keys were kept: {', '.join(left)} did not open with any of {source.origin}.")
        for record in opened.store.records():  # again: somebody may have logged in since they were listed
            _must_outlive_the_old_keys(record, ring, TokenFiles(record.connection, opened.spill_folders))
        ring = source.keep_first()
    return KeyRotation(ring.key_id, source.origin, tuple(sealed), tuple(left), ring.count)


def _must_outlive_the_old_keys(record: Record, ring: KeyRing, files: TokenFiles) -> None:
    """CredentialError when something of this connection would not open without them."""
    if record.blob is not None and not ring.seals(record.blob):
        raise CredentialError(f"The old keys were kept: {record.connection} was stored anew meanwhile; run it again.")
    if (path := files.waiting(record.generation)) is not None:
        raise CredentialError(
            f"The old keys were kept: new tokens of {record.connection} lie in {path}, sealed with one of them; "
            f"to have them taken over, {how_to_refresh(record.connection)}, and then this again."
        )


def _sealed_anew(store: TokenStore, name: str, ring: KeyRing, lock_timeout: float) -> bool | None:
    """True when it is sealed with the first key now, False when no key opens it, None when nothing is stored any more."""
    with store.lock(name, lock_timeout):
        while True:
            record = store.read(name)
            if record is None or record.blob is None:
                return None
            try:
                blob = ring.reseal(record.blob, name)
            except WrongKey:
                return False
            if store.reseal(name, record.generation, blob):
                return True  # else a login was first, which takes no lock: look again


def _must_open_something(store: TokenStore, names: list[str], ring: KeyRing, binding: Binding) -> None:
    """A wrong key must not become the right one by rotating it."""
    blobs = {name: record.blob for name in names if (record := store.read(name)) is not None and record.blob is not None}
    for name, blob in blobs.items():
        try:
            ring.reseal(blob, name)
        except WrongKey:
            continue
        return
    if blobs:
        raise _nothing_opens(binding.connection, ring)


def _nothing_opens(name: str, ring: KeyRing) -> WrongKey:
    return WrongKey(
        f"The stored tokens of {name} do not open with the key from {ring.origin}; they were left as they are, and no key was changed. "
        "Set PLEO_TOKEN_KEYS to the key they were sealed with."
    )
