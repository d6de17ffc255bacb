"""Asks the API what a credential opens: `GET /v1/introspect`, the cheapest read there is."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Generator, Mapping
from typing import Any

import httpx

from pleo_connector.auth.endpoint import PrivateClient
from pleo_connector.auth.secret import Secret

_log = logging.getLogger(__name__)


class AccessProbe:
    """Asks the API about an access token, and about an API key; a 401 is asked for twice before it counts."""

    def __init__(self, api_url: str, client: PrivateClient) -> None:
        self._url = f"{api_url}/v1/introspect"
        self._client = client

    def works(self, access: Secret) -> bool | None:
        """True (answered, or forbidden), False (401, twice), None when the API did not tell. ConfigurationError is raised."""
        answer = self._ask(_Bearer(access))
        if answer is not None and answer.status_code == httpx.codes.UNAUTHORIZED:
            answer = self._ask(_Bearer(access))
        if answer is None or answer.status_code == httpx.codes.UNAUTHORIZED:
            return None if answer is None else False
        return True if answer.status_code in (httpx.codes.OK, httpx.codes.FORBIDDEN) else None

    def told(self, access: Secret) -> Mapping[str, Any]:
        """What the API says of the token: `scope` and `subjectURN`, as far as it tells; empty when it does not."""
        return self._told(self._ask(_Bearer(access)))

    def told_of_key(self, auth: httpx.Auth) -> Mapping[str, Any]:
        """The same of an API key; raises what its auth raises when Pleo refuses it (ClientRejected)."""
        return self._told(self._ask(auth))

    @staticmethod
    def _told(answer: httpx.Response | None) -> Mapping[str, Any]:
        try:
            content = answer.json() if answer is not None and answer.is_success else None
        except (ValueError, RecursionError):
            content = None
        data = content.get("data", content) if isinstance(content, dict) else None
        if isinstance(data, dict):
            return data
        _log.info("The API did not tell what the credential opens: HTTP %s.", "none" if answer is None else answer.status_code)
        return {}

    def _ask(self, auth: httpx.Auth) -> httpx.Response | None:
        with contextlib.suppress(httpx.HTTPError):
            return self._client.send("GET", self._url, headers={}, auth=auth)
        return None


class _Bearer(httpx.Auth):
    def __init__(self, access: Secret) -> None:
        self._access = access

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = f"Bearer {self._access.reveal()}"
        yield request
