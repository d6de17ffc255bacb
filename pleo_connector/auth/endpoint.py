"""The token endpoint: Authlib's protocol core over a private httpx client.

One connection per request, no redirects, no proxy but by PLEO_PROXY, verified TLS, a total
deadline, and a small body. Nothing here retries: the caller decides what an outcome means.
"""

from __future__ import annotations

import logging
import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx
from authlib.oauth2.base import OAuth2Error
from authlib.oauth2.client import OAuth2Client

from pleo_connector.auth.answers import Accepted, Answer, Granted, NotProcessed, Refused, Uncertain, Unusable, accept
from pleo_connector.auth.client_auth import ClientCredentials
from pleo_connector.auth.deadline import Deadline
from pleo_connector.auth.redaction import REDACTOR
from pleo_connector.auth.secret import Secret
from pleo_connector.auth.token import lifetime_from
from pleo_connector.errors import ConfigurationError
from pleo_connector.proxies import passwords, route
from pleo_connector.tls import certificate_refused, checking

DEADLINE = 20.0
LARGEST_BODY = 64 * 1024
USER_AGENT = "pleo-connector"

_log = logging.getLogger(__name__)
_LATER = (httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_EARLY, httpx.codes.TOO_MANY_REQUESTS)
_NOT_SENT = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol, httpx.ProxyError)


class PrivateClient:
    """Sends single requests to one server, each on a fresh connection; also what Authlib takes for its session."""

    def __init__(
        self,
        transport: httpx.BaseTransport | None = None,
        *,
        deadline: float = DEADLINE,
        proxy: str = "",
        user_agent: str = USER_AGENT,
    ) -> None:
        """`proxy` as PLEO_PROXY gives it."""
        self._transport = transport
        self._deadline = deadline
        self._proxy = proxy
        for user, password in passwords(proxy):
            REDACTOR.register_basic(user, Secret(password))
        self._user_agent = user_agent
        self._tls: dict[str, ssl.SSLContext] = {}

    def send(
        self, method: str, url: str, *, headers: Mapping[str, str], auth: httpx.Auth, data: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """The whole answer; httpx.TransportError when none came in time. A body over 64 kB counts as none.

        ConfigurationError when nothing was sent: the server's certificate does not pass, or the proxy is none.
        """
        try:
            return self._send(method, url, headers, auth, data)
        except httpx.ConnectError as error:
            if (refused := certificate_refused(error, url)) is not None:
                raise refused from None
            raise

    def _send(self, method: str, url: str, headers: Mapping[str, str], auth: httpx.Auth, data: Mapping[str, str] | None) -> httpx.Response:
        with (
            Deadline(self._deadline) as deadline,
            httpx.Client(
                transport=self._transport,
                verify=self._checking(url),
                **route(self._proxy, url),
                follow_redirects=False,
                timeout=self._deadline,
                limits=httpx.Limits(max_keepalive_connections=0),
            ) as client,
        ):
            sent = {"User-Agent": self._user_agent, "Accept": "application/json", "Accept-Encoding": "identity", "Connection": "close"}
            request = client.build_request(method, url, headers=sent | dict(headers), data=data, extensions=deadline.extensions)
            response = client.send(request, auth=auth, stream=True)
            try:
                body = bytearray()
                late = False
                # Raw: a compressed bomb is never unpacked. A transport may also hand over an answer that is complete.
                for chunk in [response.content] if response.is_closed else response.iter_raw(8192):
                    if late:
                        raise httpx.ReadTimeout("the answer took longer than the deadline")
                    body += chunk
                    if len(body) > LARGEST_BODY:
                        raise httpx.ReadError("the answer is larger than 64 kB")
                    late = deadline.passed
            finally:
                response.close()
            kept = [(name, value) for name, value in response.headers.multi_items() if name.lower() != "content-encoding"]
            return httpx.Response(response.status_code, headers=kept, content=bytes(body), request=request)

    def post(self, url: str, data: Mapping[str, str], headers: Mapping[str, str], auth: httpx.Auth) -> httpx.Response:
        """As Authlib's core calls its session."""
        return self.send("POST", url, headers=headers, auth=auth, data=data)

    def _checking(self, url: str) -> ssl.SSLContext:
        scheme = httpx.URL(url).scheme
        if scheme not in self._tls:  # reading the CA certificates takes longer than most requests
            self._tls[scheme] = checking(url)
        return self._tls[scheme]


class TokenEndpoint:
    """Asks for tokens and about tokens; every method sends exactly one request."""

    def __init__(
        self,
        auth_url: str,
        credentials: ClientCredentials,
        client: PrivateClient,
        *,
        connection: str = "",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`connection` is the one whose tokens are asked for, where that is known: the redactor keeps the newest of each."""
        self.issuer = auth_url
        self.credentials = credentials
        self._client = client
        self._connection = connection
        self._clock = clock

    def exchange(self, code: Secret, verifier: Secret, redirect_uri: str) -> Answer:
        """Trade the code of a login for tokens. Never repeated: a code works once."""
        REDACTOR.register(code, verifier, passing=True)

        def ask(core: OAuth2Client) -> dict[str, Any]:
            token: dict[str, Any] = core.fetch_token(
                f"{self.issuer}/oauth/token",
                body=self.credentials.form(),
                grant_type="authorization_code",
                code=code.reveal(),
                code_verifier=verifier.reveal(),
                redirect_uri=redirect_uri,
                auth=self.credentials.auth(),
            )
            return token

        return self._answer("exchange", ask)

    def refresh(self, refresh_token: Secret) -> Answer:
        """Trade a refresh token for a new pair; the old pair is dead if this went through. Sends no scope."""

        def ask(core: OAuth2Client) -> dict[str, Any]:
            token: dict[str, Any] = core.refresh_token(
                f"{self.issuer}/oauth/token",
                refresh_token=refresh_token.reveal(),
                body=self.credentials.form(),
                auth=self.credentials.auth(),
            )
            return token

        return self._answer("refresh", ask)

    def introspect(self, token: Secret, hint: str) -> dict[str, Any] | None:
        """What the server says of one of our tokens, `active` at least. ConfigurationError is raised.

        Empty when the server answers that it does not tell, None when no answer came or the server is busy.
        """
        core = OAuth2Client(self._client, client_id=self.credentials.client_id)
        try:
            response: httpx.Response = core.introspect_token(
                f"{self.issuer}/oauth/token/introspect",
                token=token.reveal(),
                token_type_hint=hint,
                body=self.credentials.form(),
                auth=self.credentials.auth(),
            )
            content = response.json() if response.status_code == httpx.codes.OK else {}
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, RecursionError) as error:
            _log.info("Token introspection gave no answer: %s.", type(error).__name__)
            return None
        if isinstance(content, dict) and isinstance(content.get("active"), bool):
            return content
        _log.info("Token introspection gave no verdict: HTTP %d.", response.status_code)
        return None if response.is_server_error or response.status_code in _LATER else {}

    def _answer(self, what: str, ask: Callable[[OAuth2Client], dict[str, Any]]) -> Answer:
        core = OAuth2Client(self._client, client_id=self.credentials.client_id)
        core.compliance_hook["refresh_token_response"].add(_guard)
        core.compliance_hook["access_token_response"].add(_guard)
        started = time.monotonic()
        answer = self._sorted(core, ask)
        if isinstance(answer, Granted):
            REDACTOR.register(answer.access, answer.refresh, passing=True, of=self._connection)
        told = answer.error if isinstance(answer, Refused) else getattr(answer, "why", "")
        _log.info("Token %s: %s %s in %.3f s.", what, type(answer).__name__, told, time.monotonic() - started)
        return answer

    @staticmethod
    def _sorted(core: OAuth2Client, ask: Callable[[OAuth2Client], dict[str, Any]]) -> Answer:
        # Every path ends here without an exception chain: frames below hold tokens.
        try:
            token = ask(core)
        except Unusable as unusable:
            return unusable.outcome
        except OAuth2Error as error:
            return Refused(str(error.error))
        except ConfigurationError as error:  # a certificate that does not pass, a proxy that is none: nothing was sent
            return NotProcessed(str(error), worth_retrying=False, setting=type(error)(str(error)))
        except (*_NOT_SENT, httpx.InvalidURL) as error:
            return NotProcessed(f"no connection ({type(error).__name__})")
        except httpx.HTTPError as error:
            return Uncertain(f"sent, and no answer ({type(error).__name__})")
        scope = token.get("scope")
        return Granted(
            access=Secret(token["access_token"]),
            refresh=Secret(token["refresh_token"]),
            lifetime=token["lifetime"],
            scope=scope if isinstance(scope, str) else None,
        )


def _guard(response: httpx.Response) -> Accepted:
    accepted = accept(response.status_code, {name.lower(): value for name, value in response.headers.items()}, response.content)
    content = accepted.json()
    if "error" in content:
        return accepted
    # expires_in is read here: Authlib's own reading fails on a word and trusts a zero.
    kept = {name: content[name] for name in ("access_token", "refresh_token", "scope") if name in content}
    return Accepted(accepted.status_code, kept | {"token_type": "Bearer", "lifetime": lifetime_from(content.get("expires_in"))})
