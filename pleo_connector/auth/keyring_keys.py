"""Sealing keys in the operating system's keyring: Keychain, Windows Credential Locker, Secret Service."""

from __future__ import annotations

from collections.abc import Sequence

from pleo_connector.errors import ConfigurationError

_SERVICE, _NAME = "pleo-connector", "token keys"


class KeyringKeys:
    """The provider `keyring`; needs the extra of that name."""

    def __init__(self) -> None:
        try:
            import keyring  # noqa: PLC0415 - an extra
        except ImportError:
            raise ConfigurationError(
                "PLEO_KEY_PROVIDER is keyring, and that package is not installed: run `pip install 'pleo-connector[keyring]'`."
            ) from None
        self._keyring = keyring

    def load(self) -> Sequence[str]:
        """The keys that this user's keyring holds for the connector."""
        return (self._keyring.get_password(_SERVICE, _NAME) or "").split(",")

    def save(self, keys: Sequence[str]) -> None:
        """One entry holds all keys, so that they change in one step."""
        self._keyring.set_password(_SERVICE, _NAME, ",".join(keys))
