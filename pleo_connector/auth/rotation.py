"""One refresh under the lock: re-read, durable intent, one POST, compare-and-set commit.

This is the part that must not be cut short or done twice; `manager` runs it in a thread of its own.
"""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from pleo_connector.auth.advice import how_to_connect
from pleo_connector.auth.answers import CLIENT_WRONG, GRANT_GONE, REQUEST_WRONG, SCOPE_WRONG, Granted, NotProcessed, Refused, Uncertain
from pleo_connector.auth.endpoint import DEADLINE, TokenEndpoint
from pleo_connector.auth.keys import Binding, KeyRing
from pleo_connector.auth.outcome import Postponed, Settled
from pleo_connector.auth.pause import Pause
from pleo_connector.auth.reauth import connected, outcome_unknown, reauth, refused_after_doubt, unanswered, utc
from pleo_connector.auth.refresh_outcome import Oracle, Verdict
from pleo_connector.auth.secret import Secret
from pleo_connector.auth.stores.installation import Installation
from pleo_connector.auth.stores.protocol import Intent, LockHandle, Record, State, TokenStore
from pleo_connector.auth.token import TokenSet
from pleo_connector.auth.token_persistence import TokenFiles, TokenPersistence
from pleo_connector.errors import (
    ClientRejected,
    ConfigurationError,
    RefreshUnavailable,
)

SETTLE = 1.25 * DEADLINE
_SOON = 1.0  # seconds until the oracle is asked for the first time: by then most servers have done what they were going to do

_log = logging.getLogger(__name__)


class Rotation:
    """Refreshes one connection; `run` is one pass."""

    def __init__(
        self,
        *,
        store: TokenStore,
        keys: KeyRing,
        binding: Binding,
        endpoint: TokenEndpoint,
        installation: Installation,
        oracle: Oracle,
        files: TokenFiles,
        pause: Pause,
        clock: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        lock_timeout: float = 60.0,
        settle: float = SETTLE,
        deadline: float = DEADLINE,
    ) -> None:
        """`deadline`: seconds after which the endpoint gives up; `settle`: seconds from the start of a request after which the server is no longer at work on it."""
        self._store = store
        self._keys = keys
        self._binding = binding
        self._endpoint = endpoint
        self._installation = installation
        self._oracle = oracle
        self._persistence = TokenPersistence(
            store=store, binding=binding, installation=installation, files=files, monotonic=monotonic, sleep=sleep
        )
        self._clock = clock
        self._monotonic = monotonic
        self._sleep = sleep
        self._lock_timeout = lock_timeout
        self._pause = pause
        self._settle = settle
        self._span = deadline * 1.25
        self.fresh_keys: Callable[[], KeyRing] = lambda: keys
        """The keys as they are now; asked under the lock, so that nothing is sealed with one that was dropped meanwhile."""

    def run(  # noqa: C901 - the protocol in one piece reads better than in pieces
        self, wanted: Callable[[TokenSet], bool], rejected: Secret | None, abandoned: threading.Event
    ) -> Settled | Postponed:
        """Refresh if `wanted` still holds for what the store has once the lock is ours.

        Raises ReauthRequired, ClientRejected, ConfigurationError, RefreshUnavailable (lock not had),
        and what the store and keys raise. `abandoned` ends the wait for the lock, never a refresh.
        """
        with contextlib.ExitStack() as stack:
            handle = self._locked(stack, abandoned)
            self._keys = self.fresh_keys()
            uncertain: Uncertain | None = None
            mine = ""
            last_retry = False
            while True:
                found = self._store.read(self._binding.connection)
                if found is not None and self._persistence.rescue(found, self._keys):
                    continue
                record = connected(found, self._binding.connection)
                self._installation.check(record, lambda: self._store.read(self._binding.connection))
                tokens = self._keys.open(record.blob or b"", self._binding).aged(record.stored_ago, self._clock())
                if record.intent is not None:
                    if self._persistence.adopt(record, record.intent, self._keys):
                        continue
                    resolved = self._resolve(record, record.intent, tokens, uncertain if record.intent.id == mine else None)
                    if isinstance(resolved, Postponed):
                        return resolved
                    # An answer of 503 does not use up the one retry.
                    last_retry |= resolved is not Verdict.NOT_ROTATED and (record.intent.last_retry or not record.intent.unavailable)
                    continue
                if not wanted(tokens):
                    return Settled(record.generation, tokens)
                if abandoned.is_set():
                    return Postponed("the caller left", tokens, record.generation)
                if (pause := self._pause.left()) > 0:
                    return Postponed(f"Pleo asked to be left alone until {utc(self._clock() + pause)}", tokens, record.generation, pause)
                intent = self._intent(access_dead=tokens.access == rejected, last_retry=last_retry)
                if not self._store.begin(self._binding.connection, record.generation, intent):
                    continue  # a login or a late owner was first: look again
                mine = intent.id
                outcome = self._post(record, intent, tokens, handle)
                if isinstance(outcome, Uncertain):
                    uncertain = outcome
                elif outcome is not None:
                    return outcome

    def rescue(self, record: Record) -> bool:
        """Take over tokens that lie here for a grant that another host has given up; True when they are in the store now."""
        return self._persistence.rescue(record, self._keys)

    def _locked(self, stack: contextlib.ExitStack, abandoned: threading.Event) -> LockHandle:
        end = self._monotonic() + self._lock_timeout
        while True:
            slice_ = max(0.0, min(1.0, end - self._monotonic()))
            try:
                return stack.enter_context(self._store.lock(self._binding.connection, slice_))
            except RefreshUnavailable:
                if abandoned.is_set():
                    raise
                if self._monotonic() >= end:
                    raise RefreshUnavailable(
                        f"Another process is refreshing the tokens of {self._binding.connection} and did not finish within "
                        f"{self._lock_timeout:g} s; try again, or look for a hung process."
                    ) from None

    def _intent(self, *, access_dead: bool, last_retry: bool) -> Intent:
        now = self._clock()
        # The deadline leaves room for the POST and for what comes between it and the commit.
        return Intent(secrets.token_hex(8), socket.gethostname(), os.getpid(), now, now + self._span, access_dead, last_retry)

    def _post(self, record: Record, intent: Intent, tokens: TokenSet, handle: LockHandle) -> Settled | Postponed | Uncertain | None:
        """One POST and what follows from it; None means: look again."""
        # A process that was stopped on the way here may wake up long after others have gone on without it.
        if self._clock() - intent.started > self._span / 5 or not handle.still_held():
            self._mark(record, State.ACTIVE, record.reason, intent=intent)
            return Postponed("the token lock was lost", tokens, record.generation)
        print_ = self._keys.fingerprint(tokens.refresh)
        _log.info("Refresh %s of %s starts: generation %d, token %s.", intent.id, self._binding.connection, record.generation, print_)
        started = self._clock()
        match self._endpoint.refresh(tokens.refresh):
            case Granted() as granted:
                new = TokenSet(
                    granted.access,
                    granted.refresh,
                    issued_at=started,
                    lifetime=granted.lifetime,
                    scope=tokens.scope if granted.scope is None else granted.scope,
                    introspects_refresh=tokens.introspects_refresh,
                    took=max(0.0, self._clock() - started),
                )
                return Settled(record.generation + 1, new) if self._persistence.commit(record, intent, new, self._keys) else None
            case NotProcessed(why=why, retry_after=retry_after, worth_retrying=worth, setting=setting):
                self._mark(record, State.ACTIVE, record.reason, intent=intent)
                if retry_after:
                    self._pause.keep(retry_after)
                    why = f"{why}, and Pleo asks to wait until {utc(self._clock() + retry_after)}"
                return Postponed(why, tokens, record.generation, retry_after, worth, setting=setting)
            case Refused(error=error):
                self._refused(record, intent, error)
                return None
            case Uncertain() as uncertain:
                if uncertain.unavailable:
                    return uncertain if self._unavailable(record, intent, uncertain) else None
                self._sleep(min(_SOON, self._settle))
                return uncertain

    def _unavailable(self, record: Record, intent: Intent, answer: Uncertain) -> bool:
        """Note in the open intent that Pleo answered 503, for every process; False when somebody logged in meanwhile."""
        if answer.retry_after:
            self._pause.keep(answer.retry_after)
        self._mark(record, State.ACTIVE, unanswered(intent, f"met an unavailable server: {answer.why}"), intent=intent)
        return self._store.begin(self._binding.connection, record.generation, replace(intent, deadline=intent.started))

    def _refused(self, record: Record, intent: Intent, error: str) -> None:
        """A proper OAuth error: raise what it means, or return when the store has moved on meanwhile."""
        connection = self._binding.connection
        if error in GRANT_GONE:
            now = self._store.read(connection)
            if now is None or now.generation != record.generation or now.intent is None or now.intent.id != intent.id:
                return  # somebody logged in, or a late owner committed: theirs count
            reason = f"Pleo no longer accepts the refresh token ({error}): the grant was revoked, has expired, or was used elsewhere"
            if record.reason:
                reason = refused_after_doubt(record, error)
            if intent.last_retry:
                reason = f"{outcome_unknown(record, intent)}; the one retry was refused ({error})"
            self._mark(record, State.REAUTH_REQUIRED, reason, intent=intent)
            raise reauth(connection, reason)
        self._mark(record, State.ACTIVE, record.reason, intent=intent)
        if error in CLIENT_WRONG:
            raise ClientRejected(
                f"Pleo refused the client itself ({error}); the stored tokens were kept. "
                "Check PLEO_CLIENT_ID, PLEO_CLIENT_SECRET and PLEO_CLIENT_AUTH (basic, post or none)."
            )
        if error in SCOPE_WRONG:
            raise ConfigurationError(
                f"Pleo refused to refresh the tokens of {connection} for want of a scope ({error}); the stored tokens were kept. Check PLEO_SCOPES "
                f"and which scopes Pleo has registered for the client, then {how_to_connect(connection)}."
            )
        if error in REQUEST_WRONG:
            raise ConfigurationError(
                f"Pleo refused the refresh request of {connection} ({error}); the stored tokens were kept. "
                "Check PLEO_AUTH_URL and PLEO_CLIENT_AUTH; if they are right, report this."
            )
        raise RefreshUnavailable(
            f"Pleo refused to refresh the tokens of {connection} with a code that no standard explains ({error}); the stored tokens were kept. "
            f"Try again later; if it stays, {how_to_connect(connection)}."
        )

    def _resolve(self, record: Record, intent: Intent, tokens: TokenSet, uncertain: Uncertain | None) -> Postponed | Verdict:
        """What became of an open intent, ours if `uncertain` says what it met. Cleared unless it may still go through. ReauthRequired when the grant is lost."""
        window = (
            self._settle
            if uncertain is not None or self._store.lock_proves_owner_dead
            else max(self._settle, intent.deadline - intent.started)
        )
        # By the intent's own span, so that another host's wrong clock cannot make this wait for ever.
        # So it is by the clock of the store where that has one.
        passed = self._clock() - intent.started if record.read_at is None else record.read_at - record.updated_at
        end = self._monotonic() + min(window, max(0.0, window - passed))
        owner_may_live = uncertain is None and not intent.unavailable and not self._store.lock_proves_owner_dead
        if owner_may_live and self._moved_on(record, end):
            return Verdict.NOT_ROTATED
        if intent.unavailable and (pause := self._pause.left()) > 0:
            met = record.reason if uncertain is None else uncertain.why
            why = f"{met}, and Pleo asks to wait until {utc(self._clock() + pause)}"
            return Postponed(why, tokens, record.generation, max(pause, end - self._monotonic()))
        verdict = self._oracle.ask(tokens, intent)
        _log.info("Refresh %s by host=%s pid=%d has an unknown outcome: %s.", intent.id, intent.host, intent.pid, verdict.name)
        if verdict is Verdict.ROTATED or (verdict is Verdict.NOBODY_KNOWS and intent.last_retry and not intent.unavailable):
            reason = outcome_unknown(record, intent)
            if self._mark(record, State.REAUTH_REQUIRED, reason, intent=intent):
                raise reauth(self._binding.connection, reason)
            return Verdict.NOT_ROTATED
        if verdict is Verdict.UNREACHABLE and not intent.unavailable:
            why = "whether an earlier refresh went through cannot be found out now"
            return Postponed(why, tokens, record.generation, intact=False)
        known = verdict is Verdict.NOT_ROTATED or intent.unavailable
        doubt = record.reason if intent.unavailable else unanswered(intent)
        if (left := end - self._monotonic()) > 0:
            # The server may have read the request and not have come to it yet: to send the token again now could end the grant.
            earlier = doubt if intent.unavailable else "an earlier refresh may still go through"
            why = earlier if uncertain is None else uncertain.why
            return Postponed(why, tokens, record.generation, left, intact=known)
        self._mark(record, State.ACTIVE, doubt, intent=intent)
        return Postponed(uncertain.why, tokens, record.generation) if known and uncertain is not None else verdict

    def _moved_on(self, record: Record, end: float) -> bool:
        """Whether an owner that was merely cut off from its lock, or somebody's login, changes the record before this moment."""
        while (left := end - self._monotonic()) > 0:
            self._sleep(min(0.25, left))
            now = self._store.read(record.connection)
            if now is None or now.generation != record.generation or now.intent != record.intent:
                return True
        return False

    def _mark(self, record: Record, state: State, reason: str = "", *, intent: Intent) -> bool:
        return self._store.mark(self._binding.connection, record.generation, state, reason, intent.id)
