"""The command and its verbs. A verb is one file with one function; add it to the list at the end."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from pleo_connector.cli.categories import categories
from pleo_connector.cli.connect import connect
from pleo_connector.cli.demo import demo
from pleo_connector.cli.disconnect import disconnect
from pleo_connector.cli.doctor import doctor
from pleo_connector.cli.maintain import maintain
from pleo_connector.cli.marts import marts
from pleo_connector.cli.plan import plan
from pleo_connector.cli.portal import portal
from pleo_connector.cli.raw import raw
from pleo_connector.cli.refresh import refresh
from pleo_connector.cli.replay import replay
from pleo_connector.cli.rotate_key import rotate_key
from pleo_connector.cli.sandbox import sandbox
from pleo_connector.cli.status import status
from pleo_connector.cli.streams import streams
from pleo_connector.cli.sync import sync
from pleo_connector.cli.ui import ui

_GOES_ON = {"sync": "The next sync goes on where this one stopped.", "demo": "Run it again and it goes on where it stopped."}


class Stopped(Exception):
    """Ctrl-C or SIGTERM ended a verb before its end."""


class Verbs(TyperGroup):
    """The group of verbs; lists them in the order given and knows what Ctrl-C means for each."""

    def invoke(self, ctx: Any) -> Any:
        """Run the verb. typer has its own exit code for Ctrl-C, so it is caught before typer sees it."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Stopped(f"Stopped. {_GOES_ON.get(ctx.invoked_subcommand, '')}".rstrip()) from None


app = typer.Typer(
    cls=Verbs,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def installed_version() -> str:
    """The version of this package; a checkout that nobody installed has none."""
    try:
        return version("pleo-connector")
    except PackageNotFoundError:
        return "(not installed)"


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"pleo-connector {installed_version()}")
        raise typer.Exit


@app.callback()
def about(
    _version: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version and end.")] = False,
    _debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks and log lines (anywhere on the line, or PLEO_DEBUG=1).")] = False,
) -> None:
    """Bring a company's spend out of Pleo into tables that people can query.

    Settings are PLEO_* environment variables or a .env file, here or in the nearest folder above; without any, everything talks to the local sandbox.

    Exit codes: 0 fine, 1 failed, 2 usage or configuration, 3 connect again.
    """


for verb in (
    demo,
    ui,
    sandbox,
    connect,
    status,
    refresh,
    rotate_key,
    disconnect,
    doctor,
    streams,
    plan,
    sync,
    replay,
    raw,
    marts,
    categories,
    maintain,
):
    app.command()(verb)
app.add_typer(portal, name="portal")

__all__ = ["Stopped", "Verbs", "app"]
