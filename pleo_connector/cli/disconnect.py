"""`pleo-connector disconnect`: forget the stored tokens."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from pleo_connector.cli.inputs import ConnectionOption, output_of, settings_in_use
from pleo_connector.errors import ConfigurationError


def disconnect(
    ctx: typer.Context,
    connection: ConnectionOption = None,
    uninstall: Annotated[
        bool, typer.Option("--uninstall", help="Also uninstall the app at Pleo, for this customer: every token of this client ends.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Forget the tokens of this connection.

    Syncing again then needs `connect`; the warehouse keeps its rows.
    """
    output = output_of(ctx)
    settings = settings_in_use(output, connection=connection)
    from pleo_connector.auth import disconnect as forget  # noqa: PLC0415

    if not yes:
        if not sys.stdin.isatty():
            raise ConfigurationError("`disconnect` asks before it forgets the tokens, and there is no terminal to ask in; add --yes.")
        if not typer.confirm(
            f"Forget the tokens of {settings.connection}{' and uninstall the app at Pleo' if uninstall else ''}?", err=True
        ):
            output.print("Nothing was changed.")
            return
    output.print(forget(settings, uninstall=uninstall))
