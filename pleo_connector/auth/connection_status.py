"""What is known of a connection, and how to forget it."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any

from pleo_connector.auth.access_probe import AccessProbe
from pleo_connector.auth.advice import how_to_connect
from pleo_connector.auth.connection import LOCK_TIMEOUT, Injectables, binding_of, credentials_of, keys_of, private_client
from pleo_connector.auth.endpoint import TokenEndpoint
from pleo_connector.auth.httpx_auth import ApiKeyAuth
from pleo_connector.auth.login_result import subject_of
from pleo_connector.auth.reauth import missing_key, utc
from pleo_connector.auth.secret import Secret
from pleo_connector.auth.stores import OpenedStore, State, open_store
from pleo_connector.auth.token_persistence import TokenFiles
from pleo_connector.auth.uninstalling import uninstall_at_pleo
from pleo_connector.errors import ClientRejected
from pleo_connector.settings import Settings


@dataclass(frozen=True, slots=True)
class ConnectionStatus:
    """The truth about one connection; times are ISO 8601 in UTC, no field holds a secret."""

    connection: str
    state: str
    """`active`, `refreshing`, `reauth_required`, `stale` (an older or a second copy of the store), `disconnected`, `not connected` or `api key`."""
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
    """What Pleo said of the access token; None when not asked or not told."""
    subject: str | None = None
    lock_holder: str | None = None
    """Who holds the refresh lock at this moment, as far as can be told."""
    installation: str | None = None
    """What this host knows of the store, and what is wrong with that; None where nothing is stored."""
    installation_fault: bool = False
    """True when that is worth a look."""
    others: tuple[str, ...] = ()
    """Other connections with tokens in the same store."""

    def to_json(self) -> dict[str, Any]:
        """Plain values for `json.dumps`."""
        return {one.name: list(value) if isinstance(value := getattr(self, one.name), tuple) else value for one in fields(self)}


def status(
    settings: Settings, *, online: bool = False, others: bool = True, opened: OpenedStore | None = None, **injectables: Any
) -> ConnectionStatus:
    """What is stored, told without refreshing; `online` asks Pleo once, `others` looks through the whole store. WrongKey and the like are raised."""
    given = Injectables(**injectables)
    client = private_client(settings, given)
    if settings.uses_api_key:
        return _status_of_key(settings, AccessProbe(settings.api_url, client) if online else None)
    opened = opened or open_store(settings.token_store, settings.host_marks)
    binding = binding_of(settings)
    record = opened.store.read(binding.connection)
    permissions = getattr(opened.store, "permissions", lambda: None)()
    place: dict[str, Any] = {
        "store_kind": opened.kind,
        "store_place": opened.place,
        "store_permissions": permissions,
        "lock_holder": opened.store.holder(binding.connection),
        "others": _others(opened, binding.connection) if others else (),
    }
    if record is None:
        return ConnectionStatus(connection=binding.connection, state="not connected", reason=how_to_connect(binding.connection), **place)
    refreshed = None if record.refreshed_at is None else utc(record.refreshed_at)
    if record.state is State.DISCONNECTED or record.blob is None:
        return ConnectionStatus(
            connection=binding.connection,
            state=record.state.value,
            reason=how_to_connect(binding.connection),
            generation=record.generation,
            last_refresh=refreshed,
            **place,
        )
    keys = keys_of(settings, opened)
    if keys is None:
        raise missing_key(binding.connection)
    tokens = keys.open(record.blob, binding).aged(record.stored_ago, given.clock())
    told, active = None, None
    if online and record.state is not State.REAUTH_REQUIRED:  # nothing is sent for a grant that is gone
        told = TokenEndpoint(settings.auth_url, credentials_of(settings), client).introspect(tokens.access, "access_token")
        # "Inactive" is also the answer to a client that may not introspect: a cheap read decides.
        active = True if told and told["active"] else AccessProbe(settings.api_url, client).works(tokens.access)
        later = opened.store.read(binding.connection) if active is False else record
        if later is None or (later.generation, later.state) != (record.generation, record.state):  # another process refreshed meanwhile
            return status(settings, online=True, others=others, opened=opened, **injectables)
    state, reason = record.state, record.reason
    if state is State.REAUTH_REQUIRED and TokenFiles(binding.connection, opened.spill_folders).of_generation(record.generation) is not None:
        state, reason = State.REFRESHING, "another host gave a refresh of this one up for lost, and its tokens lie here, sealed"
    if record.intent is not None:
        intent = record.intent
        reason = f"a refresh was started {utc(intent.started)} by host={intent.host} pid={intent.pid}"
    judged = opened.installation.judge(record, lambda: opened.store.read(binding.connection))
    stale = judged.standing.stale and record.state is not State.REAUTH_REQUIRED
    return ConnectionStatus(
        connection=binding.connection,
        state="stale" if stale else state.value,
        reason=judged.sentence if stale else reason,
        access_expires_at=utc(tokens.expires_at),
        access_expired=tokens.has_expired(given.clock()),
        scopes=tuple(tokens.scope.split()),
        generation=record.generation,
        last_refresh=refreshed,
        key_id=keys.key_id,
        online_active=active,
        subject=subject_of(told),
        installation=judged.sentence or opened.installation.told(judged.standing, record),
        installation_fault=bool(judged.sentence) or opened.installation.marks.fault() is not None,
        **place,
    )


def _status_of_key(settings: Settings, probe: AccessProbe | None) -> ConnectionStatus:
    plain = ConnectionStatus(
        connection=str(settings.environment), state="api key", reason="requests carry PLEO_API_KEY; no tokens are stored"
    )
    if probe is None:
        return plain
    try:
        told = probe.told_of_key(ApiKeyAuth(Secret(settings.api_key.get_secret_value()), [settings.api_url]))
    except ClientRejected as error:
        return replace(plain, reason=str(error), online_active=False)
    scope, subject = told.get("scope"), told.get("subjectURN")
    return replace(
        plain,
        online_active=True if told else None,
        scopes=tuple(scope.split()) if isinstance(scope, str) else (),
        subject=subject if isinstance(subject, str) else None,
    )


def _others(opened: OpenedStore, connection: str) -> tuple[str, ...]:
    return tuple(one.connection for one in opened.store.records() if one.connection != connection and one.blob is not None)


def disconnect(
    settings: Settings,
    *,
    uninstall: bool = False,
    opened: OpenedStore | None = None,
    lock_timeout: float = LOCK_TIMEOUT,
    **injectables: Any,
) -> str:
    """Forget the stored tokens once no refresh is under way; returns a sentence that says what was done.

    `uninstall` first removes the app at Pleo for this customer, which ends every token of the client; if that fails,
    nothing is forgotten.
    """
    if settings.uses_api_key:
        return "Nothing to forget: requests carry PLEO_API_KEY; unset it, and delete the key in Pleo."
    opened = opened or open_store(settings.token_store, settings.host_marks)
    connection = settings.connection
    record = opened.store.read(connection)
    if record is None or record.state is State.DISCONNECTED:
        return f"Nothing is connected as {connection}."
    if uninstall:
        uninstall_at_pleo(settings, opened, lock_timeout=lock_timeout, **injectables)
    with opened.store.lock(connection, lock_timeout):
        before = opened.store.read(connection)
        opened.store.delete(connection)
        after = opened.store.read(connection)
        if before is not None and after is not None and not opened.installation.judge(before, lambda: before).standing.stale:
            opened.installation.saw(after)
    TokenFiles(connection, opened.spill_folders).settle()
    if uninstall:
        return f"The app was uninstalled at Pleo, so every token of this client has ended there, and those of {connection} were forgotten here."
    return (
        f"The tokens of {connection} were forgotten here. Pleo publishes no way to revoke them alone, so the grant itself lives until it "
        "expires or somebody removes the app in Pleo, as `disconnect --uninstall` does."
    )
