"""From Pleo's redirect to stored tokens, for one label: the same steps as `pleo-connector connect`."""

from __future__ import annotations

from typing import Any

from pleo_connector.auth.access_probe import AccessProbe
from pleo_connector.auth.connection import Injectables, binding_of, credentials_of, keys_for_login, keys_of, private_client
from pleo_connector.auth.endpoint import TokenEndpoint
from pleo_connector.auth.login_flow import trade_code
from pleo_connector.auth.login_result import LoginResult, store_login
from pleo_connector.auth.stores import OpenedStore
from pleo_connector.errors import LoginFailed
from pleo_connector.portal.attempts import Attempt
from pleo_connector.settings import Settings


class Connecting:
    """Ends logins, and stores what they bring."""

    def __init__(self, settings: Settings, opened: OpenedStore, **injectables: Any) -> None:
        self._settings = settings
        self._opened = opened
        self._given = Injectables(**injectables)

    def check(self) -> None:
        """What can be wrong before any customer comes: credentials, a store that takes nothing, and keys that several hosts must share."""
        credentials_of(self._settings)
        self._opened.store.prove_writable()
        keys_of(self._settings, self._opened, create=self._opened.key_file is None)

    def ready(self, label: str) -> None:
        """What would make this customer's consent useless: a store that takes no login now, or another key; raises what `finish` would."""
        settings = self._settings.labelled(label)
        keys_for_login(settings, self._opened, binding_of(settings))

    def finish(self, attempt: Attempt, query: str) -> LoginResult:
        """Check the redirect, trade the code once, store the tokens; LoginFailed and the like, and then nothing was stored."""
        settings = self._settings.labelled(attempt.label).model_copy(update={"scopes": attempt.scopes})
        code = attempt.request.code_from(query)
        credentials, binding = credentials_of(settings), binding_of(settings)
        if attempt.request.auth_url != settings.auth_url:
            raise LoginFailed("PLEO_AUTH_URL was changed while this login was under way; nothing was stored. Make a new link.")
        keys = keys_for_login(settings, self._opened, binding)
        client = private_client(settings, self._given)
        endpoint = TokenEndpoint(settings.auth_url, credentials, client, connection=binding.connection, clock=self._given.clock)
        tokens = trade_code(endpoint, code, attempt.request, scopes=attempt.scopes, clock=self._given.clock)
        probe = AccessProbe(settings.api_url, client)
        return store_login(
            settings,
            tokens,
            opened=self._opened,
            keys=keys,
            keys_now=lambda: keys_of(settings, self._opened),
            binding=binding,
            endpoint=endpoint,
            probe=probe,
        )
