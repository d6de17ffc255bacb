"""Where sealing keys come from: PLEO_TOKEN_KEYS, a private file, or a provider that another package brings.

A provider is found by its name, PLEO_KEY_PROVIDER, among the entry points of the group `pleo_connector.keys`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Protocol, TypeVar

from cryptography.fernet import Fernet

from pleo_connector.auth.keys import MAKE_ONE, KeyRing
from pleo_connector.auth.redaction import REDACTOR
from pleo_connector.auth.secret import Secret
from pleo_connector.auth.stores import OpenedStore
from pleo_connector.auth.stores.files import check_private_file, make_private_folder, sync_folder, write_private_file
from pleo_connector.errors import ConfigurationError, CredentialError, PleoError
from pleo_connector.settings import Settings

T = TypeVar("T")

GROUP = "pleo_connector.keys"


class KeyProvider(Protocol):
    """Keeps Fernet keys: 32 random bytes each, in URL-safe base64. The first seals, all open.

    An entry point of the group `pleo_connector.keys` names a class (or function) that makes one without arguments.
    """

    def load(self) -> Sequence[str]:
        """The keys; none when nothing was saved yet. What it raises is told to the user by its type only."""
        ...

    def save(self, keys: Sequence[str]) -> None:
        """Keep these keys, durably, in place of all before; NotImplementedError where keys are kept by other means."""
        ...


class KeySource:
    """A provider, with words for it."""

    def __init__(self, provider: KeyProvider, origin: str) -> None:
        """`origin` says for messages where the keys come from."""
        self.origin = origin
        self._provider = provider

    def __reduce__(self) -> str:
        raise TypeError("keys are not pickled")

    def ring(self, *, create: bool = False) -> KeyRing | None:
        """The keys; None when there are none. Only the first login creates one."""
        keys = self._load()
        if not keys and create:
            self._save([_new_key()])
            keys = self._load()  # another login may have been first, and its key is as good
        return KeyRing([Secret(key) for key in keys], self.origin) if keys else None

    def add_key(self) -> KeyRing:
        """Put a new key before those that there are."""
        self._save([_new_key(), *self._load()])
        return self._there()

    def keep_first(self) -> KeyRing:
        """Forget all keys but the first."""
        self._save(self._load()[:1])
        return self._there()

    def _there(self) -> KeyRing:
        ring = self.ring()
        if ring is None:
            raise CredentialError(f"{self.origin} did not keep the key; nothing was sealed anew.")
        return ring

    def _load(self) -> list[str]:
        keys = _told(self.origin, lambda: [key.strip() for key in self._provider.load() if key.strip()])
        REDACTOR.register(*keys)
        return keys

    def _save(self, keys: list[str]) -> None:
        REDACTOR.register(*keys)
        _told(self.origin, lambda: self._provider.save(keys))


def source_of(settings: Settings, opened: OpenedStore) -> KeySource:
    """Where the keys of these settings are kept; ConfigurationError when a provider is named that is not installed."""
    given = settings.token_keys.get_secret_value()
    if given:
        return KeySource(_Given(given, "PLEO_TOKEN_KEYS holds the keys: put a new one before them yourself"), "PLEO_TOKEN_KEYS")
    if settings.key_provider:
        return KeySource(provider_named(settings.key_provider), f"the key provider {settings.key_provider}")
    if opened.key_file is None:
        advice = f"This token store is shared by several hosts, which all need the same key: set PLEO_TOKEN_KEYS; {MAKE_ONE}"
        return KeySource(_Given("", advice), "PLEO_TOKEN_KEYS")
    return KeySource(KeyFile(opened.key_file), f"the key file {opened.key_file}")


def provider_named(name: str, found: Iterable[EntryPoint] | None = None) -> KeyProvider:
    """The installed provider of this name; `found` are the entry points to choose from."""
    points = {point.name: point for point in (entry_points(group=GROUP) if found is None else found)}
    if name not in points:
        there = f"installed are: {', '.join(sorted(points))}" if points else "none is installed"
        raise ConfigurationError(f"PLEO_KEY_PROVIDER names {name!r}, and there is no such key provider; {there}.")

    def make() -> KeyProvider:
        provider: KeyProvider = points[name].load()()
        return provider

    return _told(f"the key provider {name}", make)


class _Given:
    """Keys of a variable, which this process cannot change; `advice` says who can."""

    def __init__(self, text: str, advice: str) -> None:
        self._text = text
        self._advice = advice

    def __reduce__(self) -> str:
        raise TypeError("keys are not pickled")

    def load(self) -> Sequence[str]:
        return self._text.split(",")

    def save(self, keys: Sequence[str]) -> None:  # noqa: ARG002 - refused whatever they are
        raise ConfigurationError(f"{self._advice}.")


class KeyFile:
    """Keys in a private file (0600), one a line."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def load(self) -> Sequence[str]:
        """The keys; none when there is no file."""
        if not check_private_file(self._path, "key file"):
            return []
        try:
            return self._path.read_text(encoding="ascii").split("\n")
        except (OSError, UnicodeDecodeError):
            raise ConfigurationError(f"The key file {self._path} cannot be read as text; restore it, or set PLEO_TOKEN_KEYS.") from None

    def save(self, keys: Sequence[str]) -> None:
        """A first key never replaces a file; later ones replace it in one step."""
        make_private_folder(self._path.parent)
        content = "".join(f"{key}\n" for key in keys).encode("ascii")
        try:
            if not check_private_file(self._path, "key file"):
                with contextlib.suppress(FileExistsError):  # another login was first, and its key is as good
                    write_private_file(self._path, content)
                return
            fresh = self._path.with_name(f".{self._path.name}.new")
            fresh.unlink(missing_ok=True)
            write_private_file(fresh, content)
            fresh.replace(self._path)
            sync_folder(self._path.parent)
        except OSError as error:
            raise ConfigurationError(
                f"The key file {self._path} cannot be written: {error.strerror}; set PLEO_TOKEN_KEYS instead."
            ) from None


def _new_key() -> str:
    return Fernet.generate_key().decode()


def _told(origin: str, do: Callable[[], T]) -> T:
    """What `do` gives; a provider's own error by its type only, because its text may hold a key."""
    try:
        return do()
    except PleoError:
        raise
    except NotImplementedError:
        raise ConfigurationError(f"{origin} is read-only: put a new key before the others where they are kept.") from None
    except Exception as error:  # noqa: BLE001 - somebody else's code
        raise CredentialError(f"Keys could not be had from {origin} ({type(error).__name__}); see to it and try again.") from None
