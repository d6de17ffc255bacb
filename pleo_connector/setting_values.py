"""What a single setting may be: each function returns the value as it is used, or raises ValueError with what it must be."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import AfterValidator, SecretStr

LOOPBACK = {"127.0.0.1", "localhost", "::1"}
ENVIRONMENT = "environment"
"""The value of PLEO_PROXY that asks for what HTTPS_PROXY and NO_PROXY say."""


def origin(value: str) -> str:
    """Where a server is: https, or http on this machine."""
    parts = urlsplit(value)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError("must be a URL such as https://external.pleo.io")
    if parts.username or parts.password:
        raise ValueError("must not contain a user name or password")
    if parts.scheme == "http" and parts.hostname not in LOOPBACK:
        raise ValueError("must use https (http is allowed only for 127.0.0.1, ::1 and localhost)")
    if parts.query or parts.fragment:
        raise ValueError("must not contain a query or fragment")
    _port(value)
    return value.rstrip("/")


def _port(value: str) -> int | None:
    try:
        return urlsplit(value).port
    except ValueError:
        raise ValueError("must have a port between 0 and 65535") from None


def proxy(value: str) -> str:
    """A proxy's address, or the word that leaves it to the environment; nothing of it is in an error, for it may hold a password."""
    if value in ("", ENVIRONMENT):
        return value
    try:
        parts = urlsplit(value)
        fine = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0 and not (parts.query or parts.fragment)
    except ValueError:
        fine = False
    if not fine or parts.path not in ("", "/"):
        raise ValueError(f"must be {ENVIRONMENT}, or a URL such as http://proxy.example.com:3128 (a password URL-encoded)")
    if bool(parts.username) != bool(parts.password):
        raise ValueError("must hold user and password, or neither")
    return value


def redirect_uri(value: str) -> str:
    """Where Pleo sends a browser back to; http needs the port that was registered."""
    parts = urlsplit(value)
    if parts.scheme not in ("https", "http") or not parts.hostname:
        raise ValueError("must be a URL such as http://127.0.0.1:8765/callback")
    origin(parts._replace(path="").geturl())
    if parts.scheme == "http" and not _port(value):
        raise ValueError("must name a fixed port, as registered at Pleo, such as http://127.0.0.1:8765/callback")
    return value


def scopes(value: str) -> str:
    """Scopes separated by single spaces."""
    if "," in value or ";" in value:
        raise ValueError("must be scopes separated by spaces, such as 'companies:read users:read'")
    return " ".join(value.split())


def warehouse(value: str) -> str:
    """Anything that looks like a URL."""
    if not re.match(r"[a-z][a-z0-9+.-]*:", value):  # what follows is for the warehouse to judge: it knows what was meant
        raise ValueError("must be a URL such as duckdb:///spend.duckdb")
    return value


def schema(value: str) -> str:
    """A name that needs no quotes anywhere."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]{0,62}", value):
        raise ValueError("must be a plain name of at most 63 letters, digits and underscores, such as pleo")
    return value


def label(value: str) -> str:
    """A connection's name among several; empty for the only one."""
    if value and not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,39}", value):
        raise ValueError("must be at most 40 small letters, digits, - and _, such as acme")
    return value


def portal_url(value: str) -> str:
    """The portal's address, with a plain path."""
    url = origin(value)
    if not re.fullmatch(r"(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*", urlsplit(url).path):
        raise ValueError("must have a plain path, such as https://connect.example.com/pleo")
    return url


def at_least(shortest: int) -> AfterValidator:
    """A secret of so many characters, or none."""

    def check(value: SecretStr) -> SecretStr:
        if value.get_secret_value() and len(value.get_secret_value()) < shortest:
            raise ValueError(f"must have at least {shortest} characters, chosen at random")
        return value

    return AfterValidator(check)


def networks(value: str) -> str:
    """Addresses and networks, separated by single spaces."""
    for part in re.split(r"[\s,]+", value):
        try:
            ipaddress.ip_network(part)
        except ValueError:
            raise ValueError("must be addresses or networks separated by spaces, such as 127.0.0.1 10.0.0.0/8") from None
    return " ".join(re.split(r"[\s,]+", value))


def storage_version(value: str) -> str:
    """A version as DuckDB spells it, or `latest`; whether there is such a version, DuckDB says."""
    if not re.fullmatch(r"latest|v?\d+\.\d+\.\d+", value):
        raise ValueError("must be the oldest DuckDB that shall open the file, such as v1.4.0, or latest")
    return value if value.startswith(("v", "latest")) else f"v{value}"


def raw(value: str) -> str:
    """One of two words, or a folder."""
    if value == "none":
        return "off"
    if value in ("off", "warehouse") or re.search(r"[/\\]|^[.~]", value):
        return value
    raise ValueError("must be warehouse, off, or a folder such as ./raw")


def snapshot(value: str) -> str:
    """A word or a path; the two other words are for places that read on and off as true and false."""
    return {"none": "off", "beside": "on"}.get(value, value)


def token_store(value: str) -> str:
    """A path whose ~ is spelled out, or a URL."""
    return str(Path(value).expanduser()) if value.startswith("~") else value
