"""`pleo-connector connect`: a person consents in the browser, and the sealed tokens are stored."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from pleo_connector.cli.inputs import ConnectionOption, output_of, settings_in_use
from pleo_connector.cli.output import Output
from pleo_connector.errors import ConfigurationError

if TYPE_CHECKING:
    from pleo_connector.auth import LoginResult


def connect(
    ctx: typer.Context,
    connection: ConnectionOption = None,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="--no-browser only prints the address; open it on this machine.")
    ] = True,
    paste: Annotated[bool, typer.Option("--paste", help="Paste the address that the browser ends at, when it runs elsewhere.")] = False,
    timeout: Annotated[float, typer.Option(min=1.0, help="Seconds to wait for the consent.")] = 300.0,
) -> None:
    """Get Pleo's consent and store the tokens.

    They are sealed, and from then on refreshed by themselves.
    """
    output = output_of(ctx)
    settings = settings_in_use(output, connection=connection)
    from pleo_connector.auth import login  # noqa: PLC0415 - httpx and authlib load here, not for --help

    if paste and not sys.stdin.isatty():
        raise ConfigurationError("--paste needs a terminal to paste into; run it in one, or leave --paste out.")
    result = login(
        settings,
        show=lambda url: output.print(f"Open this address and agree:\n\n{url}\n"),
        open_browser=_open_browser if browser else None,
        prompt=_hidden_line if sys.stdin.isatty() else None,
        timeout=timeout,
        paste=paste,
    )
    _tell(result, output)


def _open_browser(url: str) -> bool:
    import webbrowser  # noqa: PLC0415

    return webbrowser.open(url)


def _hidden_line(prompt: str) -> str:
    answer: str = typer.prompt(prompt, hide_input=True, err=True)
    return answer


def _tell(result: LoginResult, output: Output) -> None:
    output.print(f"Connected as {result.connection}{f', for {result.subject}' if result.subject else ''}.", style="bold green")
    output.print(f"Granted: {', '.join(result.scopes) or 'no scopes'}. The tokens are sealed in {result.store}.")
    readable = [access.stream for access in result.streams if access.granted]
    output.print(f"Can be read: {', '.join(readable)}.")
    for access in result.streams:
        if not access.granted:
            output.warn(f"{access.stream} cannot be read: {access.why_not}.")
    output.print("Next: pleo-connector sync")
