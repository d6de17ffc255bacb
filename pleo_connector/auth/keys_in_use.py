"""The sealing keys of a process that runs for months: loaded late, and anew when somebody rotates them."""

from __future__ import annotations

from collections.abc import Callable

from pleo_connector.auth.keys import KeyRing
from pleo_connector.auth.reauth import missing_key


class KeysInUse:
    """The keys of one connection. Loaded when tokens are there to open: a process may be up before somebody connects."""

    def __init__(self, connection: str, load: Callable[[], KeyRing | None]) -> None:
        self._connection = connection
        self._load = load
        self._ring: KeyRing | None = None

    def ring(self) -> KeyRing:
        """The keys as they were loaded; WrongKey while there are none."""
        return self._ring or self.fresh()

    def fresh(self) -> KeyRing:
        """The keys as they are now; WrongKey while there are none."""
        fresh = self._load()
        if fresh is None:
            raise missing_key(self._connection)
        self._ring = fresh
        return fresh

    def changed(self) -> bool:
        """True when somebody rotated the key meanwhile; from here on the new ones are used."""
        fresh = self._load()
        if fresh is None or (self._ring is not None and fresh.key_id == self._ring.key_id):
            return False
        self._ring = fresh
        return True
