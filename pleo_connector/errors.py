"""Every exception this package raises on purpose.

    PleoError                      the one root: catch this to catch any of ours
    ├── ConfigurationError         a setting, argument or file is wrong (exit 2)
    │   ├── CertificateRefused     a server's certificate is not trusted; nothing was sent
    │   └── UnknownCompany         a company that this credential does not cover
    ├── ReauthRequired             a person must run `pleo-connector connect` (exit 3)
    │   └── StaleTokenStore        the token store is an older or a second copy; nothing was sent
    ├── CredentialError            stored credentials cannot be used as they are
    │   ├── TokenStoreCorrupt      the token store is not what we wrote
    │   ├── TokenStoreUnavailable  the token store cannot be read or written now
    │   ├── WrongKey               the sealing key does not open the stored tokens
    │   ├── ClientRejected         Pleo refused client id or secret; tokens are kept
    │   ├── LoginFailed            the consent in the browser was not completed
    │   │   └── ConsentRefused     the person said no
    │   └── RefreshUnavailable     the refresh could not be done now; try again later
    ├── ApiError                   Pleo answered, and not with what was asked
    │   ├── Forbidden              403: scope missing, or company outside the grant
    │   ├── RateLimited            429 for longer than we wait
    │   ├── PleoUnavailable        5xx, or no answer at all, until retries ran out
    │   ├── BadAnswer              a body that is not the promised JSON
    │   ├── WalkStalled            a next page without a way to it, or round in a circle
    │   ├── CursorRefused          Pleo no longer takes a stored cursor
    │   ├── JobFinished            an export job has ended, and with it its items
    │   ├── ParentGone             404: a record has gone since it was listed, before what belongs to it was read
    │   └── MissingContraAccounts  export items need contra accounts that a company has not set
    ├── WarehouseError             the warehouse refused
    │   ├── WarehouseLocked        another process holds the file for longer than we wait
    │   └── WarehouseUnwritable    read-only, full, missing folder, or not a database
    ├── MassDeleteRefused          suspiciously many rows are gone; nothing was marked deleted
    ├── DriftError                 the records no longer fit the declaration (policy `freeze`)
    ├── SyncCancelled              the run was told to stop; what was committed stays
    └── SyncFailed                 some streams failed; the others are loaded

A message says what happened, where (stream, company, file, variable), and what to do
next, in one sentence. No message ever holds a token, secret, key or code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class PleoError(Exception):
    """Root of all errors of this package; `exit_code` is what the CLI ends with."""

    exit_code: ClassVar[int] = 1


class ConfigurationError(PleoError):
    """A setting, argument or file is wrong; the message names it."""

    exit_code = 2


class CertificateRefused(ConfigurationError):
    """A server's TLS certificate did not pass, or the CA certificates to check it with could not be read; nothing was sent."""


class UnknownCompany(ConfigurationError):
    """A company was asked for that the credential does not cover."""


class ReauthRequired(PleoError):
    """The grant is gone, or its state unknown: a person must consent again."""

    exit_code = 3


class StaleTokenStore(ReauthRequired):
    """The token store is an older copy that was put back, or a second one: its refresh token must not be sent."""


class CredentialError(PleoError):
    """Stored credentials cannot be used as they are."""


class TokenStoreCorrupt(CredentialError):
    """The token store is not a file that this package wrote; it was left untouched."""


class TokenStoreUnavailable(CredentialError):
    """The token store cannot be read or written now: busy, full, read-only, or gone."""


class WrongKey(CredentialError):
    """No configured key opens the sealed tokens; they were left untouched."""


class ClientRejected(CredentialError):
    """Pleo refused the client itself (id, secret, or method); the tokens are kept."""

    exit_code = 2


class LoginFailed(CredentialError):
    """The consent was refused, timed out, or answered with something else; nothing was stored."""


class ConsentRefused(LoginFailed):
    """The person at Pleo's consent page said no."""


class RefreshUnavailable(CredentialError):
    """A refresh could not be done now (network, 429, 5xx, lock); the tokens are kept. `retry_after` as in RateLimited."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message, retry_after)
        self.retry_after = retry_after

    def __str__(self) -> str:
        return str(self.args[0])


class ApiError(PleoError):
    """Pleo answered with something other than what was asked for."""


class Forbidden(ApiError):
    """403: the scope or the right is missing, or the company is outside the grant; `of_key` when an API key was refused."""

    def __init__(self, message: str, *, of_key: bool = False) -> None:
        super().__init__(message)
        self.of_key = of_key


class RateLimited(ApiError):
    """429 for longer than this client waits; `retry_after` is in seconds, or None."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class PleoUnavailable(ApiError):
    """5xx, or no answer at all, until the retries ran out."""


class BadAnswer(ApiError):
    """The body is not the JSON that Pleo's contract promises; `body` has it where somebody may want to look at it."""

    body: bytes | None = None


class WalkStalled(ApiError):
    """Pleo promised a next page but gave no cursor to it, or one that was used before; the walk must start again."""


class CursorRefused(ApiError):
    """Pleo answered 400 to a stored cursor; the walk must start again."""


class JobFinished(ApiError):
    """Pleo serves export items only while their job runs, and it has ended."""


class ParentGone(ApiError):
    """404 for what belongs to a record that was listed before: the record has gone since."""


class MissingContraAccounts(ApiError):
    """Pleo cannot make export items: the company lacks contra accounts."""


class WarehouseError(PleoError):
    """The warehouse refused; the message says which one and why."""


class WarehouseLocked(WarehouseError):
    """Another process holds the warehouse file for longer than we wait."""


class WarehouseUnwritable(WarehouseError):
    """The warehouse cannot be written: read-only, full, missing, or not a database."""


class MassDeleteRefused(PleoError):
    """Suspiciously many rows are no longer served; nothing was marked deleted."""


class DriftError(PleoError):
    """Served records no longer fit the declaration, and the policy says stop."""


class SyncCancelled(PleoError):
    """The run was told to stop: what was committed stays, and the next run goes on there."""


class SyncFailed(PleoError):
    """Some streams failed; `failures` maps stream name to its error."""

    def __init__(self, failures: Mapping[str, PleoError]) -> None:
        self.failures = dict(failures)
        parts = "; ".join(f"{name}: {error}" for name, error in self.failures.items())
        super().__init__(f"{len(self.failures)} of the streams failed. {parts}")
        if self.failures:
            self.exit_code = max(error.exit_code for error in self.failures.values())  # type: ignore[misc]
