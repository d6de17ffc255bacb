"""`pleo-connector portal`: the web app that connects customers, and links for it."""

from __future__ import annotations

import logging
import sys
from typing import Annotated

import typer

from pleo_connector.cli.inputs import output_of, settings_in_use

portal = typer.Typer(
    short_help="Serve a web app that connects customers, or make a link.",
)


@portal.callback(invoke_without_command=True)
def about(ctx: typer.Context) -> None:
    """Connect with Pleo, hosted: a small web app for customers who have no shell.

    Needs PLEO_PORTAL_URL, PLEO_PORTAL_SECRET and PLEO_PORTAL_PASSWORD; docs/portal.md says how to set it up.
    """
    if ctx.invoked_subcommand is None:
        sys.stdout.write(f"{ctx.get_help()}\n")


@portal.command()
def serve(
    ctx: typer.Context,
    host: Annotated[str, typer.Option(help="Address to listen on; a TLS proxy belongs before it.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes a free one.")] = 8780,
) -> None:
    """Serve the portal, until Ctrl-C or SIGTERM."""
    output = output_of(ctx)
    settings = settings_in_use(output)
    from pleo_connector.portal.server import serve as run  # noqa: PLC0415 - starlette, uvicorn and jinja load here, not for --help

    _log_requests()

    def ready(address: str) -> None:
        output.print(f"The portal listens on {address} and is {settings.portal_url} to the world.", style="bold")
        output.print(f"Register {settings.portal_url}/callback at Pleo. The operator's page is {settings.portal_url}/operator.")

    run(settings, host=host, port=port, on_ready=ready)
    output.note("The portal has ended.")


@portal.command()
def invite(
    ctx: typer.Context,
    label: Annotated[str, typer.Argument(metavar="LABEL", help="The connection that the link is for, such as acme.")],
    valid: Annotated[str, typer.Option(metavar="SPAN", help="How long the link works: 5m to 90d.")] = "7d",
) -> None:
    """Print a one-time link that connects LABEL.

    A link that was made for it before no longer works.
    """
    output = output_of(ctx)
    settings = settings_in_use(output).labelled(label)
    from pleo_connector.portal.invitations import seconds_of  # noqa: PLC0415
    from pleo_connector.portal.parts import parts_of  # noqa: PLC0415

    link = parts_of(settings).invitations.make(label, seconds_of(valid))
    # Past the scrubber, which knows the link: handing it out is the point here.
    sys.stdout.write(f"{link}\n")
    output.note(f"It connects {settings.connection}, once, within {valid}. Send it to one person; whoever has it can use it.")


def _log_requests() -> None:
    """One line per request on stderr, unless --debug shows everything already."""
    log = logging.getLogger("pleo_connector.portal")
    if not logging.getLogger().isEnabledFor(logging.INFO):
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
        log.addHandler(handler)
        log.setLevel(logging.INFO)
        log.propagate = False
        from pleo_connector.auth import REDACTOR  # noqa: PLC0415

        REDACTOR.install(log)
