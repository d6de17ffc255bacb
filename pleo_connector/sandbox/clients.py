"""The registered clients, and how one proves itself at the token endpoint."""

from __future__ import annotations

import base64
import binascii
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote_plus

from pleo_connector.sandbox.oauth_rules import OAuthRefusal


@dataclass(frozen=True, slots=True)
class Client:
    """A registered application; one without a secret is public."""

    client_id: str
    name: str
    secret: str | None = field(repr=False)
    redirect_uris: tuple[str, ...]
    scopes: tuple[str, ...]


def basic_pair(header: str) -> tuple[str, str] | None:
    """User name and password of an `Authorization: Basic` header, as sent; None when it is not one."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(value.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return None
    return (user, password) if colon else None


def authenticated_client(clients: Mapping[str, Client], header: str | None, form: Mapping[str, str]) -> Client:
    """The client behind a token request, or a refusal.

    Takes Basic with id and secret either raw or form-encoded (RFC 6749 2.3.1), because Pleo's
    pages show the one and the standard asks for the other; `client_id` and `client_secret` as form
    fields; and `client_id` alone for a public client.
    """
    return _by_form(clients, form) if header is None else _by_header(clients, header, form)


def _by_header(clients: Mapping[str, Client], header: str, form: Mapping[str, str]) -> Client:
    pair = basic_pair(header)
    if pair is None:
        raise _invalid_client()
    if "client_secret" in form:
        raise OAuthRefusal("invalid_request", "The client authenticated in two ways at once.")
    for client_id, secret in (pair, (unquote_plus(pair[0]), unquote_plus(pair[1]))):
        client = clients.get(client_id)
        if client is not None and client.secret is not None and _same(secret, client.secret):
            if form.get("client_id", client_id) != client_id:
                raise OAuthRefusal("invalid_request", "client_id differs from the one in the Authorization header.")
            return client
    raise _invalid_client()


def _by_form(clients: Mapping[str, Client], form: Mapping[str, str]) -> Client:
    client = clients.get(form.get("client_id", ""))
    given = form.get("client_secret")
    if client is None or (client.secret is None) != (given is None):
        raise _invalid_client()
    if client.secret is not None and not _same(given or "", client.secret):
        raise _invalid_client()
    return client


def _same(given: str, secret: str) -> bool:
    return secrets.compare_digest(given.encode(), secret.encode())


def _invalid_client() -> OAuthRefusal:
    return OAuthRefusal("invalid_client", "Client authentication failed.", 401)
