"""The check of `doctor` on the redirect URI: how the browser comes back to `connect` with the answer."""

from __future__ import annotations

from collections.abc import Iterator

from pleo_connector.auth.loopback import LoopbackListener
from pleo_connector.cli.findings import Finding, fine, worth_a_look
from pleo_connector.errors import ConfigurationError
from pleo_connector.settings import Environment, Settings

_CHECK = "redirect URI"


def check_redirect(settings: Settings) -> Iterator[Finding]:
    """How Pleo's answer reaches `connect` (settings refuse what never could); nothing with an API key, which needs no login."""
    if settings.uses_api_key:
        return
    uri = settings.redirect_uri
    if uri.startswith("https:"):
        yield fine(_CHECK, f"{uri} must be registered at Pleo; `connect` asks to paste the address that the browser ends at")
    elif settings.environment is Environment.PRODUCTION:
        yield worth_a_look(
            _CHECK,
            f"{uri} is plain http, and Pleo takes that in production for development only",
            "for anything that stays, register an https address: with it `connect` asks to paste, and the portal needs one anyway",
        )
    else:
        yield _port(uri)


def _port(uri: str) -> Finding:
    try:
        with LoopbackListener(uri, lambda _: False):
            return fine(_CHECK, f"{uri} must be registered at Pleo; its port is free")
    except ConfigurationError as error:
        return worth_a_look(_CHECK, str(error))  # a sync does not need the port
