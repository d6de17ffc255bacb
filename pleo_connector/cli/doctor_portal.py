"""The check of `doctor` for the hosted portal, where one is set up."""

from __future__ import annotations

from collections.abc import Iterator

from pleo_connector.cli.findings import Finding, fine, worth_a_look, wrong
from pleo_connector.errors import ConfigurationError
from pleo_connector.portal.place import place_of
from pleo_connector.settings import Environment, Settings


def check_portal(settings: Settings) -> Iterator[Finding]:
    """Whether `portal serve` would start; nothing is said where PLEO_PORTAL_URL is not set."""
    if not settings.portal_url:
        return
    try:
        place = place_of(settings)
    except ConfigurationError as error:
        yield wrong("portal", str(error))
        return
    if not place.secure and settings.environment is Environment.PRODUCTION:
        yield worth_a_look(
            "portal", f"{place.redirect_uri} is plain http", "set PLEO_PORTAL_URL to an https address: Pleo takes no other in production"
        )
        return
    if place.secure and not settings.portal_proxies:
        yield worth_a_look(
            "portal",
            f"{place.url}, and PLEO_PORTAL_PROXIES is not set, so wrong passwords are counted for all browsers together",
            "name the TLS proxy's address there, such as 127.0.0.1",
        )
        return
    yield fine("portal", f"{place.url}; {place.redirect_uri} must be registered at Pleo")
