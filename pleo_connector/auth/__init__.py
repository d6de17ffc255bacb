"""Credentials: log in once, and every request afterwards carries a token that works.

    auth = build_auth(settings)            # for httpx.Client and httpx.AsyncClient
    login(settings, show=print, open_browser=webbrowser.open)
    status(settings).to_json(); disconnect(settings)

Names are imported when first used, so that importing this package costs nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pleo_connector.auth.connection import Injectables, build_auth, build_manager, login
    from pleo_connector.auth.connection_status import ConnectionStatus, disconnect, status
    from pleo_connector.auth.httpx_auth import ApiKeyAuth, PleoAuth
    from pleo_connector.auth.key_rotation import KeyRotation, rotate_key
    from pleo_connector.auth.login_result import LoginResult
    from pleo_connector.auth.manager import CredentialManager
    from pleo_connector.auth.redaction import REDACTOR, Redactor
    from pleo_connector.auth.secret import Secret
    from pleo_connector.auth.settings_secrets import know_secrets_of

__all__ = [
    "REDACTOR",
    "ApiKeyAuth",
    "ConnectionStatus",
    "CredentialManager",
    "Injectables",
    "KeyRotation",
    "LoginResult",
    "PleoAuth",
    "Redactor",
    "Secret",
    "build_auth",
    "build_manager",
    "disconnect",
    "know_secrets_of",
    "login",
    "rotate_key",
    "status",
]

_HOMES = {
    "REDACTOR": "redaction",
    "ApiKeyAuth": "httpx_auth",
    "ConnectionStatus": "connection_status",
    "disconnect": "connection_status",
    "status": "connection_status",
    "LoginResult": "login_result",
    "CredentialManager": "manager",
    "KeyRotation": "key_rotation",
    "rotate_key": "key_rotation",
    "PleoAuth": "httpx_auth",
    "Redactor": "redaction",
    "Secret": "secret",
    "know_secrets_of": "settings_secrets",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES.get(name, 'connection')}"), name)
