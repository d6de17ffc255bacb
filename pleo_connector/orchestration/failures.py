"""How an error of ours becomes one that Dagster shows as advice and retries only where that helps."""

from collections.abc import Mapping

import dagster as dg

from pleo_connector.errors import (
    ClientRejected,
    ConfigurationError,
    DriftError,
    Forbidden,
    MassDeleteRefused,
    PleoError,
    RateLimited,
    ReauthRequired,
    TokenStoreCorrupt,
    WrongKey,
)

NEEDS_A_PERSON = (
    ConfigurationError,
    ReauthRequired,
    ClientRejected,
    TokenStoreCorrupt,
    WrongKey,
    Forbidden,
    MassDeleteRefused,
    DriftError,
)
"""Errors that come back however often one tries."""

_RETRIES = 3
_CONNECT = "pleo-connector connect"


def whole_run(error: PleoError) -> dg.Failure | dg.RetryRequested:
    """What no stream can survive; asks to be run again where Pleo said when."""
    if isinstance(error, RateLimited) and error.retry_after is not None:
        return dg.RetryRequested(max_retries=_RETRIES, seconds_to_wait=error.retry_after)
    return dg.Failure(_sentence(error), metadata={"error": type(error).__name__}, allow_retries=not isinstance(error, NEEDS_A_PERSON))


def some_streams(failures: Mapping[str, PleoError], *, others: bool = True) -> dg.Failure | dg.RetryRequested:
    """The end of a step in which these streams failed, and the `others`, if there were any, were materialised.

    When all of them failed only because Pleo asks for a long pause, the step asks to be run again after it.
    """
    waits = [error.retry_after for error in failures.values() if isinstance(error, RateLimited) and error.retry_after is not None]
    if len(waits) == len(failures):
        return dg.RetryRequested(max_retries=_RETRIES, seconds_to_wait=max(waits))
    said = " ".join(f"{name}: {_sentence(error)}" for name, error in failures.items())
    count = "1 stream" if len(failures) == 1 else f"{len(failures)} streams"
    return dg.Failure(
        f"{count} failed{'; the others are loaded' if others else ''}. {said}",
        metadata={f"failed: {name}": _sentence(error) for name, error in failures.items()},
        allow_retries=not all(isinstance(error, NEEDS_A_PERSON) for error in failures.values()),
    )


def _sentence(error: PleoError) -> str:
    text = str(error)
    if isinstance(error, ReauthRequired) and _CONNECT not in text:
        text = f"{text.rstrip('.')}; run `{_CONNECT}`."
    return text
