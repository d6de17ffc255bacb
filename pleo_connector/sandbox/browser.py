"""A user without a browser: opens the consent page and presses a button."""

from __future__ import annotations

import ssl
from html.parser import HTMLParser
from urllib.parse import urljoin, urlsplit

import httpx

from pleo_connector.errors import ConfigurationError, PleoError

_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Trusts nobody: the sandbox speaks plain HTTP, and loading real certificates takes longer than the visit."""

_LOOPBACK = ("127.0.0.1", "::1", "localhost")


class _Form(HTMLParser):
    """Reads the one form of the consent page."""

    def __init__(self) -> None:
        super().__init__()
        self.action: str | None = None
        self.hidden: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "form":
            self.action = given.get("action") or ""
        elif tag == "input" and given.get("type") == "hidden":
            self.hidden[given.get("name") or ""] = given.get("value") or ""


def consent(authorize_url: str, *, allow: bool = True) -> str:
    """Answer a sandbox's consent page; returns the address it redirects to, which is not visited.

    The address holds `code` and `state`, or `error` (when `allow` is False, or the request was
    wrong). A request that the sandbox refuses without redirecting raises PleoError.
    """
    if urlsplit(authorize_url).hostname not in _LOOPBACK:
        raise ConfigurationError(
            "Only a sandbox on this machine is consented to automatically; open a real authorise address in a browser."
        )
    with httpx.Client(follow_redirects=False, trust_env=False, timeout=10, verify=_NO_TLS) as client:
        answer = client.get(authorize_url)
        if not answer.is_redirect:
            if not answer.is_success:
                raise PleoError(
                    f"The sandbox refused the authorise request with status {answer.status_code}; check client_id and redirect_uri."
                )
            form = _Form()
            form.feed(answer.text)
            if form.action is None:
                raise PleoError("The authorise page holds no consent form.")
            answer = client.post(urljoin(authorize_url, form.action), data={**form.hidden, "decision": "allow" if allow else "deny"})
    if not answer.is_redirect:
        raise PleoError(f"The sandbox answered consent with status {answer.status_code} instead of a redirect.")
    return answer.headers["location"]
