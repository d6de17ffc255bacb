"""Settings to working parts: the auth of httpx clients, and login."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx

from pleo_connector.auth.access_probe import AccessProbe
from pleo_connector.auth.client_auth import ClientCredentials
from pleo_connector.auth.endpoint import PrivateClient, TokenEndpoint
from pleo_connector.auth.httpx_auth import ApiKeyAuth, PleoAuth
from pleo_connector.auth.key_sources import source_of
from pleo_connector.auth.keys import Binding, KeyRing
from pleo_connector.auth.login_flow import TIMEOUT, LoopbackLogin, PasteLogin, obtain_tokens
from pleo_connector.auth.login_result import LoginResult, store_login
from pleo_connector.auth.manager import CredentialManager
from pleo_connector.auth.pause import Pause
from pleo_connector.auth.reauth import missing_key
from pleo_connector.auth.refresh_outcome import Oracle
from pleo_connector.auth.rotation import SETTLE, Rotation
from pleo_connector.auth.secret import Secret
from pleo_connector.auth.stores import OpenedStore, open_notes, open_store
from pleo_connector.auth.token_persistence import TokenFiles
from pleo_connector.errors import ConfigurationError
from pleo_connector.settings import Settings

_LOOPBACK = ("http://127.0.0.1", "http://localhost", "http://[::1]")
LOCK_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class Injectables:
    """Everything from outside that a test may replace."""

    transport: httpx.BaseTransport | None = None
    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[float, float], float] = random.uniform
    settle: float = SETTLE
    deadline: float = 20.0
    lock_timeout: float = LOCK_TIMEOUT
    user_agent: str = "pleo-connector"


def private_client(settings: Settings, given: Injectables) -> PrivateClient:
    """What asks for tokens and about them, on the way that the settings say."""
    return PrivateClient(given.transport, deadline=given.deadline, proxy=settings.proxy, user_agent=given.user_agent)


def build_auth(settings: Settings, **injectables: Any) -> httpx.Auth:
    """The auth for httpx clients that talk to `settings.api_url`: API key or OAuth.

    `injectables` are the fields of `Injectables`. Opens nothing on the network; a missing
    connection shows at the first request, as ReauthRequired.
    """
    if settings.uses_api_key:
        return ApiKeyAuth(Secret(settings.api_key.get_secret_value()), [settings.api_url])
    return PleoAuth(build_manager(settings, **injectables), [settings.api_url])


def build_manager(settings: Settings, *, opened: OpenedStore | None = None, **injectables: Any) -> CredentialManager:
    """The credential manager of the settings' connection; `opened` replaces the store that they name."""
    given = Injectables(**injectables)
    opened = opened or open_store(settings.token_store, settings.host_marks)
    client = private_client(settings, given)
    endpoint = TokenEndpoint(settings.auth_url, credentials_of(settings), client, connection=settings.connection, clock=given.clock)
    binding = binding_of(settings)

    def rotation(keys: KeyRing) -> Rotation:
        return Rotation(
            store=opened.store,
            keys=keys,
            binding=binding,
            endpoint=endpoint,
            installation=opened.installation,
            oracle=Oracle(endpoint, AccessProbe(settings.api_url, client), clock=given.clock),
            files=TokenFiles(binding.connection, opened.spill_folders),
            pause=Pause(open_notes(settings.token_store, given.monotonic), binding.connection),
            clock=given.clock,
            monotonic=given.monotonic,
            sleep=given.sleep,
            lock_timeout=given.lock_timeout,
            settle=given.settle,
            deadline=given.deadline,
        )

    return CredentialManager(
        store=opened.store,
        keys=lambda: keys_of(settings, opened),
        binding=binding,
        installation=opened.installation,
        rotation=rotation,
        clock=given.clock,
        monotonic=given.monotonic,
        sleep=given.sleep,
        jitter=given.jitter,
        looked=f" in the token store {opened.place} (settings are those of {settings.sources})",
    )


def login(
    settings: Settings,
    *,
    show: Callable[[str], object],
    open_browser: Callable[[str], object] | None = None,
    prompt: Callable[[str], str] | None = None,
    timeout: float = TIMEOUT,
    paste: bool = False,
    opened: OpenedStore | None = None,
    **injectables: Any,
) -> LoginResult:
    """Ask a person for consent and store the tokens.

    `show` prints the URL; `open_browser` opens it (None: it is only shown); `prompt` reads a
    hidden line and is needed when the redirect URI is not on this machine, or with `paste`;
    `timeout` in seconds.
    """
    if settings.uses_api_key:
        raise ConfigurationError("PLEO_API_KEY is set, so there is nothing to connect; unset it to use OAuth.")
    given = Injectables(**injectables)
    client = private_client(settings, given)
    endpoint = TokenEndpoint(settings.auth_url, credentials_of(settings), client, connection=settings.connection, clock=given.clock)
    way = _way(settings, show, open_browser, prompt, None if paste else timeout)
    opened = opened or open_store(settings.token_store, settings.host_marks)
    binding = binding_of(settings)
    # Everything that can be wrong here is found before a person is bothered.
    keys = keys_for_login(settings, opened, binding)
    tokens = obtain_tokens(
        endpoint, way, redirect_uri=settings.redirect_uri, scopes=settings.scopes, issuer=settings.issuer, clock=given.clock
    )
    probe = AccessProbe(settings.api_url, client)
    return store_login(
        settings,
        tokens,
        opened=opened,
        keys=keys,
        keys_now=lambda: keys_of(settings, opened),
        binding=binding,
        endpoint=endpoint,
        probe=probe,
    )


def binding_of(settings: Settings) -> Binding:
    """What the settings' tokens belong to."""
    return Binding(settings.connection, settings.auth_url, settings.client_id)


def credentials_of(settings: Settings) -> ClientCredentials:
    """The client's id and secret; ConfigurationError when they are not set."""
    settings.require_credentials()
    return ClientCredentials(settings.client_id, Secret(settings.client_secret.get_secret_value()), settings.client_auth)


def keys_of(settings: Settings, opened: OpenedStore, *, create: bool = False) -> KeyRing | None:
    """The sealing keys, None when there are none yet; only the first login creates."""
    return source_of(settings, opened).ring(create=create)


def keys_for_login(settings: Settings, opened: OpenedStore, binding: Binding) -> KeyRing:
    """The keys to seal a login with, for a store that can be written; WrongKey when what is stored would be buried under another one."""
    opened.store.prove_writable()
    record = opened.store.read(binding.connection)
    stored = record is not None and record.blob is not None
    keys = keys_of(settings, opened)
    if keys is None and not stored:
        with opened.store.lock("sealing keys", LOCK_TIMEOUT):  # of two first logins, one makes the key
            keys = keys_of(settings, opened, create=True)
    if keys is None:
        raise missing_key(binding.connection)
    if record is not None and record.blob is not None:
        keys.check(record.blob, binding)
    return keys


def _way(
    settings: Settings,
    show: Callable[[str], object],
    open_browser: Callable[[str], object] | None,
    prompt: Callable[[str], str] | None,
    timeout: float | None,
) -> LoopbackLogin | PasteLogin:
    """`timeout` None means that the address is pasted, wherever the redirect goes."""
    if timeout is not None and settings.redirect_uri.startswith(tuple(f"{start}:" for start in _LOOPBACK)):
        return LoopbackLogin(show=show, open_browser=open_browser, timeout=timeout)
    if prompt is None:
        raise ConfigurationError(
            "PLEO_REDIRECT_URI is not on this machine, so the address must be pasted, and there is no terminal to paste it into."
        )
    return PasteLogin(show=show, prompt=prompt, open_browser=open_browser)
