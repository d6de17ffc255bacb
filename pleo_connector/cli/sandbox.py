"""`pleo-connector sandbox`: a local Pleo to try things against, in the foreground until Ctrl-C."""

from __future__ import annotations

import threading
from typing import Annotated

import typer

from pleo_connector.cli.inputs import output_of, stream_names


def sandbox(
    ctx: typer.Context,
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.")] = 8764,
    rows: Annotated[int | None, typer.Option(help="Serve this many generated accounting entries instead of the sample.")] = None,
    seed: Annotated[int, typer.Option(help="Decides the generated data: the same seed, the same data.")] = 2026,
    latency_ms: Annotated[float, typer.Option(help="Milliseconds added to every request.")] = 0.0,
    token_lifetime: Annotated[float, typer.Option(help="Seconds an access token lives.")] = 900.0,
    rate_limit: Annotated[int, typer.Option(help="Data requests per minute before 429; 0 is no limit.")] = 600,
    at_once: Annotated[
        int, typer.Option(help="How many of them may come together, further ones evenly over the minute; 0 is all of them.")
    ] = 0,
    fault: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KIND[,name=value...]", help="Misbehave, for example status,status=503,path=/v1/companies,times=2; repeatable."
        ),
    ] = None,
    refuse: Annotated[
        list[str] | None,
        typer.Option(
            metavar="RESOURCE", help="Refuse reading it by role (403), for example tag-group or accounting-entry:search; repeatable."
        ),
    ] = None,
    bare_list: Annotated[
        list[str] | None,
        typer.Option(
            metavar="STREAM", autocompletion=stream_names, help="Serve its list as a bare JSON array, without an envelope; repeatable."
        ),
    ] = None,
    window_bounds: Annotated[
        str, typer.Option(metavar="BOUNDS", help="Which limits of a date filter are included: [) [] () or (]; Pleo does not say.")
    ] = "[)",
    redirect_uri: Annotated[
        list[str] | None, typer.Option(metavar="URI", help="A registered redirect URI; repeatable. Default: the connector's own.")
    ] = None,
) -> None:
    """Serve a local Pleo, until Ctrl-C.

    Made-up companies, OAuth by Pleo's rules, limits, and faults on request.
    """
    output = output_of(ctx)
    from pleo_connector.sandbox import CLIENT_ID, Fault, RunningSandbox, SandboxConfig, WindowBounds, serve  # noqa: PLC0415 - starlette and uvicorn load here
    from pleo_connector.settings import Settings  # noqa: PLC0415

    default_uri = Settings().redirect_uri
    config = SandboxConfig(
        port=port,
        rows=rows,
        seed=seed,
        latency_ms=latency_ms,
        access_token_lifetime=token_lifetime,
        requests_per_minute=rate_limit,
        requests_at_once=at_once,
        faults=tuple(Fault.from_text(text) for text in fault or ()),
        refused=tuple(refuse or ()),
        bare_lists=tuple(bare_list or ()),
        window_bounds=WindowBounds.from_text(window_bounds),
        redirect_uris=tuple(redirect_uri or (default_uri,)),
    )

    def ready(server: RunningSandbox) -> None:
        elsewhere = "" if server.url == Settings().api_url else f"PLEO_API_URL={server.url} PLEO_AUTH_URL={server.url} "
        output.print(f"The sandbox serves a local Pleo at {server.url} until Ctrl-C. Client id: {CLIENT_ID}.", style="bold")
        output.print("In another terminal, in this order:")
        for command in ("connect", "sync", "status --online"):
            output.print(f"  {elsewhere}pleo-connector {command}")

    serve(config, on_ready=ready)
    output.note("The sandbox has ended; it kept nothing.")


def wait_for_ctrl_c() -> None:
    """Return when the person presses Ctrl-C, or SIGTERM arrives: both are the normal end here."""
    try:
        while not threading.Event().wait(3600):
            pass
    except KeyboardInterrupt:
        return
