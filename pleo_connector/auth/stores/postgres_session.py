"""Connections to the PostgreSQL server of a token store: direct ones, kept alive, never shared with a fork.

What libpq says about a connection may quote parts of a badly written URL, and so of the password; only the
server's own words and a few known causes are passed on.
"""

from __future__ import annotations

import contextlib
import os
import re
import socket
import threading
import weakref
from types import ModuleType
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from pleo_connector.auth.redaction import REDACTOR
from pleo_connector.auth.stores.pooler import shares_sessions
from pleo_connector.errors import ConfigurationError, TokenStoreUnavailable

if TYPE_CHECKING:
    import psycopg

_KEPT_ALIVE = {
    "connect_timeout": "10",
    "keepalives": "1",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "20000",
}
_CAUSES = {
    "Connection refused": "the connection was refused",
    "could not translate host name": "the host's name is not known",
    "resolve host": "the host's name is not known",
    "timeout": "it did not answer in time",
    "certificate": "its TLS certificate was not accepted",
    "SSL": "TLS failed",
    "No such file": "there is no such socket",
    "Network is unreachable": "the network is unreachable",
    "closed the connection": "it closed the connection",
}
_SERVER_SAYS = re.compile(r"FATAL:\s+(.+)")

_open: weakref.WeakSet[psycopg.Connection[Any]] = weakref.WeakSet()


def driver() -> ModuleType:
    """psycopg, which only this store needs; ConfigurationError says how to install it."""
    try:
        import psycopg  # noqa: PLC0415 - an extra
    except ImportError:
        raise ConfigurationError(
            "PLEO_TOKEN_STORE names PostgreSQL, and psycopg is not installed: run `pip install 'pleo-connector[postgres]'`."
        ) from None
    return psycopg


class Server:
    """The server and database of a `postgresql://` URL."""

    def __init__(self, url: str) -> None:
        self._url = _checked(url)
        self._psycopg = driver()

    @property
    def place(self) -> str:
        """Where it is, for people: no user, password or options."""
        parts = urlsplit(self._url)
        host = parts.netloc.rpartition("@")[2] or ",".join(parse_qs(parts.query).get("host", ["the default server"]))
        return f"{host}{parts.path if len(parts.path) > 1 else ''}"

    def __repr__(self) -> str:
        return f"Server({self.place!r})"

    def connect(self) -> psycopg.Connection[dict[str, Any]]:
        """A new connection in autocommit mode, without time limits of the server's that would end it while idle."""
        try:
            db: psycopg.Connection[dict[str, Any]] = self._psycopg.connect(
                self._url,
                autocommit=True,
                prepare_threshold=None,
                row_factory=self._psycopg.rows.dict_row,
                # A name says who holds a lock; 63 bytes are kept.
                application_name=f"pleo-connector {socket.gethostname()[:32]} {os.getpid()}",
                **{name: value for name, value in _KEPT_ALIVE.items() if name not in parse_qs(urlsplit(self._url).query)},
            )
        except self._psycopg.Error as error:
            raise self.unavailable(error) from None
        _open.add(db)
        try:
            db.execute("select set_config(name, '0', false) from pg_settings where name in ('idle_session_timeout', 'transaction_timeout')")
            db.execute("select set_config('statement_timeout', '10s', false), set_config('lock_timeout', '5s', false)")
            # What returns is durable, whatever the server's default: an intent that a crash forgets would be sent twice.
            db.execute("select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off'")
        except self._psycopg.Error as error:
            close(db)
            raise self.unavailable(error) from None
        return db

    def unavailable(self, error: Exception) -> TokenStoreUnavailable:
        """The error for a server that cannot be used now; passes on what is known to hold no password."""
        primary = getattr(getattr(error, "diag", None), "message_primary", None)
        text = str(error)
        said = _SERVER_SAYS.search(text)
        cause = primary or (said[1] if said else next((told for sign, told in _CAUSES.items() if sign in text), type(error).__name__))
        return TokenStoreUnavailable(
            f"The token store at PostgreSQL {self.place} cannot be used now: {REDACTOR.scrub(cause)}; "
            "check PLEO_TOKEN_STORE, the server, and what this user may do there."
        )


def close(db: psycopg.Connection[Any]) -> None:
    """Close a connection, whatever state it is in."""
    _open.discard(db)
    with contextlib.suppress(Exception):
        db.close()


def _checked(url: str) -> str:
    netloc, slash, rest = url.partition("://")[2].partition("/")
    if "@" in f"{slash}{rest}".partition("?")[0] or netloc.count("@") > 1:
        raise ConfigurationError(
            "PLEO_TOKEN_STORE holds an @ or / that is not written as %40 or %2F; write the user and password of a postgresql:// URL URL-encoded."
        )
    try:
        parts = urlsplit(url)
        REDACTOR.register(unquote(parts.password or ""), parts.password, *parse_qs(parts.query).get("password", ()))
    except ValueError:
        raise ConfigurationError("PLEO_TOKEN_STORE is not a URL such as postgresql://user:password@host:5432/database.") from None
    return url


def _let_go_in_child() -> None:
    """Close a fork's copies of the parent's sockets: they would keep a dead parent's lock alive, and must not say goodbye for it."""
    for db in list(_open):
        with contextlib.suppress(Exception):
            os.close(db.fileno())
    _open.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_let_go_in_child)


class Session:
    """One process's connection for reads and writes; use it while holding `guard`."""

    def __init__(self, server: Server) -> None:
        self.guard = threading.Lock()
        self._server = server
        self._db: psycopg.Connection[dict[str, Any]] | None = None
        self._direct = False

    def connection(self, *, ping: bool = False) -> psycopg.Connection[dict[str, Any]]:
        """The connection, made anew when it was lost."""
        db = self._db
        if db is not None and ping and not db.closed:
            try:
                db.execute("select 1")
            except driver().Error:
                close(db)
        if db is None or db.closed:
            db = self._db = self._server.connect()
        return db

    def check(self) -> None:
        """Refuse, once per process, a proxy through which a session lock does not hold."""
        with self.guard:
            if self._direct:
                return
            first, second = self._server.connect(), self._server.connect()
            try:
                shared = shares_sessions(first, second)
            except driver().Error as error:
                raise self._server.unavailable(error) from None
            finally:
                close(first)
                close(second)
            if shared:
                raise ConfigurationError(
                    f"PLEO_TOKEN_STORE goes to PostgreSQL {self._server.place} through a proxy that shares sessions (PgBouncer in transaction mode, "
                    "for one), where the lock of a refresh does not hold; name the server itself, or a pool in session mode."
                )
            self._direct = True

    def close(self) -> None:
        """End the session."""
        if self._db is not None:
            close(self._db)
