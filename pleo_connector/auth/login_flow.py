"""Log in: show the consent page, take the redirect, trade the code once."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from typing import Protocol

from pleo_connector.auth.answers import CLIENT_WRONG, GRANT_GONE, REQUEST_WRONG, SCOPE_WRONG, Answer, Granted, NotProcessed, Refused
from pleo_connector.auth.endpoint import TokenEndpoint
from pleo_connector.auth.loopback import LoopbackListener
from pleo_connector.auth.redirect import AuthorizationRequest, query_of_pasted
from pleo_connector.auth.secret import Secret
from pleo_connector.auth.token import TokenSet
from pleo_connector.errors import ClientRejected, ConfigurationError, LoginFailed

TIMEOUT = 300.0


class LoginWay(Protocol):
    """How a person's consent comes back to this process."""

    def code(self, request: AuthorizationRequest) -> Secret:
        """Show the request's URL, wait for the redirect, check it; LoginFailed otherwise."""
        ...


class LoopbackLogin:
    """The browser is on this machine: Pleo sends it to a listener here."""

    def __init__(
        self, *, show: Callable[[str], object], open_browser: Callable[[str], object] | None = None, timeout: float = TIMEOUT
    ) -> None:
        """`show` gets the URL to print; `open_browser` (None: nobody does) opens it; `timeout` in seconds."""
        self._show = show
        self._open_browser = open_browser
        self._timeout = timeout

    def code(self, request: AuthorizationRequest) -> Secret:
        """Listen first, then show the URL, so that no redirect is missed."""
        with LoopbackListener(request.redirect_uri, request.has_state_of) as listener:
            self._show(request.url)
            if self._open_browser is not None:
                self._open_browser(request.url)
            return request.code_from(listener.wait(self._timeout))


class PasteLogin:
    """The redirect goes to an https page elsewhere: the person pastes the address that the browser ended at."""

    def __init__(
        self, *, show: Callable[[str], object], prompt: Callable[[str], str], open_browser: Callable[[str], object] | None = None
    ) -> None:
        """`prompt` must not echo what is typed: the address holds the code."""
        self._show = show
        self._prompt = prompt
        self._open_browser = open_browser

    def code(self, request: AuthorizationRequest) -> Secret:
        """Show the URL, ask for the address, check it as a listener would."""
        self._show(request.url)
        if self._open_browser is not None:
            self._open_browser(request.url)
        pasted = self._prompt("Paste the whole address that the browser ended at (it is not shown)")
        return request.code_from(query_of_pasted(pasted, request.redirect_uri))


def obtain_tokens(
    endpoint: TokenEndpoint, way: LoginWay, *, redirect_uri: str, scopes: str, issuer: str = "", clock: Callable[[], float] = time.time
) -> TokenSet:
    """Consent and exchange; LoginFailed, ClientRejected or ConfigurationError, and then nothing was stored."""
    request = AuthorizationRequest(endpoint.issuer, endpoint.credentials.client_id, redirect_uri, scopes, issuer=issuer)
    return trade_code(endpoint, way.code(request), request, scopes=scopes, clock=clock)


def trade_code(
    endpoint: TokenEndpoint, code: Secret, request: AuthorizationRequest, *, scopes: str, clock: Callable[[], float] = time.time
) -> TokenSet:
    """Exchange the code of a request, once."""
    started = clock()
    granted = _granted(endpoint.exchange(code, request.verifier, request.redirect_uri))
    seen = None
    with contextlib.suppress(ConfigurationError):  # the tokens are here: what follows must not lose them
        seen = endpoint.introspect(granted.refresh, "refresh_token")
    return TokenSet(
        granted.access,
        granted.refresh,
        issued_at=started,
        lifetime=granted.lifetime,
        scope=scopes if granted.scope is None else granted.scope,
        introspects_refresh=bool(seen and seen["active"]),
        took=max(0.0, clock() - started),
    )


def _granted(answer: Answer) -> Granted:
    if isinstance(answer, Granted):
        return answer
    if isinstance(answer, Refused):
        if answer.error in CLIENT_WRONG:
            raise ClientRejected(
                f"Pleo refused the client itself ({answer.error}). "
                "Check PLEO_CLIENT_ID, PLEO_CLIENT_SECRET and PLEO_CLIENT_AUTH (basic, post or none)."
            )
        if answer.error in GRANT_GONE:
            raise LoginFailed(
                f"Pleo no longer accepts the code of this login ({answer.error}); start the login again, with the same command or link."
            )
        sentence = f"Pleo refused to trade the code for tokens ({answer.error}); check PLEO_REDIRECT_URI and PLEO_SCOPES."
        raise (ConfigurationError if answer.error in REQUEST_WRONG | SCOPE_WRONG else LoginFailed)(sentence)
    if isinstance(answer, NotProcessed) and answer.setting is not None:
        raise answer.setting
    hint = "the network and PLEO_AUTH_URL" if isinstance(answer, NotProcessed) else "the network"
    raise LoginFailed(
        f"The code could not be traded for tokens: {answer.why}. Check {hint}, and start the login again, with the same command or link."
    )
