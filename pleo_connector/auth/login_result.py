"""The end of every login, from a terminal or in the portal: store the tokens, and find out what they open."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from pleo_connector.auth.access_probe import AccessProbe
from pleo_connector.auth.endpoint import TokenEndpoint
from pleo_connector.auth.granted import StreamAccess, stream_access
from pleo_connector.auth.keys import Binding, KeyRing
from pleo_connector.auth.stores import OpenedStore
from pleo_connector.auth.token import TokenSet
from pleo_connector.auth.token_persistence import TokenFiles
from pleo_connector.errors import ConfigurationError
from pleo_connector.settings import Settings


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
    streams: tuple[StreamAccess, ...]
    """Every stream of the catalogue, and whether this grant can read it."""


def store_login(
    settings: Settings,
    tokens: TokenSet,
    *,
    opened: OpenedStore,
    keys: KeyRing,
    keys_now: Callable[[], KeyRing | None],
    binding: Binding,
    endpoint: TokenEndpoint,
    probe: AccessProbe,
) -> LoginResult:
    """Replace what was stored for the connection, and only then ask Pleo what the tokens open: its answer may be lost."""
    # No lock: a refresh in flight loses by generation, and a login must not wait for it.
    before = opened.store.read(binding.connection)
    generation = opened.store.replace(binding.connection, keys.seal(tokens, binding))
    # Somebody may have changed the sealing key while this person consented, or made the first one at the same time.
    newest = keys_now() or keys
    if newest.key_id != keys.key_id:
        keys = newest
        opened.store.reseal(binding.connection, generation, keys.seal(tokens, binding))
    after = opened.store.read(binding.connection)
    if after is not None and after.generation == generation:  # else a refresh with the new tokens was quicker, and has noted it
        opened.installation.logged_in(before, after)
    TokenFiles(binding.connection, opened.spill_folders).settle()  # an older login's tokens
    told: Mapping[str, Any] = {}
    subject: str | None = None
    with contextlib.suppress(ConfigurationError):  # the login is done; the next request to that host tells
        told = probe.told(tokens.access)
        subject = told.get("subjectURN")
        if not isinstance(subject, str):
            subject = subject_of(endpoint.introspect(tokens.access, "access_token"))
    seen = told.get("scope")
    if isinstance(seen, str) and seen.split() != tokens.scope.split():
        # What the API says is kept, for `status` and `doctor`; a refresh that was quicker keeps what it was told itself.
        tokens = replace(tokens, scope=seen)
        opened.store.reseal(binding.connection, generation, keys.seal(tokens, binding))
    granted = tuple(tokens.scope.split())
    asked = settings.scopes.split()
    return LoginResult(
        connection=binding.connection,
        generation=generation,
        scopes=granted,
        missing_scopes=tuple(scope for scope in asked if scope not in granted),
        subject=subject,
        store=opened.place,
        streams=stream_access(granted, asked),
    )


def subject_of(told: dict[str, Any] | None) -> str | None:
    """The company or organisation in an answer of the authorisation server's introspection."""
    found = None if told is None else told.get("urn:pleo:params:oauth:subject_urn") or told.get("sub")
    return found if isinstance(found, str) else None
