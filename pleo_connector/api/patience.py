"""How long a failing request is tried again, and how long to wait in between."""

from __future__ import annotations

from collections.abc import Callable

from tenacity import RetryCallState, wait_random_exponential

from pleo_connector.errors import ApiError, BadAnswer

OUTAGE = 120.0
"""Seconds for which a failing request is tried again: an outage of a minute is survived."""

UNREACHABLE = 15.0
"""The same when Pleo could not even be reached: a wrong URL should be told soon."""

LONGEST_PAUSE = 60.0
"""A `Retry-After` above this is not waited for here; the caller decides."""

BAD_ANSWER_TRIES = 3

_backoff = wait_random_exponential(multiplier=0.5, max=30)


class TransientError(Exception):
    """Worth another try: carries what to raise if there is none, and the wait that Pleo asked for."""

    def __init__(self, error: ApiError, patience: float = OUTAGE, retry_after: float | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.patience = patience
        self.retry_after = retry_after


class Patience:
    """Stop and wait rules of one request, in the form tenacity takes."""

    def __init__(self, clock: Callable[[], float], longest: float = OUTAGE) -> None:
        """`longest` caps the seconds for which any failure is tried again."""
        self._clock = clock
        self._longest = longest
        self._began = clock()
        self._bad_answers = 0

    def stop(self, state: RetryCallState) -> bool:
        """True when the last failure is to be raised."""
        cause = _cause(state)
        if isinstance(cause.error, BadAnswer):
            self._bad_answers += 1
            if self._bad_answers >= BAD_ANSWER_TRIES:
                return True
        if cause.retry_after is not None and cause.retry_after > LONGEST_PAUSE:
            return True
        return self._left(cause) <= 0

    def wait(self, state: RetryCallState) -> float:
        """Seconds; none where the budget is paused already, for everybody."""
        cause = _cause(state)
        return 0.0 if cause.retry_after is not None else max(0.0, min(float(_backoff(state)), self._left(cause)))

    def _left(self, cause: TransientError) -> float:
        return min(cause.patience, self._longest) - (self._clock() - self._began)


def _cause(state: RetryCallState) -> TransientError:
    error = state.outcome.exception() if state.outcome else None
    if not isinstance(error, TransientError):
        raise TypeError("only transient errors are tried again")
    return error
