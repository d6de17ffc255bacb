"""The authorisation server over HTTP: authorise, consent, token, introspection."""

from __future__ import annotations

from collections import Counter
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from pleo_connector.sandbox.clients import Client, authenticated_client
from pleo_connector.sandbox.consent_page import consent_page, refusal_page
from pleo_connector.sandbox.oauth_rules import Consent, Grant, OAuthRefusal, is_challenge
from pleo_connector.sandbox.state import SandboxState

_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}
_FORM = "application/x-www-form-urlencoded"


class OAuthEndpoints:
    """The handlers; `routes()` lists where they are."""

    def __init__(self, state: SandboxState) -> None:
        self._state = state

    def routes(self) -> list[Route]:
        """The authorisation server's addresses."""
        return [
            Route("/oauth/authorize", self.authorize, methods=["GET"]),
            Route("/oauth/authorize", self.decide, methods=["POST"]),
            Route("/oauth/token", self.token, methods=["POST"]),
            Route("/oauth/token/introspect", self.introspect, methods=["POST"]),
        ]

    async def authorize(self, request: Request) -> Response:
        """Show the consent page, or redirect with an error; an unknown client or address never redirects."""
        pairs = parse_qsl(request.url.query, keep_blank_values=True)
        given = dict(pairs)
        twice = [name for name, count in Counter(name for name, _ in pairs).items() if count > 1]
        with self._state.lock:
            client = self._state.clients.get(given.get("client_id", ""))
            if client is None:
                return refusal_page("No application is registered under this client_id.")
            redirect_uri = given.get("redirect_uri", "")
            if redirect_uri not in client.redirect_uris:
                return refusal_page("The redirect_uri is not exactly one that the application registered.")
            try:
                consent = self._consent(client, redirect_uri, given, twice)
            except OAuthRefusal as refusal:
                return _redirect(redirect_uri, {"error": refusal.error, "error_description": refusal.description}, given.get("state"))
            return consent_page(client.name, self._state.name_of(consent.subject), consent.scopes, self._state.oauth.ask(consent))

    def _consent(self, client: Client, redirect_uri: str, given: dict[str, str], twice: list[str]) -> Consent:
        if twice:
            raise OAuthRefusal("invalid_request", f"These parameters came twice: {', '.join(twice)}.")
        if given.get("response_type") != "code":
            raise OAuthRefusal("unsupported_response_type", "response_type must be code.")
        if not given.get("state"):
            raise OAuthRefusal("invalid_request", "state is required.")
        if given.get("code_challenge_method") != "S256":
            raise OAuthRefusal("invalid_request", "PKCE is required: code_challenge_method must be S256.")
        if not is_challenge(given.get("code_challenge", "")):
            raise OAuthRefusal("invalid_request", "PKCE is required: code_challenge must be 43 base64url characters.")
        scopes = tuple(dict.fromkeys(given.get("scope", "").split()))
        if not scopes:
            raise OAuthRefusal("invalid_scope", "scope is required.")
        unknown = [scope for scope in scopes if scope not in client.scopes]
        if unknown:
            raise OAuthRefusal("invalid_scope", f"The application is not registered for: {' '.join(unknown)}.")
        subject = given.get("urn_pleo_params_oauth_subject") or self._state.default_subject()
        if not self._state.may_be_granted(subject):
            raise OAuthRefusal("invalid_request", "urn_pleo_params_oauth_subject names nothing that this user may grant.")
        scopes = tuple(scope for scope in scopes if scope not in self._state.config.withheld_scopes)
        return Consent(client.client_id, redirect_uri, scopes, subject, given["state"], given["code_challenge"])

    async def decide(self, request: Request) -> Response:
        """The user pressed a button."""
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True))
        with self._state.lock:
            consent = self._state.oauth.answer(form.get("ticket", ""))
            if consent is None:
                return refusal_page("This consent page was already answered, or was never shown.")
            if form.get("decision") != "allow":
                return _redirect(consent.redirect_uri, {"error": "access_denied", "error_description": "The user declined."}, consent.state)
            return _redirect(consent.redirect_uri, {"code": self._state.oauth.code_for(consent)}, consent.state)

    async def token(self, request: Request) -> Response:
        """Exchange a code, or rotate a pair."""
        body = await request.body()
        with self._state.lock:
            self._state.counts.token_requests += 1
            try:
                form = _form(request, body)
                client = authenticated_client(self._state.clients, request.headers.get("authorization"), form)
                grant = self._granted(client, form)
            except OAuthRefusal as refusal:
                return _refused(refusal)
            answer = {
                "access_token": grant.access_token,
                "refresh_token": grant.refresh_token,
                "token_type": "Bearer",
                "expires_in": self._state.oauth.expires_in(),
                "scope": " ".join(grant.scopes),
            }
        return _json(answer)

    def _granted(self, client: Client, form: dict[str, str]) -> Grant:
        oauth = self._state.oauth
        kind = form.get("grant_type")
        if kind == "authorization_code":
            needed = _needed(form, "code", "redirect_uri", "code_verifier")
            return oauth.exchange(client.client_id, needed["code"], needed["redirect_uri"], needed["code_verifier"])
        if kind == "refresh_token":
            scopes = tuple(form["scope"].split()) if "scope" in form else None
            return oauth.refresh(client.client_id, _needed(form, "refresh_token")["refresh_token"], scopes)
        if kind is None:
            raise OAuthRefusal("invalid_request", "grant_type is required.")
        raise OAuthRefusal("unsupported_grant_type", "grant_type must be authorization_code or refresh_token.")

    async def introspect(self, request: Request) -> Response:
        """Say whether a token is live; only its own client is told."""
        body = await request.body()
        with self._state.lock:
            try:
                form = _form(request, body)
                client = authenticated_client(self._state.clients, request.headers.get("authorization"), form)
                token = _needed(form, "token")["token"]
            except OAuthRefusal as refusal:
                return _refused(refusal)
            found = self._state.oauth.inspect(client.client_id, token) if self._state.may_introspect else None
        if found is None:
            return _json({"active": False})
        grant, expires = found
        return _json(
            {
                "active": True,
                "sub": grant.subject,
                "exp": int(expires),
                "iat": int(grant.issued_at),
                "client_id": grant.client_id,
                "aud": self._state.url,
                "iss": "pleo.sandbox",
                "jti": grant.identity,
                "token_type": "at+JWT",
                "scope": " ".join(grant.scopes),
                "urn:pleo:params:oauth:subject_urn": grant.subject,
            }
        )


def _form(request: Request, body: bytes) -> dict[str, str]:
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _FORM:
        raise OAuthRefusal("invalid_request", f"The body must be {_FORM}.")
    pairs = parse_qsl(body.decode("utf-8", "replace"), keep_blank_values=True)
    form = dict(pairs)
    if len(form) != len(pairs):
        raise OAuthRefusal("invalid_request", "A parameter came twice.")
    return form


def _needed(form: dict[str, str], *names: str) -> dict[str, str]:
    missing = [name for name in names if not form.get(name)]
    if missing:
        raise OAuthRefusal("invalid_request", f"Missing: {', '.join(missing)}.")
    return form


def _redirect(uri: str, values: dict[str, str], state: str | None) -> Response:
    values = {**values, **({"state": state} if state else {})}
    joiner = "&" if urlsplit(uri).query else "?"
    return RedirectResponse(f"{uri}{joiner}{urlencode(values)}", status_code=302, headers=_NO_STORE)


def _refused(refusal: OAuthRefusal) -> Response:
    headers = {"WWW-Authenticate": 'Basic realm="pleo"'} if refusal.status == 401 else {}  # noqa: PLR2004
    return _json({"error": refusal.error, "error_description": refusal.description}, refusal.status, headers)


def _json(value: dict[str, Any], status: int = 200, headers: dict[str, str] | None = None) -> Response:
    return Response(msgspec.json.encode(value), status, {**_NO_STORE, **(headers or {})}, "application/json")
