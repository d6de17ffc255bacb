"""`pleo-connector status`: the truth about the connection, without refreshing anything."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pleo_connector.cli.inputs import ConnectionOption, output_of, settings_in_use
from pleo_connector.cli.output import Output, table
from pleo_connector.errors import ClientRejected, ReauthRequired

if TYPE_CHECKING:
    from pleo_connector.auth import ConnectionStatus

USABLE = ("active", "refreshing", "api key")


def status(
    ctx: typer.Context,
    connection: ConnectionOption = None,
    online: Annotated[bool, typer.Option("--online", help="Also ask Pleo whether the access token or the API key is good.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Say whether this connection works.

    Exit code 3 when a person must connect.
    """
    output = output_of(ctx, json)
    settings = settings_in_use(output, connection=connection)
    settings.require_credentials()
    from pleo_connector.auth import status as ask  # noqa: PLC0415 - httpx and cryptography load here, not for --help

    told = ask(settings, online=online)
    output.answer(told.to_json())
    if not output.json:
        _show(told, output, asked=online)
    if told.state not in USABLE:
        raise ReauthRequired(needs_connect(told))
    if told.state == "api key" and told.online_active is False:
        raise ClientRejected(told.reason)
    if told.state == "active" and told.online_active is False and not told.access_expired:
        from pleo_connector.auth.advice import how_to_connect  # noqa: PLC0415

        raise ReauthRequired(
            f"Pleo says that the access token of {told.connection} is not live, although it has not expired: the grant was revoked, or another "
            f"installation refreshed it; if the next sync fails, {how_to_connect(told.connection)}."
        )


def needs_connect(told: ConnectionStatus) -> str:
    """Why a person must act, in one sentence."""
    from pleo_connector.auth.advice import how_to_connect  # noqa: PLC0415

    how = how_to_connect(told.connection)
    if told.state == "reauth_required":
        return f"{told.connection} must be connected again ({told.reason or 'Pleo refused the grant'}); {how}."
    if told.state == "stale":
        return told.reason
    return f"{told.connection} is not connected; {how}."


def _show(told: ConnectionStatus, output: Output, *, asked: bool) -> None:
    expiry = told.access_expires_at
    state = told.state
    if state == "active" and told.online_active is None:
        state += ", as stored here: Pleo did not answer" if asked else ", as stored here (--online asks Pleo)"
    lines = {
        "connection": told.connection,
        "state": state,
        "reason": told.reason,
        "covers": told.subject,
        "scopes": " ".join(told.scopes),
        "access token": expiry
        and f"{'expired' if told.access_expired else 'expires'} {expiry}{', refreshed when needed' if told.access_expired else ''}",
        "live at Pleo": None if told.online_active is None else ("yes" if told.online_active else "no"),
        "last refresh": told.last_refresh,
        "generation": told.generation,
        "key": told.key_id,
        "refreshing now": told.lock_holder,
        "installation": told.installation if told.state != "stale" else None,
        "also in this store": ", ".join(told.others),
        "store": told.store_place
        and f"{told.store_kind}, {told.store_place}{f', {told.store_permissions}' if told.store_permissions else ''}",
    }
    listing = table("field", "value", fold=["value"])
    listing.show_header = False
    for name, value in lines.items():
        if value not in (None, ""):
            listing.add_row(name, str(value))
    output.print(listing)
