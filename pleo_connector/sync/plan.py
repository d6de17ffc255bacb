"""The plan of a run, and its connection to Pleo."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

import httpx
from pydantic import SecretStr

from pleo_connector.api import Budget, PleoClient, RequestBudget
from pleo_connector.api.patience import OUTAGE
from pleo_connector.stream_options import StreamOptions
from pleo_connector.sync.raw_policy import RawPolicy


class Mode(StrEnum):
    """Which windows are read: those that are due, or all."""

    INCREMENTAL = "incremental"
    FULL = "full"


@dataclass(frozen=True, slots=True)
class SyncPlan:
    """What a run should sync. No streams or no companies means all of them."""

    streams: tuple[str, ...] = ()
    mode: Mode = Mode.INCREMENTAL
    start: datetime | None = None
    end: datetime | None = None
    """`start <= performed < end` for windowed streams; the others are always read whole."""
    companies: tuple[str, ...] = ()
    allow_mass_delete: bool = False
    options: Mapping[str, StreamOptions] = field(default_factory=dict)
    """By stream; one that is not named has the defaults."""
    raw: RawPolicy = field(default_factory=RawPolicy)
    """Where and for how long raw pages are stored."""
    hash_key: SecretStr = field(default_factory=lambda: SecretStr(""))
    """The key of hashed columns."""


@dataclass(frozen=True, slots=True)
class Connection:
    """How to reach Pleo: where, with what credential, how fast."""

    api_url: str
    auth: httpx.Auth
    requests_per_minute: int = 500
    concurrency: int = 8
    patience: float = OUTAGE
    """Seconds for which a failing request is tried again."""
    budget: Callable[[int], RequestBudget] = Budget
    """Makes the budget of one run from the requests per minute; `connection_from_settings` makes one that processes share."""
    connect: str = "run `pleo-connector connect`"
    """What a person must do for a new consent, as part of a sentence."""
    uses_api_key: bool = False
    """Whether `auth` is an API key: what is refused to a key is changed in Pleo, what is refused to a grant by a new consent."""
    scrub: Callable[[str], str] = str
    """Takes known secrets out of a text of Pleo's."""
    proxy: str = field(default="", repr=False)
    """How Pleo is reached, as PLEO_PROXY says; may hold a password."""
    check: Callable[[], object] = lambda: None
    """Raises where there is no credential at all. Called before a run opens its warehouse, so that it makes no file for nothing."""

    def client(self, budget: RequestBudget, *, patience: float | None = None, connections: int = 8) -> PleoClient:
        """A client for this connection, within the budget; `patience` in place of the connection's own."""
        return PleoClient(
            self.api_url,
            self.auth,
            budget,
            connections=connections,
            patience=self.patience if patience is None else patience,
            connect=self.connect,
            uses_api_key=self.uses_api_key,
            scrub=self.scrub,
            proxy=self.proxy,
        )
