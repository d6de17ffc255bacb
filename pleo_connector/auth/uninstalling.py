"""Removing the app at Pleo, for the customer that a connection belongs to."""

from __future__ import annotations

from typing import Any

import httpx

from pleo_connector.auth.advice import how_to_disconnect
from pleo_connector.auth.connection import Injectables, build_manager, private_client
from pleo_connector.auth.secret import Secret
from pleo_connector.auth.stores import OpenedStore
from pleo_connector.errors import ApiError, Forbidden, PleoUnavailable
from pleo_connector.settings import Settings

_TWICE = 2


def uninstall_at_pleo(settings: Settings, opened: OpenedStore, **injectables: Any) -> None:
    """DELETE the installation; PleoUnavailable, Forbidden or ApiError when Pleo did not do it. Refreshes first when due."""
    given = Injectables(**injectables)
    client = private_client(settings, given)
    manager = build_manager(settings, opened=opened, **injectables)
    status, rejected = 0, None
    for _ in range(_TWICE):
        token: Secret = manager.access_token(rejected)
        headers = {"Authorization": f"Bearer {token.reveal()}"}
        try:
            answer = client.send("DELETE", f"{settings.api_url}/v1/installations/me", headers=headers, auth=httpx.Auth())
        except httpx.HTTPError as error:
            raise PleoUnavailable(
                f"Whether the app was uninstalled at Pleo is not known ({type(error).__name__}), and nothing was forgotten here; try again."
            ) from None
        status = answer.status_code
        if answer.is_success or status == httpx.codes.NOT_FOUND:  # not installed is what was wanted
            return
        if status != httpx.codes.UNAUTHORIZED:
            break
        rejected = token
    kept = f"nothing was forgotten here; try again, or {how_to_disconnect(settings.connection)} and remove the app in Pleo"
    if status == httpx.codes.FORBIDDEN:
        raise Forbidden(f"Pleo does not let this credential uninstall the app (HTTP 403), and {kept}.")
    if status >= httpx.codes.INTERNAL_SERVER_ERROR:
        raise PleoUnavailable(f"Pleo did not uninstall the app (HTTP {status}), and {kept}.")
    raise ApiError(f"Pleo did not uninstall the app (HTTP {status}), and {kept}.")
