"""What a customer sees: the invitation, the way to Pleo and back, and what came of it."""

from __future__ import annotations

import logging
import secrets
from typing import Any

from starlette.responses import RedirectResponse, Response

from pleo_connector.auth.granted import stream_access
from pleo_connector.auth.redirect import single
from pleo_connector.errors import ConsentRefused, PleoError
from pleo_connector.portal.attempts import NoAttempt
from pleo_connector.portal.invitations import Unusable
from pleo_connector.portal.parts import Parts
from pleo_connector.portal.request import Asked

_log = logging.getLogger(__name__)
COOKIE = "pleo-visitor"
_AGAIN = "Ask whoever sent it to you for a new one."
_REFUSALS = {
    Unusable.FORGED: (
        404,
        "This link does not work",
        "It is not complete, or was changed on the way. Open it exactly as it was sent to you.",
    ),
    Unusable.EXPIRED: (410, "This link is too old", f"Links work for a limited time. {_AGAIN}"),
    Unusable.SPENT: (410, "This link was used already", f"Each link works once, and a newer one replaces it. {_AGAIN}"),
}


class CustomerPages:
    """The handlers; each takes a request and gives a response."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._cookie = parts.place.cookie(COOKIE)

    def home(self, _: Asked) -> Response:
        """The bare address: nothing to do without a link."""
        return self._parts.pages.message(
            "Nothing to see here", "Open the link that was sent to you. It leads to the right page.", status=200
        )

    def invitation(self, asked: Asked) -> Response:
        """Say what will be read, and by whom; uses nothing up."""
        token = asked.parameter("token")
        found = self._parts.invitations.look(token)
        if isinstance(found, Unusable):
            return self._refused(found)
        visitor = self._visitor(asked) or self._parts.visitors.fresh()
        asked_for = self._parts.settings.scopes.split()
        page = self._parts.pages.page(
            "invitation",
            label=found.label,
            streams=[access for access in stream_access(asked_for, asked_for) if access.granted],
            token=token,
            key=self._parts.visitors.form_key(visitor, "start"),
        )
        return self._for(visitor, page)

    def start(self, asked: Asked) -> Response:
        """The button: uses the invitation up, and sends this browser, and no other, to Pleo."""
        if not self._parts.visitors.is_form_key(asked.field("key"), self._visitor(asked), "start"):
            return self._stale()
        token = asked.field("token")
        seen = self._parts.invitations.look(token)
        if not isinstance(seen, Unusable) and (unready := self._unready(seen.label)) is not None:
            return unready  # with the invitation unused
        found = self._parts.invitations.use(token)
        if isinstance(found, Unusable):
            return self._refused(found)
        _log.info("The invitation of %s was taken up.", _named(found.label))
        return self._to_pleo(found.label)

    def again(self, asked: Asked) -> Response:
        """The button after a failure: the browser that took up the invitation may try again for a while."""
        visitor = self._visitor(asked)
        if visitor is None or not self._parts.visitors.is_form_key(asked.field("key"), visitor, "again"):
            return self._stale()
        label = self._parts.attempts.claimed(visitor)
        return self._refused(Unusable.SPENT) if label is None else self._unready(label) or self._to_pleo(label)

    def callback(self, asked: Asked) -> Response:
        """Pleo's redirect. Ends at an address without a code, which may be loaded again."""
        visitor = self._visitor(asked)
        attempt = NoAttempt.UNKNOWN if visitor is None else self._parts.attempts.answered(single(asked.query, "state"), visitor)
        if visitor is None or attempt is NoAttempt.ELSEWHERE:
            return self._parts.pages.message(
                "Not this browser",
                "Pleo answered, but the connection was not started in this browser, so nothing was connected.",
                "Open your invitation and finish it in one and the same browser, with cookies allowed.",
                status=400,
            )
        if isinstance(attempt, NoAttempt):
            if self._parts.attempts.outcome(visitor) is not None:
                return self._onward()
            return self._parts.pages.message(
                "This answer cannot be used", "It was used already, or took too long. Nothing was connected by it.", _AGAIN, status=400
            )
        reference = secrets.token_hex(4)
        try:
            result = self._parts.connecting.finish(attempt, asked.query)
        except PleoError as error:
            _log.warning("Connecting %s failed (reference %s): %s", _named(attempt.label), reference, error)
            outcome: dict[str, Any] = {"connected": False, "refused": isinstance(error, ConsentRefused), "reference": reference}
        else:
            self._parts.attempts.end(visitor)
            _log.info("Connected as %s, generation %d.", result.connection, result.generation)
            outcome = {"connected": True, "subject": result.subject, "granted": result.scopes, "asked": attempt.scopes.split()}
        self._parts.attempts.keep_outcome(visitor, outcome | {"label": attempt.label})
        return self._onward()

    def done(self, asked: Asked) -> Response:
        """What came of it."""
        visitor = self._visitor(asked)
        outcome = None if visitor is None else self._parts.attempts.outcome(visitor)
        if visitor is None or outcome is None:
            return self._parts.pages.message("Nothing to show", "This page tells how a connection went, for half an hour.", status=404)
        if outcome["connected"]:
            access = stream_access(outcome["granted"], outcome["asked"])
            return self._parts.pages.page(
                "connected",
                label=outcome["label"],
                whole=(outcome["subject"] or "").startswith("urn:pleo:organisation:"),
                readable=[one for one in access if one.granted],
                missing=[one for one in access if one.asked and not one.granted],
            )
        key = self._parts.visitors.form_key(visitor, "again") if self._parts.attempts.may_try_again(visitor) else ""
        return self._parts.pages.page("failed", label=outcome["label"], refused=outcome["refused"], reference=outcome["reference"], key=key)

    def _to_pleo(self, label: str) -> Response:
        # A page that leads on, not a redirect: a redirect after a form falls under form-action, at every hop of a sign-in at Pleo's.
        settings = self._parts.settings
        visitor = self._parts.visitors.fresh()
        url = self._parts.attempts.begin(
            label,
            visitor,
            auth_url=settings.auth_url,
            client_id=settings.client_id,
            redirect_uri=self._parts.place.redirect_uri,
            scopes=settings.scopes,
        )
        return self._for(visitor, self._parts.pages.page("leaving", url=url))

    def _unready(self, label: str) -> Response | None:
        """What the customer is told when nothing could be stored now; found out before they consent, not after."""
        try:
            self._parts.connecting.ready(label)
        except PleoError as error:
            reference = secrets.token_hex(4)
            _log.error("%s cannot be connected now (reference %s): %s", _named(label), reference, error)
            text = f"Nothing was connected. Try again later with the same link; if it stays so, tell who sent it (reference {reference})."
            return self._parts.pages.message("Not possible right now", text, status=503)
        return None

    def _visitor(self, asked: Asked) -> str | None:
        return self._parts.visitors.known(asked.cookies.get(self._cookie, ""))

    def _for(self, visitor: str, response: Response) -> Response:
        # Lax, not Strict: Pleo's redirect comes from another site, and must bring the cookie along.
        response.set_cookie(self._cookie, visitor, path="/", secure=self._parts.place.secure, httponly=True, samesite="lax")
        return response

    def _onward(self) -> Response:
        return RedirectResponse(f"{self._parts.place.prefix}/done", 303)

    def _refused(self, why: Unusable) -> Response:
        status, title, text = _REFUSALS[why]
        return self._parts.pages.message(title, text, status=status)

    def _stale(self) -> Response:
        return self._parts.pages.message(
            "Please start again", "Open the link that was sent to you once more, in one browser and with cookies allowed.", status=403
        )


def _named(label: str) -> str:
    return label or "the default connection"
