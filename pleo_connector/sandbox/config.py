"""What a sandbox is started with."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from pleo_connector.errors import ConfigurationError
from pleo_connector.sandbox.faults import Fault
from pleo_connector.sandbox.query import WindowBounds

DEFAULT_PORT = 8764

CLIENT_ID = "sandbox-client"
CLIENT_SECRET = "sandbox-secret"  # noqa: S105 - a fixed, public value: the sandbox guards nothing
PUBLIC_CLIENT_ID = "sandbox-public"
API_KEY = "sandbox-api-key"

_DAY = 86_400.0
_HIGHEST_PORT = 65_535
_MOST_ROWS = 100_000_000


@dataclass(frozen=True, slots=True)
class SandboxConfig:
    """Settings of one sandbox; a wrong one raises ConfigurationError. Times are in seconds unless the name says otherwise."""

    host: str = "127.0.0.1"
    """A loopback address; nothing else is accepted."""
    port: int = DEFAULT_PORT
    """0 takes a free port."""
    seed: int = 2026
    """Decides generated data and which requests a fault with a probability hits."""
    rows: int | None = None
    """None serves the sample entries; a number serves that many generated entries instead of them."""
    latency_ms: float = 0.0
    """Added to every request, before it is handled."""
    access_token_lifetime: float = 900.0
    refresh_token_lifetime: float = 60 * _DAY
    code_lifetime: float = 60.0
    link_lifetime: float = _DAY
    """For which a link to a receipt's file works; 0 or less makes links that have expired when they arrive."""
    requests_per_minute: int = 600
    """Data requests per grant in any 60 seconds; 0 switches the limit off."""
    requests_at_once: int = 0
    """How many of them may come together, further ones evenly over the minute; 0: all of them."""
    redirect_uris: tuple[str, ...] = ("http://127.0.0.1:8765/callback",)
    faults: tuple[Fault, ...] = ()
    scopes: tuple[str, ...] | None = None
    """Scopes the clients are registered for; None registers every scope of the catalogue, both spellings included."""
    withheld_scopes: tuple[str, ...] = ()
    """Scopes that the sandbox's user leaves out of what is granted, whatever was asked for."""
    refused: tuple[str, ...] = ()
    """Resources that no credential's role may read, such as `tag-group`; `accounting-entry:search` refuses the search and leaves single reads open."""
    bare_lists: tuple[str, ...] = ()
    """Streams whose lists are served as bare JSON arrays: all records at once, no envelope."""
    window_bounds: WindowBounds = field(default_factory=WindowBounds)
    """Which limits of a date filter are included; Pleo documents neither."""
    company: str | None = None
    """The one company that consent grants; None grants the whole organisation."""
    company_may_list: bool = True
    """Whether a one-company grant may call `GET /v1/companies` (it then sees only its own); Pleo documents neither."""
    may_introspect: bool = True
    """Whether clients may introspect tokens; without, every token is inactive to them (RFC 7662 section 2.2)."""
    client_id: str = CLIENT_ID
    client_secret: str = field(default=CLIENT_SECRET, repr=False)
    public_client_id: str = PUBLIC_CLIENT_ID
    api_key: str = field(default=API_KEY, repr=False)

    def __post_init__(self) -> None:
        if not _is_loopback(self.host):
            raise ConfigurationError(f"The sandbox listens on this machine only: {self.host!r} is not a loopback address; use 127.0.0.1.")
        if not 0 <= self.port <= _HIGHEST_PORT:
            raise ConfigurationError(f"The sandbox's port must be 0 (any free one) to {_HIGHEST_PORT}, not {self.port}.")
        if self.rows is not None and not 0 <= self.rows <= _MOST_ROWS:
            raise ConfigurationError(f"The sandbox's rows must be 0 to {_MOST_ROWS:,}, not {self.rows}.")
        if self.latency_ms < 0 or self.requests_per_minute < 0 or self.requests_at_once < 0:
            raise ConfigurationError("The sandbox's latency, requests per minute and requests at once cannot be negative.")
        if min(self.access_token_lifetime, self.refresh_token_lifetime, self.code_lifetime) <= 0:
            raise ConfigurationError("The sandbox's token and code lifetimes must be more than 0 seconds.")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
