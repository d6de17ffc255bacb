"""What the operator sees, behind a password: every connection, and what can be done about each."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from starlette.responses import RedirectResponse, Response

from pleo_connector.auth.connection_status import disconnect, status
from pleo_connector.auth.connections import list_labels
from pleo_connector.auth.granted import StreamAccess, stream_access
from pleo_connector.errors import PleoError
from pleo_connector.portal.invitations import seconds_of
from pleo_connector.portal.parts import Parts
from pleo_connector.portal.request import Asked
from pleo_connector.portal.sessions import GUESS_SPAN, LIFETIME

_log = logging.getLogger(__name__)
COOKIE = "pleo-operator"
VISITOR = "pleo-visitor-operator"


@dataclass(frozen=True, slots=True)
class Row:
    """One connection, as the list shows it; times are ISO 8601 in UTC."""

    label: str
    state: str
    reason: str = ""
    last_refresh: str | None = None
    scopes: tuple[str, ...] = ()
    missing: tuple[StreamAccess, ...] = ()
    open_until: str | None = None
    """Until when an invitation works that nobody used yet."""

    @property
    def connected(self) -> bool:
        """Whether there is something to disconnect."""
        return self.state not in ("invited", "not connected", "disconnected")


class OperatorPages:
    """The handlers; all but the login need a session, and every form its key."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._cookie = parts.place.cookie(COOKIE)
        self._visitor_cookie = parts.place.cookie(VISITOR)

    def connections(self, asked: Asked) -> Response:
        """The list."""
        session = self._session(asked)
        return self._to("/operator/login") if session is None else self._list(session)

    def login_form(self, asked: Asked) -> Response:
        """Ask for the password."""
        return self._to("/operator") if self._session(asked) else self._login_page(asked)

    def log_in(self, asked: Asked) -> Response:
        """A right password gets a new session, whatever cookie came along."""
        visitor = self._parts.visitors.known(asked.cookies.get(self._visitor_cookie, ""))
        if not self._parts.visitors.is_form_key(asked.field("key"), visitor, "operator login"):
            return self._login_page(asked, 403, "The form was too old. Please try once more.")
        if not self._parts.sessions.may_guess(asked.address):
            _log.warning("Too many wrong passwords for the operator's page from %s.", asked.address)
            page = self._login_page(asked, 429, f"Too many wrong passwords. Wait {GUESS_SPAN / 60:.0f} minutes.")
            page.headers["Retry-After"] = f"{GUESS_SPAN:.0f}"
            return page
        cookie = self._parts.sessions.log_in(asked.field("password"), asked.address)
        if cookie is None:
            _log.warning("A wrong password for the operator's page from %s.", asked.address)
            return self._login_page(asked, 403, "That is not the password.")
        _log.info("The operator logged in from %s.", asked.address)
        response = self._to("/operator")
        response.delete_cookie(self._visitor_cookie, path="/", secure=self._parts.place.secure, httponly=True, samesite="strict")
        response.set_cookie(
            self._cookie, cookie, int(LIFETIME), path="/", secure=self._parts.place.secure, httponly=True, samesite="strict"
        )
        return response

    def log_out(self, asked: Asked) -> Response:
        """End the session, not only the cookie."""

        def end(session: str) -> Response:
            self._parts.sessions.log_out(session)
            response = self._to("/operator/login")
            response.delete_cookie(self._cookie, path="/", secure=self._parts.place.secure, httponly=True, samesite="strict")
            return response

        return self._allowed(asked, end)

    def invite(self, asked: Asked) -> Response:
        """Make a link and show it, once."""

        def make(session: str) -> Response:
            label = asked.field("label").strip()
            # An empty label is the default connection, and only its own row asks for that.
            if not label and asked.field("default") != "yes":
                return self._list(session, 400, "A link needs a label: small letters, digits, - and _, such as acme.")
            self._parts.settings.labelled(label)
            seconds = seconds_of(asked.field("valid"))
            link = self._parts.invitations.make(label, seconds)
            _log.info("An invitation of %s was made.", label or "the default connection")
            return self._parts.pages.page("link", label=label, link=link, until=_iso(datetime.now(UTC).timestamp() + seconds))

        return self._allowed(asked, make)

    def withdraw(self, asked: Asked) -> Response:
        """The open link of a connection no longer works."""

        def take_back(_session: str) -> Response:
            self._parts.invitations.withdraw(asked.field("label"))
            return self._to("/operator")

        return self._allowed(asked, take_back)

    def disconnect(self, asked: Asked) -> Response:
        """Forget a connection's tokens; with `uninstall` end them at Pleo too."""

        def forget(session: str) -> Response:
            settings = self._parts.settings.labelled(asked.field("label"))
            told = disconnect(settings, uninstall=asked.field("uninstall") == "yes", opened=self._parts.opened)
            _log.info("%s", told)
            return self._list(session, notice=told)

        return self._allowed(asked, forget)

    def _allowed(self, asked: Asked, do: Callable[[str], Response]) -> Response:
        session = self._session(asked)
        if session is None:
            return self._to("/operator/login")
        if not self._parts.visitors.is_form_key(asked.field("key"), session, "operator"):
            return self._list(session, 403, "The form was not of this page. Nothing was done; please try once more.")
        try:
            return do(session)
        except PleoError as error:
            return self._list(session, 400, str(error))

    def _session(self, asked: Asked) -> str | None:
        return self._parts.sessions.of(asked.cookies.get(self._cookie, ""))

    def _login_page(self, asked: Asked, status_code: int = 200, problem: str = "") -> Response:
        visitor = self._parts.visitors.known(asked.cookies.get(self._visitor_cookie, "")) or self._parts.visitors.fresh()
        page = self._parts.pages.page("login", status_code, key=self._parts.visitors.form_key(visitor, "operator login"), problem=problem)
        page.set_cookie(self._visitor_cookie, visitor, path="/", secure=self._parts.place.secure, httponly=True, samesite="strict")
        return page

    def _list(self, session: str, status_code: int = 200, problem: str = "", notice: str = "") -> Response:
        key = self._parts.visitors.form_key(session, "operator")
        return self._parts.pages.page(
            "connections",
            status_code,
            rows=list(self._rows()),
            key=key,
            problem=problem,
            notice=notice,
            callback=self._parts.place.redirect_uri,
        )

    def _to(self, path: str) -> Response:
        return RedirectResponse(f"{self._parts.place.prefix}{path}", 303)

    def _rows(self) -> Iterator[Row]:
        settings = self._parts.settings
        stored = set(list_labels(settings, self._parts.opened))
        invited = self._parts.invitations.open()
        for label in sorted(stored | set(invited)):
            until = _iso(invited[label]) if label in invited else None
            yield self._row(label, until) if label in stored else Row(label, "invited", open_until=until)

    def _row(self, label: str, until: str | None) -> Row:
        settings = self._parts.settings.labelled(label)
        try:
            told = status(settings, others=False, opened=self._parts.opened)
        except PleoError as error:
            return Row(label, "unreadable", str(error), open_until=until)
        values: dict[str, Any] = {"last_refresh": told.last_refresh, "scopes": told.scopes, "open_until": until}
        if told.scopes:
            values["missing"] = tuple(one for one in stream_access(told.scopes, settings.scopes.split()) if not one.granted)
        reason = told.reason if told.state in ("reauth_required", "refreshing", "stale") else ""
        return Row(label, told.state, reason, **values)


def _iso(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()
