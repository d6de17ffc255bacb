"""Settings to working parts: the auth of httpx clients, login, status and disconnect."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import httpx

from pleo_connector.auth.client_auth import ClientCredentials
from pleo_connector.auth.endpoint import AccessProbe, PrivateClient, TokenEndpoint
from pleo_connector.auth.httpx_auth import ApiKeyAuth, PleoAuth
from pleo_connector.auth.keys import Binding, KeyRing, load_keys
from pleo_connector.auth.login_flow import TIMEOUT, LoopbackLogin, PasteLogin, obtain_tokens
from pleo_connector.auth.manager import CredentialManager, missing_key
from pleo_connector.auth.oracle import Oracle
from pleo_connector.auth.rotation import Rotation, utc
from pleo_connector.auth.secret import Secret
from pleo_connector.auth.spill import Spill
from pleo_connector.auth.stores import OpenedStore, State, open_store
from pleo_connector.errors import ConfigurationError
from pleo_connector.settings import Settings

_LOOPBACK = ("http://127.0.0.1", "http://localhost", "http://[::1]")
_LOCK_TIMEOUT = 60.0


@dataclass(frozen=True, slots=True)
class LoginResult:
    """What a login brought; holds no secret."""

    connection: str
    generation: int
    scopes: tuple[str, ...]
    missing_scopes: tuple[str, ...]
    """Asked for and not granted: the streams that need them will be refused."""
    subject: str | None
    """The company or organisation that the grant covers, where Pleo tells."""
    store: str


@dataclass(frozen=True, slots=True)
class ConnectionStatus:
    """The truth about one connection; times are ISO 8601 in UTC, no field holds a secret."""

    connection: str
    state: str
    """`active`, `refreshing`, `reauth_required`, `disconnected`, `not connected` or `api key`."""
    reason: str = ""
    access_expires_at: str | None = None
    access_expired: bool | None = None
    scopes: tuple[str, ...] = ()
    generation: int | None = None
    last_refresh: str | None = None
    key_id: str | None = None
    store_kind: str | None = None
    store_place: str | None = None
    store_permissions: str | None = None
    online_active: bool | None = None
    """What Pleo's introspection said of the access token; None when not asked or not told."""
    subject: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain values for `json.dumps`."""
        return {one.name: list(value) if isinstance(value := getattr(self, one.name), tuple) else value for one in fields(self)}


@dataclass(frozen=True, slots=True)
class Injectables:
    """Everything from outside that a test may replace."""

    transport: httpx.BaseTransport | None = None
    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[float, float], float] = random.uniform
    settle: float = 1.0
    deadline: float = 20.0
    lock_timeout: float = _LOCK_TIMEOUT
    user_agent: str = "pleo-connector"


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
    opened = opened or open_store(settings.token_store)
    client = PrivateClient(given.transport, deadline=given.deadline, user_agent=given.user_agent)
    endpoint = TokenEndpoint(settings.auth_url, _credentials(settings), client, clock=given.clock)
    binding = binding_of(settings)

    def rotation(keys: KeyRing) -> Rotation:
        return Rotation(
            store=opened.store,
            keys=keys,
            binding=binding,
            endpoint=endpoint,
            oracle=Oracle(endpoint, AccessProbe(settings.api_url, client), clock=given.clock),
            spill=Spill(binding.connection, opened.spill_folders),
            clock=given.clock,
            monotonic=given.monotonic,
            sleep=given.sleep,
            lock_timeout=given.lock_timeout,
            settle=given.settle,
        )

    return CredentialManager(
        store=opened.store,
        keys=lambda: _keys(settings, opened),
        binding=binding,
        rotation=rotation,
        clock=given.clock,
        monotonic=given.monotonic,
        sleep=given.sleep,
        jitter=given.jitter,
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
    client = PrivateClient(given.transport, deadline=given.deadline, user_agent=given.user_agent)
    endpoint = TokenEndpoint(settings.auth_url, _credentials(settings), client, clock=given.clock)
    way = _way(settings, show, open_browser, prompt, None if paste else timeout)
    opened = opened or open_store(settings.token_store)
    binding = binding_of(settings)
    # Everything that can be wrong here is found before a person is bothered.
    keys = _keys_for_login(settings, opened, binding)
    tokens = obtain_tokens(endpoint, way, redirect_uri=settings.redirect_uri, scopes=settings.scopes, clock=given.clock)
    # No lock: a refresh in flight loses by generation, and a login must not wait for it.
    generation = opened.store.replace(binding.connection, keys.seal(tokens, binding))
    granted = tuple(tokens.scope.split())
    return LoginResult(
        connection=binding.connection,
        generation=generation,
        scopes=granted,
        missing_scopes=tuple(scope for scope in settings.scopes.split() if scope not in granted),
        subject=_subject(endpoint.introspect(tokens.access, "access_token")),
        store=opened.place,
    )


def status(settings: Settings, *, online: bool = False, opened: OpenedStore | None = None, **injectables: Any) -> ConnectionStatus:
    """What is stored, told without refreshing; `online` adds one introspection. WrongKey and the like are raised."""
    if settings.uses_api_key:
        return ConnectionStatus(
            connection=str(settings.environment), state="api key", reason="requests carry PLEO_API_KEY; no tokens are stored"
        )
    given = Injectables(**injectables)
    opened = opened or open_store(settings.token_store)
    binding = binding_of(settings)
    record = opened.store.read(binding.connection)
    permissions = getattr(opened.store, "permissions", lambda: None)()
    place: dict[str, Any] = {"store_kind": opened.kind, "store_place": opened.place, "store_permissions": permissions}
    if record is None:
        return ConnectionStatus(connection=binding.connection, state="not connected", reason="run `pleo-connector connect`", **place)
    refreshed = None if record.refreshed_at is None else utc(record.refreshed_at)
    if record.state is State.DISCONNECTED or record.blob is None:
        return ConnectionStatus(
            connection=binding.connection,
            state=record.state.value,
            reason="run `pleo-connector connect`",
            generation=record.generation,
            last_refresh=refreshed,
            **place,
        )
    keys = _keys(settings, opened)
    if keys is None:
        raise missing_key(binding.connection)
    tokens = keys.open(record.blob, binding)
    told = None
    if online:
        client = PrivateClient(given.transport, deadline=given.deadline, user_agent=given.user_agent)
        told = TokenEndpoint(settings.auth_url, _credentials(settings), client).introspect(tokens.access, "access_token")
    reason = record.reason
    if record.intent is not None:
        intent = record.intent
        reason = f"a refresh was started {utc(intent.started)} by host={intent.host} pid={intent.pid}"
    return ConnectionStatus(
        connection=binding.connection,
        state=record.state.value,
        reason=reason,
        access_expires_at=utc(tokens.expires_at),
        access_expired=tokens.has_expired(given.clock()),
        scopes=tuple(tokens.scope.split()),
        generation=record.generation,
        last_refresh=refreshed,
        key_id=keys.key_id,
        online_active=None if told is None else bool(told["active"]),
        subject=_subject(told),
        **place,
    )


def disconnect(settings: Settings, *, opened: OpenedStore | None = None, lock_timeout: float = _LOCK_TIMEOUT) -> str:
    """Forget the stored tokens once no refresh is under way; returns a sentence that says what was done."""
    if settings.uses_api_key:
        return "Nothing to forget: requests carry PLEO_API_KEY; unset it, and delete the key in Pleo."
    opened = opened or open_store(settings.token_store)
    connection = settings.connection
    record = opened.store.read(connection)
    if record is None or record.state is State.DISCONNECTED:
        return f"Nothing is connected as {connection}."
    with opened.store.lock(connection, lock_timeout):
        open_intent = (opened.store.read(connection) or record).intent
        opened.store.delete(connection)
    if open_intent is not None:
        Spill(connection, opened.spill_folders).drop(open_intent.id)
    return (
        f"The tokens of {connection} were forgotten here. Pleo publishes no way to revoke them, so the grant itself lives until it expires "
        "or somebody removes the app in Pleo."
    )


def binding_of(settings: Settings) -> Binding:
    """What the settings' tokens belong to."""
    return Binding(settings.connection, settings.auth_url, settings.client_id)


def _credentials(settings: Settings) -> ClientCredentials:
    settings.require_credentials()
    return ClientCredentials(settings.client_id, Secret(settings.client_secret.get_secret_value()), settings.client_auth)


def _keys(settings: Settings, opened: OpenedStore, *, create: bool = False) -> KeyRing | None:
    return load_keys(Secret(settings.token_keys.get_secret_value()), opened.key_file, create=create)


def _keys_for_login(settings: Settings, opened: OpenedStore, binding: Binding) -> KeyRing:
    record = opened.store.read(binding.connection)
    stored = record is not None and record.blob is not None
    keys = _keys(settings, opened, create=not stored)
    if keys is None:
        raise missing_key(binding.connection)
    if record is not None and record.blob is not None:
        keys.check(record.blob, binding)  # a login must not bury tokens under another key
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


def _subject(told: dict[str, Any] | None) -> str | None:
    found = None if told is None else told.get("urn:pleo:params:oauth:subject_urn") or told.get("sub")
    return found if isinstance(found, str) else None
