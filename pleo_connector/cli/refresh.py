"""`pleo-connector refresh`: new tokens now, due or not."""

from __future__ import annotations

from typing import Annotated

import typer

from pleo_connector.cli.inputs import ConnectionOption, output_of, settings_in_use
from pleo_connector.errors import ConfigurationError


def refresh(
    ctx: typer.Context,
    connection: ConnectionOption = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Get new tokens now.

    Not needed in daily use: everything refreshes by itself. It keeps an idle grant alive, and shows what goes wrong.
    """
    output = output_of(ctx, json)
    settings = settings_in_use(output, connection=connection)
    from pleo_connector.auth import build_manager, status  # noqa: PLC0415 - httpx and cryptography load here, not for --help

    if settings.uses_api_key:
        raise ConfigurationError("PLEO_API_KEY is set: an API key is not refreshed.")
    before = status(settings)
    build_manager(settings).refresh()
    after = status(settings)
    output.answer({"connection": after.connection, "generation_before": before.generation, **after.to_json()})
    if not output.json:
        output.print(f"Refreshed {after.connection}: generation {before.generation} is now {after.generation}.", style="bold green")
        output.print(f"The access token works until {after.access_expires_at}; the last refresh before was {before.last_refresh}.")
