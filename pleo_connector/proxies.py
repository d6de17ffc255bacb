"""How requests leave this host: directly, through the proxy that PLEO_PROXY names, or as the environment says.

One answer for all traffic to Pleo, tokens and data alike: where one kind went through and the other did not, a sync
would stop half-way, or a proxy would see what nobody chose to show it.
"""

from __future__ import annotations

import ipaddress
import re
from typing import TypedDict
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import httpx

from pleo_connector.errors import ConfigurationError
from pleo_connector.setting_values import ENVIRONMENT, LOOPBACK
from pleo_connector.setting_values import proxy as checked
from pleo_connector.tls import checking

_FORM = "a URL such as http://proxy.example.com:3128, with user:password@ before the host for a login (URL-encoded); SOCKS is not supported"


class Route(TypedDict):
    """What httpx clients are given."""

    proxy: httpx.Proxy | None
    trust_env: bool


def route(proxy: str, url: str) -> Route:
    """For requests to `url`; ConfigurationError when the proxy, or the environment's NO_PROXY, cannot be understood.

    This machine itself is always reached directly: over plain http a proxy would see the credentials.
    """
    variable, address = _address(proxy, url)
    if not address:
        return Route(proxy=None, trust_env=False)
    try:
        checks = checking(address) if urlsplit(address).scheme == "https" else None
        return Route(proxy=httpx.Proxy(address, ssl_context=checks), trust_env=False)
    except (httpx.InvalidURL, ValueError):
        raise ConfigurationError(f"{variable} must be {_FORM}.") from None


def is_proxied(proxy: str, url: str) -> bool:
    """Whether requests to `url` go through a proxy; ConfigurationError as in `route`."""
    return bool(_address(proxy, url)[1])


def through(proxy: str, url: str) -> str:
    """The way as part of a sentence, with a space before it and no secret; empty for a direct one."""
    variable, address = _address(proxy, url)
    if not address:
        return ""
    parts = urlsplit(address)
    of = f" of {variable}" if proxy == ENVIRONMENT else ""
    return f" through the proxy{of} {parts.scheme}://{'***@' if '@' in parts.netloc else ''}{parts.netloc.rpartition('@')[2]}"


def passwords(proxy: str) -> list[tuple[str, str]]:
    """User and password of every proxy that may be used, for those who hide secrets."""
    found = getproxies().values() if proxy == ENVIRONMENT else [proxy]
    logins = [each.partition("://")[2] or each for each in found]
    pairs = [login.rpartition("@")[0].partition(":") for login in logins if "@" in login]
    return [(unquote(user), unquote(password)) for user, _, password in pairs]


def _address(proxy: str, url: str) -> tuple[str, str]:
    """The variable that names the proxy for requests to `url`, and the proxy; empty texts where they go directly."""
    parts = urlsplit(url)
    if not proxy or parts.hostname in LOOPBACK:
        return "", ""
    return _of_environment(parts) if proxy == ENVIRONMENT else ("PLEO_PROXY", proxy)


def _of_environment(parts: SplitResult) -> tuple[str, str]:
    """As `_address`, by HTTPS_PROXY, ALL_PROXY and NO_PROXY in either case, and by the system's settings where the standard library knows them."""
    found = getproxies()
    name = next((name for name in (parts.scheme, "all") if found.get(name, "").strip()), "")
    if not name or _is_spared(parts, found.get("no", "")):
        return "", ""
    given = found[name].strip()
    variable = f"{name.upper()}_PROXY"
    address = given if "://" in given else f"http://{given}"
    try:
        return variable, checked(address)
    except ValueError:
        raise ConfigurationError(
            f"PLEO_PROXY is environment, and its {variable} must be {_FORM}. Correct it, or let PLEO_PROXY name the proxy."
        ) from None


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def _is_spared(parts: SplitResult, no_proxy: str) -> bool:
    """Whether NO_PROXY has the host: by its name or the end of that, its address, or a network, each with or without a port; `*` is all."""
    host = (parts.hostname or "").rstrip(".")
    port = parts.port or (443 if parts.scheme == "https" else 80)
    for entry in filter(None, re.split(r"[\s,]+", no_proxy)):
        if entry == "*":
            return True
        scheme, _, rest = entry.rpartition("://")
        meant, its_port = _understood(rest, entry)
        if scheme.lower() in ("", "all", parts.scheme) and its_port in (None, port) and _has(meant, host):
            return True
    return bool(proxy_bypass(host))  # the exceptions of macOS and Windows


def _understood(text: str, entry: str) -> tuple[Network | str, int | None]:
    """The network (an address is one of its own) or the name that an entry of NO_PROXY means, and its port."""
    plain = re.sub(r"%[^/\]]*", "", text)  # the zone of a link-local address
    if short := re.fullmatch(r"(\d+(?:\.\d+){0,2})/(\d+)", plain):  # 169.254/16
        plain = f"{short[1]}{'.0' * (3 - short[1].count('.'))}/{short[2]}"
    bracketed = re.fullmatch(r"\[([^\]]+)\](/\d+)?(?::(\d+))?", plain)
    with_port = bracketed or re.fullmatch(r"([^:/]+)()(?::(\d+))", plain)
    place, port = (f"{with_port[1]}{with_port[2] or ''}", int(with_port[3]) if with_port[3] else None) if with_port else (plain, None)
    try:
        return ipaddress.ip_network(place, strict=False), port
    except ValueError:
        if bracketed or re.search(r"[/:\[\]]", place):
            raise ConfigurationError(
                f"PLEO_PROXY is environment, and its NO_PROXY has {entry!r}, which is no name, address or network; correct it."
            ) from None
        return place.lower(), port


def _has(meant: Network | str, host: str) -> bool:
    if isinstance(meant, str):
        name = meant.removeprefix("*").strip(".")
        return bool(name) and f".{host}".endswith(f".{name}")
    try:
        return ipaddress.ip_address(host.partition("%")[0]) in meant
    except ValueError:  # a name
        return False
