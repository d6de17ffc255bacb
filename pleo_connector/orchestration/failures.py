"""From an error of the connector to a Dagster failure with advice. Dagster retries it only where that helps."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import dagster as dg

from pleo_connector.errors import (
    ApiError,
    ClientRejected,
    ConfigurationError,
    CredentialError,
    DriftError,
    Forbidden,
    MassDeleteRefused,
    MissingContraAccounts,
    PleoError,
    PleoUnavailable,
    RateLimited,
    ReauthRequired,
    RefreshUnavailable,
    SyncCancelled,
    TokenStoreCorrupt,
    TokenStoreUnavailable,
    WarehouseError,
    WarehouseLocked,
    WrongKey,
)

WORTH_WAITING = 60.0
"""Seconds: for a longer pause, Dagster runs the step again later; a shorter one the client waits out."""

_RETRIES = 3
_CONNECT = re.compile(r"`pleo-connector connect[^`]*`")
"""The command with the label of its connection, as messages name it."""
_ANY_CONNECT = "`pleo-connector connect` (with `--connection` for one that has a label)"


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of failure, and what a person can do about it."""

    name: str
    remedy: str
    passes: bool = False
    """Whether a later try may succeed."""


CONFIGURATION = Kind(
    "configuration", "Correct the setting that the message names, then run again: `pleo-connector doctor` checks all of them."
)
REAUTHORISATION = Kind(
    "re-authorisation", f"A person runs {_ANY_CONNECT}; then re-execute this run from failure. Nothing that was loaded is lost."
)
ACCESS = Kind(
    "access",
    "Add the scope to PLEO_SCOPES and connect again, as a person who may read it in Pleo, or leave these tables out of the selection.",
)
ACCESS_OF_KEY = Kind("access", "Make a key in Pleo with that permission and set PLEO_API_KEY, or leave these tables out of the selection.")
TRANSIENT = Kind("transient", "Re-execute from failure, or wait for the next run: it goes on where this one stopped.", passes=True)
PLEO = Kind(
    "Pleo",
    "Run again later. If it stays, report it with the message and the time: Pleo's answer was not what its documents promise.",
    passes=True,
)
WAREHOUSE = Kind("warehouse", "Make the warehouse writable again, as the message says; then re-execute from failure.", passes=True)
DRIFT = Kind("drift", 'Look at what changed; then update the connector, or set drift = "evolve" for the stream.')
DELETION = Kind("deletion", "Check what the credential covers. If the rows are really gone, run these tables once with allow_mass_delete.")
UNEXPECTED = Kind(
    "unexpected",
    "Report this error with the trace below and the version of the connector. Nothing that was loaded is lost. "
    "Dagster does not try it again by itself.",
)

_KINDS: tuple[tuple[type[PleoError] | tuple[type[PleoError], ...], Kind], ...] = (
    (ConfigurationError, CONFIGURATION),
    ((ReauthRequired, ClientRejected, TokenStoreCorrupt, WrongKey), REAUTHORISATION),
    (Forbidden, ACCESS),
    ((RefreshUnavailable, TokenStoreUnavailable, RateLimited, PleoUnavailable, WarehouseLocked, SyncCancelled), TRANSIENT),
    (CredentialError, REAUTHORISATION),
    (MissingContraAccounts, Kind("bookkeeping", "The company's bookkeeper sets contra accounts in Pleo's export settings.", passes=True)),
    (ApiError, PLEO),
    (WarehouseError, WAREHOUSE),
    (DriftError, DRIFT),
    (MassDeleteRefused, DELETION),
)
"""The first that fits."""


def kind_of(error: Exception) -> Kind:
    """The kind of an error; its remedy names the same command as the message."""
    if isinstance(error, Forbidden) and error.of_key:
        return ACCESS_OF_KEY
    kind = next((kind for errors, kind in _KINDS if isinstance(error, errors)), UNEXPECTED)
    named = _CONNECT.search(str(error)) if kind is REAUTHORISATION else None
    return kind if named is None else replace(kind, remedy=kind.remedy.replace(_ANY_CONNECT, named[0]))


def unforeseen(error: Exception) -> dg.Failure:
    """The failure of a step by an error that is not the connector's own. Raise it `from` that error: Dagster then shows the trace.

    The message does not repeat the error's text. Retries are off: after a retry Dagster would show the last trace and not the first.
    """
    metadata = {"failure": UNEXPECTED.name, "remedy": UNEXPECTED.remedy, "error": type(error).__name__}
    return dg.Failure(
        f"The sync ended with an unexpected error ({type(error).__name__}); the trace below shows where.",
        metadata=metadata,
        allow_retries=False,
    )


def whole_run(error: PleoError) -> dg.Failure | dg.RetryRequested:
    """The failure of a whole run. Dagster runs the step again later where Pleo named a time."""
    if (wait := _pause(error)) is not None:
        return dg.RetryRequested(max_retries=_RETRIES, seconds_to_wait=wait)
    kind = kind_of(error)
    metadata = {"failure": kind.name, "remedy": kind.remedy, "error": type(error).__name__}
    return dg.Failure(_sentence(error), metadata=metadata, allow_retries=kind.passes)


def some_streams(failures: Mapping[str, PleoError], *, others: bool = True) -> dg.Failure | dg.RetryRequested:
    """The end of a step in which these streams failed, and the `others`, if there were any, were materialised.

    When all of them failed only because Pleo asks for a long pause, Dagster runs the step again after it.
    """
    waits = [wait for error in failures.values() if (wait := _pause(error)) is not None]
    if len(waits) == len(failures):
        return dg.RetryRequested(max_retries=_RETRIES, seconds_to_wait=max(waits))
    sentences = " ".join(f"{name}: {_sentence(error)}" for name, error in failures.items())
    count = "1 stream" if len(failures) == 1 else f"{len(failures)} streams"
    return dg.Failure(
        f"{count} failed{'; the others are loaded' if others else ''}. {sentences}",
        metadata=in_short(failures.values()) | {f"failed: {name}": _sentence(error) for name, error in failures.items()},
        allow_retries=any(kind_of(error).passes for error in failures.values()),
    )


def in_short(errors: Iterable[PleoError]) -> dict[str, str]:
    """The kinds and remedies of these errors as metadata, each once."""
    kinds = [kind_of(error) for error in errors]
    names, remedies = dict.fromkeys(kind.name for kind in kinds), dict.fromkeys(kind.remedy for kind in kinds)
    return {"failure": ", ".join(names), "remedy": "\n".join(remedies)}


def _pause(error: PleoError) -> float | None:
    """Seconds that Pleo asks everybody to wait, where that is too long to wait in the step."""
    wait = error.retry_after if isinstance(error, (RateLimited, RefreshUnavailable)) else None
    return wait if wait is not None and wait > WORTH_WAITING else None


def _sentence(error: PleoError) -> str:
    text = str(error)
    if isinstance(error, ReauthRequired) and not _CONNECT.search(text):
        text = f"{text.rstrip('.')}; run {_ANY_CONNECT}."
    return text
