"""What the sandbox's tests do again and again: sign in, ask for pages."""

from __future__ import annotations

import secrets
import ssl
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx

from pleo_connector.sandbox import CLIENT_ID, CLIENT_SECRET, RunningSandbox, consent
from pleo_connector.sandbox.oauth_rules import challenge_of

REDIRECT = "http://127.0.0.1:8765/callback"
SCOPES = "companies:read users:read accounts:read tag-groups:read tax-codes:read vendors:read accounting-entries:read"
ENTRIES = "/v1/accounting-entries:search"
BASIC = (CLIENT_ID, CLIENT_SECRET)


TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Spares every client the loading of certificates that plain HTTP does not need."""


def get(url: str, **more: Any) -> httpx.Response:
    return httpx.get(url, trust_env=False, verify=TLS, **more)


def post(url: str, **more: Any) -> httpx.Response:
    return httpx.post(url, trust_env=False, verify=TLS, **more)


def client_of(sandbox: RunningSandbox, **more: Any) -> httpx.Client:
    return httpx.Client(base_url=sandbox.url, trust_env=False, verify=TLS, **more)


class Clock:
    """A clock that tests set."""

    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Login:
    """One sign-in, step by step; `changes` overrides parameters of the authorise request (None leaves one out)."""

    sandbox: RunningSandbox
    changes: dict[str, str | None] = field(default_factory=dict)
    verifier: str = field(default_factory=lambda: secrets.token_urlsafe(48))

    @property
    def authorize_url(self) -> str:
        given: dict[str, str | None] = {
            "response_type": "code",
            "client_id": CLIENT_ID,
            "redirect_uri": REDIRECT,
            "scope": SCOPES,
            "state": "a state",
            "code_challenge": challenge_of(self.verifier),
            "code_challenge_method": "S256",
            **self.changes,
        }
        query = urlencode({name: value for name, value in given.items() if value is not None})
        return f"{self.sandbox.url}/oauth/authorize?{query}"

    def redirected(self, *, allow: bool = True) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(consent(self.authorize_url, allow=allow)).query))

    def code_form(self, code: str | None = None) -> dict[str, str]:
        code = self.redirected()["code"] if code is None else code
        return {"grant_type": "authorization_code", "code": code, "redirect_uri": REDIRECT, "code_verifier": self.verifier}


def token(sandbox: RunningSandbox, form: dict[str, str], auth: tuple[str, str] | None = BASIC, **headers: str) -> httpx.Response:
    return post(f"{sandbox.url}/oauth/token", data=form, auth=auth, headers=headers)


def signed_in(sandbox: RunningSandbox, **changes: str | None) -> dict[str, Any]:
    answer = token(sandbox, (login := Login(sandbox, changes)).code_form())
    assert answer.status_code == 200, answer.text
    assert login.verifier
    found: dict[str, Any] = answer.json()
    return found


def refreshed(sandbox: RunningSandbox, refresh_token: str, **more: str) -> httpx.Response:
    return token(sandbox, {"grant_type": "refresh_token", "refresh_token": refresh_token, **more})


def bearer(sandbox: RunningSandbox, access_token: str) -> httpx.Client:
    return client_of(sandbox, headers={"Authorization": f"Bearer {access_token}"})


def ids(answer: httpx.Response) -> list[str]:
    assert answer.status_code == 200, answer.text
    return [record["id"] for record in answer.json()["data"]]
