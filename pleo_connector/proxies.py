"""How requests leave this host: directly, through the proxy that PLEO_PROXY names, or as the environment says.

One answer for all traffic to Pleo, tokens and data alike: where one kind went through and the other did not, a sync
would stop half-way, or a proxy would see what nobody chose to show it.
"""

from __future__ import annotations

from typing import TypedDict
from urllib.parse import urlsplit
from urllib.request import getproxies

import httpx

from pleo_connector.errors import ConfigurationError
from pleo_connector.setting_values import ENVIRONMENT, LOOPBACK
from pleo_connector.setting_values import proxy as checked
from pleo_connector.tls import checking

_READ = ("http", "https", "all")
"""What httpx reads of the environment's proxies, beside NO_PROXY."""


class Route(TypedDict):
    """What httpx clients are given."""

    proxy: httpx.Proxy | None
    trust_env: bool


def route(proxy: str, url: str) -> Route:
    """For requests to `url`; ConfigurationError when the environment names a proxy that is none.

    This machine itself is always reached directly: over plain http a proxy would see the credentials.
    """
    if not proxy or urlsplit(url).hostname in LOOPBACK:
        return Route(proxy=None, trust_env=False)
    if proxy == ENVIRONMENT:
        _of_environment()
        return Route(proxy=None, trust_env=True)
    return Route(proxy=httpx.Proxy(proxy, ssl_context=checking(proxy) if proxy.startswith("https:") else None), trust_env=False)


def through(proxy: str, url: str) -> str:
    """The way as part of a sentence, with a space before it and no secret; empty for a direct one."""
    if not proxy or urlsplit(url).hostname in LOOPBACK:
        return ""
    if proxy == ENVIRONMENT:
        return " (by the environment's proxies)"
    parts = urlsplit(proxy)
    return f" through the proxy {parts.scheme}://{'***@' if '@' in parts.netloc else ''}{parts.netloc.rpartition('@')[2]}"


def passwords(proxy: str) -> list[tuple[str, str]]:
    """User and password of every proxy that may be used, for those who hide secrets."""
    found = _of_environment() if proxy == ENVIRONMENT else [proxy]
    urls = [httpx.URL(each) for each in found if "@" in each]
    return [(url.username, url.password) for url in urls]


def _of_environment() -> list[str]:
    found = []
    for name, given in getproxies().items():
        if name in _READ and given:
            url = given if "://" in given else f"http://{given}"
            try:
                found.append(checked(url))
            except ValueError as error:
                raise ConfigurationError(
                    f"PLEO_PROXY is environment, and its {name.upper()}_PROXY {error}; correct it, or let PLEO_PROXY name the proxy."
                ) from None
    return found
