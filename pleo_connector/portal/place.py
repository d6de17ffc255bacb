"""Where the portal is, as browsers see it: everything in here follows from PLEO_PORTAL_URL."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from pleo_connector.errors import ConfigurationError
from pleo_connector.settings import Settings

CALLBACK = "/callback"
_DEFAULT_PORTS = {"https": ":443", "http": ":80"}


@dataclass(frozen=True, slots=True)
class Place:
    """A public address, in parts."""

    url: str
    """With the path prefix and without a slash at its end."""
    origin: str
    host: str
    """As browsers send it in `Host`: without the scheme's own port."""
    prefix: str
    secure: bool
    """False only on loopback, where http is allowed."""

    @property
    def redirect_uri(self) -> str:
        """Where Pleo sends browsers back to; to be registered there exactly so."""
        return f"{self.url}{CALLBACK}"

    def cookie(self, name: str) -> str:
        """A cookie's full name; `__Host-` makes browsers refuse one that another host or plain http tries to set."""
        return f"__Host-{name}" if self.secure else name

    def is_host(self, host: str) -> bool:
        """Whether a `Host` header names this place."""
        return _without_default_port(host.lower(), "https" if self.secure else "http") == self.host


def place_of(settings: Settings) -> Place:
    """The place of the settings; ConfigurationError when the portal is not set up."""
    missing = [
        variable
        for variable, value in (
            ("PLEO_PORTAL_URL", settings.portal_url),
            ("PLEO_PORTAL_SECRET", settings.portal_secret.get_secret_value()),
            ("PLEO_PORTAL_PASSWORD", settings.portal_password.get_secret_value()),
        )
        if not value
    ]
    if missing:
        raise ConfigurationError(
            f"The portal needs {', '.join(missing)}: its public https address, a random secret of at least 32 characters that signs links and "
            'cookies, and the password of the operator\'s page (`python -c "import secrets; print(secrets.token_urlsafe(32))"` makes either).'
        )
    if settings.portal_secret == settings.portal_password:
        raise ConfigurationError(
            "PLEO_PORTAL_SECRET and PLEO_PORTAL_PASSWORD are the same; people type the one, and must never see the other."
        )
    if settings.uses_api_key:
        raise ConfigurationError("PLEO_API_KEY is set, so there is nothing for the portal to connect; unset it to use OAuth.")
    parts = urlsplit(settings.portal_url)
    host = _without_default_port(parts.netloc.lower(), parts.scheme)
    return Place(settings.portal_url, f"{parts.scheme}://{host}", host, parts.path, secure=parts.scheme == "https")


def _without_default_port(host: str, scheme: str) -> str:
    return host.removesuffix(_DEFAULT_PORTS[scheme])
