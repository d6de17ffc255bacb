"""Settings for a verb, with their warnings told and their secrets known to the scrubber; and what people type for dates."""

from __future__ import annotations

import logging
import os
import re
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from pleo_connector.catalogue import CATALOGUE
from pleo_connector.cli.output import Output
from pleo_connector.errors import ConfigurationError
from pleo_connector.settings import Settings, load, unknown_variables

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}")


def output_of(ctx: typer.Context, json: bool = False) -> Output:
    """Where this run prints to."""
    output = ctx.obj if isinstance(ctx.obj, Output) else Output()
    output.json = output.json or json
    return output


ConnectionOption = Annotated[
    str | None, typer.Option("--connection", metavar="LABEL", help="Which of several connections; in place of PLEO_CONNECTION.")
]


def stream_names(incomplete: str) -> list[str]:
    """The streams that begin so, for a shell that completes a word."""
    return [stream.name for stream in CATALOGUE if stream.name.startswith(incomplete)]


def settings_in_use(output: Output, *, warn: bool = True, connection: str | None = None) -> Settings:
    """The settings of this run; from here on, none of their secrets can be printed."""
    from pleo_connector.auth import REDACTOR, know_secrets_of  # noqa: PLC0415 - not needed for --help

    env_file = Path(".env") if output.environ is None else None
    for warning in unknown_variables(output.environ, env_file) if warn else ():
        output.warn(warning)
    environ = output.environ
    if connection is not None:
        environ = {**(os.environ if environ is None else environ), "PLEO_CONNECTION": connection}
    if not logging.getLogger().handlers:
        logging.basicConfig(level=logging.WARNING, stream=sys.stderr, format="Warning: %(message)s")
    settings = load(environ, env_file)
    know_secrets_of(settings)
    if env_file is not None and warn and settings.folder != Path.cwd():
        output.note(f"Settings and relative paths are those of {settings.folder}.")
    REDACTOR.install()
    output.scrub = REDACTOR.scrub
    return settings


def moment(option: str, text: str | None) -> datetime | None:
    """A YYYY-MM-DD (midnight UTC) or ISO date-time (UTC unless it says otherwise); ConfigurationError names the option."""
    if text is None:
        return None
    try:
        # fromisoformat takes more than people mean by a date, such as week numbers.
        when = datetime.fromisoformat(text) if _DAY.match(text) else None
        when = when.astimezone(UTC) if when is not None and when.tzinfo else when
    except (ValueError, OverflowError):
        when = None
    if when is None:
        raise ConfigurationError(
            f"{option} {text!r} is not a date; write YYYY-MM-DD (midnight UTC), or a date-time such as 2026-01-31T08:00:00Z."
        )
    return when.replace(tzinfo=UTC)


def span(start: str | None, end: str | None) -> tuple[datetime | None, datetime | None]:
    """The moments of `--from` and `--to`; ConfigurationError when they are the wrong way round."""
    low, high = moment("--from", start), moment("--to", end)
    if low is not None and high is not None and low >= high:
        raise ConfigurationError(f"--from {start} is not before --to {end}; --to is the first moment that is not read.")
    return low, high
