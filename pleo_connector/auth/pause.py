"""Until when Pleo asked not to be asked for tokens: one answer with `Retry-After` counts for all that share the store."""

from __future__ import annotations

import logging

from pleo_connector.auth.stores import Notes
from pleo_connector.errors import CredentialError

_LONGEST = 3600.0
"""Seconds that are believed; beyond them Pleo is asked once more."""

_log = logging.getLogger(__name__)


class Pause:
    """The pause of one connection's refreshes, in the notes beside its store. Notes that do not work cost a request, not a refresh."""

    def __init__(self, notes: Notes, connection: str) -> None:
        self._notes = notes
        self._name = f"refreshes of {connection}"

    def left(self) -> float:
        """Seconds until Pleo may be asked; 0 for now."""
        try:
            text, now = self._notes.read(self._name)
            return min(max(0.0, float(text) - now), _LONGEST) if text else 0.0
        except (CredentialError, ValueError) as error:
            _log.warning("Whether Pleo asked to wait cannot be looked up: %s", error)
            return 0.0
        finally:
            self._notes.close()

    def keep(self, seconds: float) -> None:
        """Ask nobody for so long."""
        try:
            self._notes.change(self._name, lambda _, now: (repr(now + min(seconds, _LONGEST)), None))
        except CredentialError as error:
            _log.warning("That Pleo asked to wait cannot be kept: %s", error)
        finally:
            self._notes.close()
