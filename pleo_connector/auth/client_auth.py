"""How the client proves itself at the token endpoint: Basic, form fields, or not at all."""

from __future__ import annotations

import base64
from collections.abc import Generator
from urllib.parse import quote_plus, urlencode

import httpx

from pleo_connector.auth.redaction import REDACTOR
from pleo_connector.auth.secret import Secret
from pleo_connector.errors import ConfigurationError
from pleo_connector.settings import ClientAuth


class ClientCredentials:
    """Client id and secret, and the way they are sent."""

    def __init__(self, client_id: str, secret: Secret, method: ClientAuth) -> None:
        if not client_id:
            raise ConfigurationError("PLEO_CLIENT_ID is not set; it is the id that Pleo gave your OAuth client (or set PLEO_API_KEY).")
        if method is not ClientAuth.NONE and not secret:
            raise ConfigurationError("PLEO_CLIENT_SECRET is not set; a public client without a secret sets PLEO_CLIENT_AUTH=none.")
        REDACTOR.register_basic(client_id, secret)
        self.client_id = client_id
        self.method = method
        self._secret = secret

    def auth(self) -> httpx.Auth:
        """The httpx auth of one token request (given explicitly: Authlib's own does not fit httpx)."""
        return _FormEncodedBasic(self.client_id, self._secret) if self.method is ClientAuth.BASIC else httpx.Auth()

    def form(self) -> str:
        """The form fields that every token request starts with, encoded."""
        if self.method is ClientAuth.BASIC:
            return ""
        fields = {"client_id": self.client_id}
        if self.method is ClientAuth.POST:
            fields["client_secret"] = self._secret.reveal()
        return urlencode(fields)


class _FormEncodedBasic(httpx.Auth):
    """Basic with id and secret form-encoded first, as RFC 6749 section 2.3.1 asks (httpx.BasicAuth does not)."""

    def __init__(self, client_id: str, secret: Secret) -> None:
        self._client_id = client_id
        self._secret = secret

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        pair = f"{quote_plus(self._client_id)}:{quote_plus(self._secret.reveal())}"
        request.headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        yield request
