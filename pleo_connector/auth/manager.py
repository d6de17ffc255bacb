"""The one place that decides whether a token is good, and the only one that refreshes.

For threads, event loops, processes and forks: an in-process lock per connection, then the store's
lock between processes, then `rotation`.
"""

from __future__ import annotations

import logging
import os
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from pleo_connector.auth.advice import how_to_connect
from pleo_connector.auth.keys import Binding, KeyRing
from pleo_connector.auth.keys_in_use import KeysInUse
from pleo_connector.auth.outcome import Postponed, Settled
from pleo_connector.auth.reauth import connected
from pleo_connector.auth.rotation import Rotation
from pleo_connector.auth.secret import Secret
from pleo_connector.auth.stores.installation import Installation
from pleo_connector.auth.stores.protocol import Record, State, TokenStore
from pleo_connector.auth.token import TokenSet
from pleo_connector.auth.uninterrupted import run_uninterrupted
from pleo_connector.errors import PleoError, RefreshUnavailable, TokenStoreUnavailable, WrongKey

LOOK_EVERY = 0.25  # seconds for which a look into the store counts
_ATTEMPTS = 6
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 30.0
_LONGEST_RETRY_AFTER = 120.0

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _View:
    """What the store said, and when."""

    tokens: TokenSet
    generation: int
    state: State
    seen_at: float


@dataclass(slots=True)
class _Process:
    """What must not be shared with a forked child: its locks may be held by threads that are not there."""

    refreshing: threading.Lock = field(default_factory=threading.Lock)
    looking: threading.Lock = field(default_factory=threading.Lock)
    view: _View | None = None
    failures: int = 0
    failure: PleoError | None = None
    quiet_until: float = float("-inf")
    quiet_generation: int = 0
    """Until then, the tokens of this generation are used although they are due: a refresh was put off."""


class CredentialManager:
    """Gives access tokens that work; make one per connection and process, and share it between threads."""

    def __init__(
        self,
        *,
        store: TokenStore,
        keys: Callable[[], KeyRing | None],
        binding: Binding,
        installation: Installation,
        rotation: Callable[[KeyRing], Rotation],
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        jitter: Callable[[float, float], float] = random.uniform,
        patience: float = 150.0,
        looked: str = "",
    ) -> None:
        """`keys` gives None while there is no key yet, which is before the first login. `patience`: seconds a thread waits for its turn.

        `looked` says, as part of a sentence, where the connection is looked for.
        """
        self._looked = looked
        self._store = store
        self._keys = KeysInUse(binding.connection, keys)
        self._binding = binding
        self._installation = installation
        self._rotation = rotation
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._jitter = jitter
        self._patience = patience
        self._made: Rotation | None = None
        self._processes: dict[int, _Process] = {}

    @property
    def connection(self) -> str:
        """The name of the connection that this manages."""
        return self._binding.connection

    def cached(self) -> Secret | None:
        """The access token if it is known to be good without looking anywhere; never blocks."""
        view = self._process().view
        if view is not None and self._monotonic() - view.seen_at < LOOK_EVERY and self._good(view):
            return view.tokens.access
        return None

    def access_token(self, rejected: Secret | None = None) -> Secret:
        """An access token to send; refreshes first when due, or when `rejected` (answered with 401) is still the stored one.

        Raises ReauthRequired (a person must act; StaleTokenStore among them), RefreshUnavailable (try later), ClientRejected,
        ConfigurationError, WrongKey, TokenStoreCorrupt, TokenStoreUnavailable.
        """
        view = self._look(fresh=rejected is not None)
        if self._good(view) and view.tokens.access != rejected:
            return view.tokens.access
        return self._take_turn(rejected, force_generation=None).access

    def should_work(self, token: Secret) -> bool:
        """Whether this access token is the stored one, nobody is replacing it, and it has not expired; raises what `access_token` raises of the store."""
        view = self._look(fresh=True)
        return view.state is State.ACTIVE and view.tokens.access == token and not view.tokens.has_expired(self._clock())

    def refresh(self) -> TokenSet:
        """Refresh now, due or not; if another process does so meanwhile, its tokens do."""
        view = self._look(fresh=True)
        return self._take_turn(None, force_generation=view.generation)

    def tokens(self) -> TokenSet:
        """The stored tokens as they are; never refreshes."""
        return self._look(fresh=True).tokens

    def _process(self) -> _Process:
        pid = os.getpid()
        found = self._processes.get(pid)
        return found if found is not None else self._processes.setdefault(pid, _Process())

    def _good(self, view: _View) -> bool:
        now, process = self._clock(), self._process()
        if self._monotonic() < process.quiet_until and view.generation == process.quiet_generation and not view.tokens.has_expired(now):
            return view.state in (State.ACTIVE, State.REFRESHING)
        return view.state is State.ACTIVE and not view.tokens.is_due(now)

    def _look(self, *, fresh: bool = False) -> _View:
        process = self._process()
        with process.looking:  # one thread looks, the others use what it saw
            view = process.view
            if view is not None and not fresh and self._monotonic() - view.seen_at < LOOK_EVERY:
                return view
            process.view = None  # what follows may raise, and then nothing is known
            seen_at = self._monotonic()
            record = self._read()
            known = view is not None and view.generation == record.generation
            if not known:
                self._installation.check(record, lambda: self._store.read(self.connection))
            try:
                tokens = view.tokens if view is not None and known else self._opened(record)
            except WrongKey:  # a key rotation may have sealed it anew, and dropped the old key, since it was read
                record = self._read()
                tokens = self._opened(record)
            process.view = _View(tokens, record.generation, record.state, seen_at)
            return process.view

    def _read(self) -> Record:
        record = self._store.read(self.connection)
        if record is not None and record.state is State.REAUTH_REQUIRED and self._rescued(record):
            record = self._store.read(self.connection)
        if record is None and self._installation.misses(self.connection):
            raise TokenStoreUnavailable(
                f"The token store no longer has {self.connection}, which this host has used there: perhaps its file system is not mounted, or "
                f"PLEO_TOKEN_STORE now names an empty place. Put it back; if it is gone for good, {how_to_connect(self.connection)}."
            )
        return connected(record, self.connection, self._looked)

    def _rescued(self, record: Record) -> bool:
        """Whether the tokens lay here that another host had given up for lost."""
        try:
            return self._current_rotation().rescue(record)
        except WrongKey:  # no key here: then there is nothing that could be opened either
            return False

    def _opened(self, record: Record) -> TokenSet:
        now = self._clock()
        blob = record.blob or b""
        try:
            tokens = self._keys.ring().open(blob, self._binding)
        except WrongKey:
            self._keys_changed()  # by us now, or by another thread since the ring was taken: one more try either way
            tokens = self._keys.ring().open(blob, self._binding)
        return tokens.aged(record.stored_ago, now)

    def _keys_changed(self) -> None:
        if self._keys.changed():
            self._made = None

    def _current_rotation(self) -> Rotation:
        keys = self._keys.ring()
        if self._made is None:
            self._made = self._rotation(keys)
            self._made.fresh_keys = self._keys.fresh
        return self._made

    def _take_turn(self, rejected: Secret | None, force_generation: int | None) -> TokenSet:
        process = self._process()
        failures = process.failures
        if not process.refreshing.acquire(timeout=self._patience):
            raise RefreshUnavailable(f"A refresh of {self.connection} in this process did not end within {self._patience:g} s; try again.")
        try:
            view = self._look(fresh=True)
            if force_generation is not None:
                if view.state is State.ACTIVE and view.generation != force_generation:
                    return view.tokens
            elif self._good(view) and view.tokens.access != rejected:
                return view.tokens
            if process.failure is not None and process.failures > failures:
                # It failed while this thread stood in the queue: the same again would only hammer Pleo.
                raise type(process.failure)(*process.failure.args)
            try:
                return self._refresh(process, rejected, view.tokens if force_generation is not None else None)
            except PleoError as error:
                process.failure, process.failures = error, process.failures + 1
                process.view = None
                raise
        finally:
            process.refreshing.release()

    def _refresh(self, process: _Process, rejected: Secret | None, forced: TokenSet | None) -> TokenSet:
        def wanted(tokens: TokenSet) -> bool:
            if forced is not None:
                return tokens.access == forced.access
            return tokens.access == rejected or tokens.is_due(self._clock())

        why, retry_after = "", None
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                outcome = self._rotated(wanted, rejected)
            except WrongKey:  # found before anything was sent
                self._keys_changed()
                outcome = self._rotated(wanted, rejected)
            if isinstance(outcome, Settled):
                process.quiet_until = float("-inf")
                process.view = _View(outcome.tokens, outcome.generation, State.ACTIVE, self._monotonic())
                return outcome.tokens
            why, retry_after = outcome.why, outcome.retry_after
            wait = max(self._jitter(0.0, min(_LONGEST_WAIT, _FIRST_WAIT * 2**attempt)), outcome.retry_after or 0.0)
            still_good = (
                outcome.intact and forced is None and outcome.tokens.access != rejected and not outcome.tokens.has_expired(self._clock())
            )
            if still_good:
                # The old token still lives: use it, and ask again a little later.
                _log.warning("Refresh of %s postponed: %s; the present access token is used meanwhile.", self.connection, outcome.why)
                process.quiet_until, process.quiet_generation = self._monotonic() + max(wait, 1.0), outcome.generation
                process.view = _View(outcome.tokens, outcome.generation, State.ACTIVE, self._monotonic())
                return outcome.tokens
            if outcome.setting is not None:
                raise outcome.setting
            if attempt == _ATTEMPTS or not outcome.worth_retrying or wait > _LONGEST_RETRY_AFTER:
                break
            _log.warning("Refresh of %s postponed: %s; next attempt in %.1f s.", self.connection, outcome.why, wait)
            self._sleep(wait)
        raise RefreshUnavailable(
            f"The access token of {self.connection} could not be refreshed: {why}; the stored tokens were kept. "
            "Check the network and PLEO_AUTH_URL, and try again.",
            retry_after,
        )

    def _rotated(self, wanted: Callable[[TokenSet], bool], rejected: Secret | None) -> Settled | Postponed:
        rotation = self._current_rotation()
        return run_uninterrupted(lambda abandoned: rotation.run(wanted, rejected, abandoned))
