"""Pages: Jinja templates of this package, escaped always, with one style that is known by its hash."""

from __future__ import annotations

import base64
import hashlib
from datetime import datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.responses import HTMLResponse

from pleo_connector.portal.place import Place

_FOR_A_YEAR = "max-age=31536000"


class Pages:
    """Renders pages, and knows the headers that every answer carries."""

    def __init__(self, place: Place, name: str) -> None:
        """`name` is who connects customers, as they know it; empty when nobody said."""
        # Escaping is on for every template: what comes from outside is text, never markup.
        self._templates = Environment(
            loader=PackageLoader("pleo_connector.portal"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["when"] = _when
        style = self._templates.get_template("style.css").render().strip()
        self._templates.globals |= {"style": Markup(style), "base": place.prefix, "name": name or "This data platform"}  # noqa: S704 - our own file
        self.headers = _headers(base64.b64encode(hashlib.sha256(style.encode()).digest()).decode(), secure=place.secure)

    def page(self, template: str, status: int = 200, **values: Any) -> HTMLResponse:
        """One page; a value that the template needs and does not get is an error."""
        return HTMLResponse(self._templates.get_template(f"{template}.html").render(values), status)

    def message(self, title: str, *texts: str, status: int) -> HTMLResponse:
        """A page that only says something."""
        return self.page("message", status, title=title, texts=texts)


def _headers(style: str, *, secure: bool) -> dict[str, str]:
    policy = f"default-src 'none'; style-src 'sha256-{style}'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    headers = {
        "Cache-Control": "no-store",
        "Content-Security-Policy": policy,
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Referrer-Policy": "no-referrer",
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "X-Robots-Tag": "noindex",
    }
    return headers | ({"Strict-Transport-Security": _FOR_A_YEAR} if secure else {})


def _when(iso: str) -> str:
    moment = datetime.fromisoformat(iso)
    return f"{moment.day} {moment:%b %Y, %H:%M} UTC"
