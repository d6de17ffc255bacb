"""How one pass of a refresh ends, when it ends well enough to go on."""

from __future__ import annotations

from dataclasses import dataclass

from pleo_connector.auth.token import TokenSet
from pleo_connector.errors import ConfigurationError


@dataclass(frozen=True, slots=True)
class Settled:
    """Tokens that are in the store, under this generation."""

    generation: int
    tokens: TokenSet


@dataclass(frozen=True, slots=True)
class Postponed:
    """No refresh was done. `intact`: the stored tokens are known to be untouched."""

    why: str
    tokens: TokenSet
    generation: int
    retry_after: float | None = None
    worth_retrying: bool = True
    intact: bool = True
    setting: ConfigurationError | None = None
