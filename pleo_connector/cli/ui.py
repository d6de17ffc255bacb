"""`pleo-connector ui`: Dagster's web pages on the demo's data, until Ctrl-C."""

from __future__ import annotations

import importlib.util
import os
import sys
import time
from typing import TYPE_CHECKING, Annotated

import typer

from pleo_connector.cli.inputs import output_of
from pleo_connector.errors import ConfigurationError, PleoError

if TYPE_CHECKING:
    import subprocess

_START_SECONDS = 180.0
"""Dagster's five processes need about 25 s on two cores when nothing is cached."""


def ui(ctx: typer.Context, port: Annotated[int, typer.Option(min=1, max=65535, help="Port on 127.0.0.1.")] = 3000) -> None:
    """Open Dagster's UI on the demo's data.

    Runs until Ctrl-C, with a sandbox to sync from.
    """
    output = output_of(ctx)
    if importlib.util.find_spec("dagster_webserver") is None:
        raise ConfigurationError("Dagster's web pages are not installed; run: pip install 'pleo-connector[ui]'.")
    from pleo_connector.cli.child_process import started  # noqa: PLC0415
    from pleo_connector.cli.demo_place import free_port, place  # noqa: PLC0415
    from pleo_connector.cli.local_pleo import local_pleo  # noqa: PLC0415 - starlette and uvicorn load here

    here = place()
    if not here.warehouse.is_file():
        raise ConfigurationError(f"There is no demo data in {here.root}; run `pleo-connector demo` first.")
    if free_port(port) != port:
        raise ConfigurationError(f"Port {port} of 127.0.0.1 is taken; stop what uses it, or choose another with --port.")
    here.prepare()
    log = here.root / "ui.log"
    command = [sys.executable, "-m", "dagster", "dev", "-w", str(here.workspace), "-h", "127.0.0.1", "-p", str(port)]
    with local_pleo(here, here.remembered_rows()) as pleo:
        output.note(f"The sandbox is at {pleo.sandbox.url}. Starting Dagster, which takes half a minute ...")
        with started(command, environment=os.environ, folder=here.root, log=log) as server:
            try:
                wait_until_it_answers(server, f"http://127.0.0.1:{port}/server_info", log)
                output.print(f"Dagster shows the demo at http://127.0.0.1:{port} until Ctrl-C.", style="bold")
                code = server.wait()
            except KeyboardInterrupt:
                output.note("Ending Dagster and the sandbox ...")
                return
        raise PleoError(f"Dagster ended by itself (exit code {code}); its output is in {log}.")


def wait_until_it_answers(server: subprocess.Popen[bytes], url: str, log: object) -> None:
    """PleoError when Dagster ends instead, or takes too long; `log` is named in the message."""
    import httpx  # noqa: PLC0415

    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if server.poll() is not None:
            raise PleoError(f"Dagster did not start (exit code {server.returncode}); its output is in {log}.")
        try:
            if httpx.get(url, timeout=2.0, trust_env=False).is_success:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.25)
    raise PleoError(f"Dagster did not answer within {_START_SECONDS:.0f} s; its output is in {log}.")
