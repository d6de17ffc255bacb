"""The OAuth redirect: what is asked of the browser, and the checks on what comes back."""

from __future__ import annotations

import hmac
import secrets
from urllib.parse import parse_qs, urlsplit

from authlib.common.security import generate_token
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri
from authlib.oauth2.rfc7636 import create_s256_code_challenge

from pleo_connector.auth.redaction import REDACTOR
from pleo_connector.auth.secret import Secret
from pleo_connector.errors import ConsentRefused, LoginFailed

_VERIFIER_LENGTH = 64
_ONCE = ("state", "iss", "error", "code")


class AuthorizationRequest:
    """One login attempt: its state and verifier work once, and are kept in memory only (the portal seals them for its other processes)."""

    def __init__(
        self,
        auth_url: str,
        client_id: str,
        redirect_uri: str,
        scopes: str,
        *,
        issuer: str = "",
        state: Secret | None = None,
        verifier: Secret | None = None,
    ) -> None:
        """`issuer` is what the server calls itself, empty for its URL; `state` and `verifier` of a request that was made before, new ones otherwise."""
        self.auth_url = auth_url
        self.issuer = issuer or auth_url
        self.redirect_uri = redirect_uri
        self.state = state or Secret(secrets.token_urlsafe(32))  # 256 bits
        self.verifier = verifier or Secret(generate_token(_VERIFIER_LENGTH))
        REDACTOR.register(self.verifier, passing=True)
        self.url: str = prepare_grant_uri(
            f"{auth_url}/oauth/authorize",
            client_id=client_id,
            response_type="code",
            redirect_uri=redirect_uri,
            scope=scopes,
            state=self.state.reveal(),
            code_challenge=create_s256_code_challenge(self.verifier.reveal()),
            code_challenge_method="S256",
        )

    def has_state_of(self, query: str) -> bool:
        """True when a redirect's query answers this very request."""
        return hmac.compare_digest(single(query, "state").encode(), self.state.reveal().encode())

    def code_from(self, query: str) -> Secret:
        """The code of a redirect's query; LoginFailed on a parameter given twice, a wrong state or issuer, an error, or no code."""
        if twice := [name for name in _ONCE if len(_values(query, name)) > 1]:
            # An attack or a bug (RFC 6749 section 3.1): which of the values the server meant, nobody knows.
            raise LoginFailed(f"The answer holds {' and '.join(twice)} more than once; nothing was stored. Start the login again.")
        if not self.has_state_of(query):
            raise LoginFailed(
                "The answer does not belong to this login (wrong state); start the login again, with the same command or link."
            )
        issuers = _values(query, "iss")
        if issuers and issuers[0].removesuffix("/") != self.issuer.removesuffix("/"):
            raise LoginFailed(
                f"The answer came from another authorisation server than {self.issuer}; nothing was stored. "
                "Check PLEO_AUTH_URL, and PLEO_ISSUER if the server calls itself otherwise."
            )
        error = single(query, "error")
        if error:
            if error == "access_denied":
                raise ConsentRefused(
                    "Consent was refused in Pleo (access_denied); nothing was stored. Start the login again to ask once more."
                )
            known = error if error.replace("_", "").isalnum() and error.isascii() and len(error) <= 64 else "an unreadable error"  # noqa: PLR2004
            raise LoginFailed(
                f"Pleo refused the login ({known}); nothing was stored. "
                "Check PLEO_CLIENT_ID, PLEO_REDIRECT_URI and PLEO_SCOPES against the client's registration at Pleo."
            )
        code = single(query, "code")
        if not code:
            raise LoginFailed("Pleo's answer holds no code; start the login again, with the same command or link.")
        return Secret(code)


def query_of_pasted(pasted: str, redirect_uri: str) -> str:
    """The query of a pasted redirect; LoginFailed when it is not the redirect URI, or has a fragment."""
    try:
        parts, expected = urlsplit(pasted.strip()), urlsplit(redirect_uri)
    except ValueError:
        raise LoginFailed("What was pasted is not an address; paste the whole address after Pleo sent the browser back.") from None
    if parts.fragment or "#" in pasted:
        raise LoginFailed("The pasted address holds a fragment (#); paste the whole address as it stands after Pleo sent the browser back.")
    if (parts.scheme, parts.netloc, parts.path) != (expected.scheme, expected.netloc, expected.path):
        raise LoginFailed(
            f"The pasted address does not start with {redirect_uri}; paste the whole address after Pleo sent the browser back."
        )
    return parts.query


def single(query: str, name: str) -> str:
    """A query's parameter; empty when it is absent or given twice."""
    values = _values(query, name)
    return values[0] if len(values) == 1 else ""


def _values(query: str, name: str) -> list[str]:
    try:
        return parse_qs(query, keep_blank_values=True, max_num_fields=32).get(name, [])
    except ValueError:
        return []
