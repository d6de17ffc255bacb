"""Gets the tokens of a refresh into the store; what the store does not take is kept beside it until it does."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from pleo_connector.auth.advice import how_to_connect
from pleo_connector.auth.keys import Binding, KeyRing
from pleo_connector.auth.spill import Spill
from pleo_connector.auth.stores.installation import Installation
from pleo_connector.auth.stores.protocol import Intent, Record, State, TokenStore
from pleo_connector.auth.token import TokenSet
from pleo_connector.errors import ConfigurationError, CredentialError, TokenStoreUnavailable, WrongKey

_PATIENCE = 60.0  # seconds of trying to store tokens that exist nowhere else

_log = logging.getLogger(__name__)


class Deposit:
    """The way of one connection's new tokens into its store; nothing here asks Pleo."""

    def __init__(
        self,
        *,
        store: TokenStore,
        binding: Binding,
        installation: Installation,
        spill: Spill,
        monotonic: Callable[[], float],
        sleep: Callable[[float], None],
    ) -> None:
        self._store = store
        self._binding = binding
        self._installation = installation
        self._spill = spill
        self._monotonic = monotonic
        self._sleep = sleep

    def commit(self, record: Record, intent: Intent, new: TokenSet, keys: KeyRing) -> bool:
        """Store what replaces `record`; False when a newer login is there. TokenStoreUnavailable once they were spilled instead."""
        blob = keys.seal(new, self._binding)
        end = self._monotonic() + _PATIENCE
        wait = 0.5
        while True:
            try:
                stored = self._stored(record.generation, intent.id, blob)
                break
            except (CredentialError, ConfigurationError, OSError) as error:
                if self._monotonic() >= end:
                    raise self._spilled(record, intent, blob, error) from None
                _log.error("New tokens could not be stored yet, trying again: %s", error)
                self._sleep(wait)
                wait = min(2 * wait, 8.0)
        self._spill.settle(record.generation)
        if not stored:
            _log.warning("Refresh %s: a newer login was stored meanwhile; its tokens are used, these are dropped.", intent.id)
            return False
        self._installation.saw(replace(record, generation=record.generation + 1))
        _log.info("Refresh %s done: generation %d, token %s.", intent.id, record.generation + 1, keys.fingerprint(new.refresh))
        return True

    def adopt(self, record: Record, intent: Intent, keys: KeyRing) -> bool:
        """Store what the open refresh left beside the store; False when it left nothing."""
        blob = self._spill.find(intent.id)
        if blob is None:
            return False
        try:
            keys.open(blob, self._binding)  # a file from elsewhere must not get in
        except WrongKey:
            raise WrongKey(
                f"New tokens of {record.connection} lie outside the store, in {self._spill.waiting(record.generation) or 'memory'}, and do not open with "
                f"the key from {keys.origin}. Set PLEO_TOKEN_KEYS to the key they were sealed with; if it is lost, {how_to_connect(record.connection)}."
            ) from None
        stored = self._stored(record.generation, intent.id, blob)
        self._spill.settle(record.generation)
        if stored:
            _log.warning("Tokens kept outside the store by refresh %s were taken over.", intent.id)
        else:
            _log.warning("Tokens kept outside the store by refresh %s were dropped: a newer login is there.", intent.id)
        return True

    def rescue(self, record: Record, keys: KeyRing) -> bool:
        """Store what was left here by a refresh that another host has since given up for lost; False when there is nothing of that kind."""
        kept = self._spill.of_generation(record.generation) if record.state is State.REAUTH_REQUIRED else None
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
        self._spill.settle(record.generation)
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

    def _spilled(self, record: Record, intent: Intent, blob: bytes, error: Exception) -> TokenStoreUnavailable:
        path = self._spill.write(intent.id, record.generation, blob)
        kept = (
            f"in {path}, sealed, and are taken over as soon as the store works again"
            if path
            else "only in this process's memory: do not stop it"
        )
        sentence = f"The tokens were refreshed and cannot be stored ({error}) The new ones are kept {kept}."
        _log.critical("%s", sentence)
        return TokenStoreUnavailable(sentence)
