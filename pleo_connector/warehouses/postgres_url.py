"""The address of a PostgreSQL database: checked before libpq sees it, and shown without its password."""

from __future__ import annotations

import os
import re
import sys
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import parse_qsl, quote, unquote

from pleo_connector.errors import ConfigurationError

FORM = "postgresql://user@host/database"

_ENCODE = "write @ as %40, / as %2F, : as %3A, ? as %3F, # as %23 and % as %25 inside a user name or password"

_SECRET = ("password", "sslpassword")

_DEFAULTS = {
    "connect_timeout": "10",
    # A network that died is noticed within a minute, not after hours.
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a database is. `uri` holds the password, so it stays out of the repr; `location` does not."""

    location: str
    uri: str = field(repr=False)
    secrets: tuple[str, ...] = field(repr=False)

    def scrubbed(self, text: str) -> str:
        """The text without the password: a second safeguard, because our messages never contain it."""
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


def address(url: str) -> Address:
    """Read a `postgresql://` or `postgres://` URL; ConfigurationError never quotes what may be part of a password."""
    rest = url.partition("://")[2]
    end = min((place for place in (rest.find("/"), rest.find("?")) if place >= 0), default=len(rest))
    authority, (path, _, query) = rest[:end], rest[end:].partition("?")
    credentials, at, hosts = authority.rpartition("@")
    if "@" in credentials or "@" in path:
        raise ConfigurationError(f"PLEO_WAREHOUSE cannot be read as {FORM}: it holds more than one @; {_ENCODE}.")
    if re.search(r"%(?![0-9A-Fa-f]{2})|%00", rest):
        raise ConfigurationError(f"PLEO_WAREHOUSE cannot be read as {FORM}: it holds a % that encodes nothing; {_ENCODE}.")
    for host in hosts.split(","):
        if not re.fullmatch(r"(\[[0-9A-Fa-f:.%]*\]|[^:\[\]\s]*)(:[0-9]{1,5})?", host):
            raise ConfigurationError(f"PLEO_WAREHOUSE cannot be read as {FORM}: what follows the host's colon is no port; {_ENCODE}.")
    options = dict(parse_qsl(query, keep_blank_values=True))
    database = path.removeprefix("/")
    if not database and not options.get("dbname"):
        raise ConfigurationError(f"PLEO_WAREHOUSE names no database; write {FORM}.")
    user, _, password = credentials.partition(":")
    given = [unquote(password), *(options.get(name, "") for name in _SECRET)]
    added = {name: value for name, value in (_DEFAULTS | {"application_name": _application()}).items() if name not in options}
    if "PGAPPNAME" in os.environ:
        added.pop("application_name", None)
    joined = "&".join([*([query] if query else []), *(f"{name}={quote(value, safe='')}" for name, value in added.items())])
    where = ",".join(hosts.split(",")) or options.get("host", "")
    named = unquote(database) or options.get("dbname", "")
    return Address(
        location=f"postgresql://{unquote(user)}{at and '@'}{where}/{named}",
        uri=f"postgresql://{authority}/{database}?{joined}",
        secrets=tuple(sorted({secret for one in given if one for secret in (one, quote(one, safe=""))}, key=len, reverse=True)),
    )


def _application() -> str:
    """What the server shows as `application_name`: which program this is, and its process id."""
    program = Path(sys.argv[0]).name if sys.argv else ""
    return f"pleo-connector ({program[:30] or 'python'}, pid {os.getpid()})"
