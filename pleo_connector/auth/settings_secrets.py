"""The secrets that settings hold, told to the redactor."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, unquote, urlsplit

from pleo_connector.auth.redaction import REDACTOR
from pleo_connector.auth.secret import Secret
from pleo_connector.settings import Settings

_SECRET_PARAMETERS = ("password", "token", "secret", "motherduck_token")


def know_secrets_of(settings: Settings) -> None:
    """From here on the redactor knows every secret of these settings, passwords in URLs too."""
    REDACTOR.register_basic(settings.client_id, Secret(settings.client_secret.get_secret_value()))
    REDACTOR.register_basic(settings.api_key.get_secret_value(), Secret(""))
    REDACTOR.register(
        settings.api_key.get_secret_value(),
        *re.split(r"[\s,]+", settings.token_keys.get_secret_value()),
        settings.hash_key.get_secret_value(),
        settings.portal_secret.get_secret_value(),
        settings.portal_password.get_secret_value(),
        *_passwords(settings.proxy),
        *_passwords(settings.token_store),
        *_passwords(settings.warehouse),
    )


def _passwords(url: str) -> list[str]:
    try:
        parts = urlsplit(url)
    except ValueError:  # a path
        return []
    told = parse_qs(parts.query)
    written = [parts.password or "", *(value for name in _SECRET_PARAMETERS for value in told.get(name, ()))]
    return [*written, *(unquote(value) for value in written)]
