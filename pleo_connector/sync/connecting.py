"""Settings to a connection: the credential, and the request budget that it is used within."""

from __future__ import annotations

from pleo_connector.api import Budget, RequestBudget, SharedBudget
from pleo_connector.api.patience import OUTAGE
from pleo_connector.auth import PleoAuth, build_auth
from pleo_connector.auth.advice import how_to_connect
from pleo_connector.auth.redaction import REDACTOR
from pleo_connector.auth.stores import open_notes
from pleo_connector.settings import Settings
from pleo_connector.sync.plan import Connection


def connection_from_settings(settings: Settings, *, patience: float = OUTAGE) -> Connection:
    """How to reach Pleo with these settings. Opens nothing on the network. `patience`: seconds for which a failing request is tried again."""

    def budget(per_minute: int) -> RequestBudget:
        if not settings.shares_budget:
            return Budget(per_minute)
        return SharedBudget(open_notes(settings.token_store), settings.credential, per_minute)

    auth = build_auth(settings)
    return Connection(
        settings.api_url,
        auth,
        settings.requests_per_minute,
        settings.concurrency,
        patience=patience,
        budget=budget,
        connect=how_to_connect(settings.connection),
        uses_api_key=settings.uses_api_key,
        scrub=REDACTOR.scrub,
        proxy=settings.proxy,
        check=auth.manager.tokens if isinstance(auth, PleoAuth) else lambda: None,
    )
