"""`pleo-connector demo`: the main job from nothing, in `.demo/`: local Pleo, real login, Dagster, DuckDB, summary."""

from __future__ import annotations

import time
from contextlib import chdir
from datetime import UTC, datetime
from typing import Annotated

import typer

from pleo_connector.cli.inputs import output_of

_TOKEN_LIFETIME = 4.0
"""Seconds: short, so that the demo shows tokens being refreshed while it reads."""


def demo(
    ctx: typer.Context,
    rows: Annotated[int | None, typer.Option(min=1, help="Generate this many accounting entries instead of serving the sample.")] = None,
    json: Annotated[bool, typer.Option("--json", help="The summary as one JSON object on stdout.")] = False,
    keep_sandbox: Annotated[bool, typer.Option("--keep-sandbox", help="Leave the sandbox running afterwards, until Ctrl-C.")] = False,
) -> None:
    """Run the main job on a local Pleo, in .demo/.

    Starts the sandbox, logs in, materialises every table through Dagster into DuckDB, and shows the result.
    """
    output = output_of(ctx, json)
    began = time.monotonic()
    output.note("Loading Dagster, pandas and DuckDB ...")
    from pleo_connector.cli.demo_place import place  # noqa: PLC0415 - dagster, pandas and duckdb load here, not for --help
    from pleo_connector.cli.demo_run import materialise  # noqa: PLC0415
    from pleo_connector.cli.demo_summary import show, summary  # noqa: PLC0415
    from pleo_connector.cli.local_pleo import local_pleo  # noqa: PLC0415
    from pleo_connector.cli.sandbox import wait_for_ctrl_c  # noqa: PLC0415

    here = place()
    here.prepare()
    # Inside the folder no `.env` of the person's is found, and nothing that a library leaves behind lands outside.
    with chdir(here.root), local_pleo(here, rows, token_lifetime=_TOKEN_LIFETIME) as pleo:
        output.note(f"A local Pleo answers at {pleo.sandbox.url}, and its user has agreed: logged in as {pleo.settings.connection}.")
        started_at = datetime.now(UTC)
        materialise(here, pleo.settings, output)
        here.remember(rows)
        told = summary(here.warehouse, pleo.sandbox.counters(), started_at, time.monotonic() - began)
        output.answer(told)
        if not output.json:
            show(told, output)
        if keep_sandbox:
            output.note(f"The sandbox stays at {pleo.sandbox.url} until Ctrl-C. Its settings, for another terminal:")
            for name, value in here.environment(pleo.sandbox.url, pleo.settings.redirect_uri).items():
                if value and name.startswith("PLEO_"):
                    output.note(f"  export {name}={value}")
            wait_for_ctrl_c()
