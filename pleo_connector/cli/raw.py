"""`pleo-connector raw`: how much is kept as it was served, and letting it go."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Annotated

import typer

from pleo_connector.catalogue import CATALOGUE
from pleo_connector.cli.inputs import output_of, settings_in_use, stream_names
from pleo_connector.cli.output import add_rows, plural, table
from pleo_connector.cli.sync import size


class What(StrEnum):
    """What to do with the raw pages."""

    SIZE = "size"
    PRUNE = "prune"
    PURGE = "purge"


def raw(
    ctx: typer.Context,
    what: Annotated[What, typer.Argument(help="size tells; prune drops what is past PLEO_RAW_DAYS; purge drops all.")] = What.SIZE,
    streams: Annotated[
        list[str] | None, typer.Argument(metavar="STREAM", autocompletion=stream_names, help="Only these streams, of a purge.")
    ] = None,
    wait: Annotated[float, typer.Option(min=0.0, metavar="SECONDS", help="How long to wait while another program has the file.")] = 60.0,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Tell how much of Pleo is kept as it was served, or let it go.

    Tables stay as they are; what is purged cannot be replayed.
    """
    output = output_of(ctx, json)
    wanted = [CATALOGUE.stream(name).name for name in streams or ()] or [stream.name for stream in CATALOGUE]
    settings = settings_in_use(output)

    from pleo_connector.sync import RawPolicy  # noqa: PLC0415 - pandas and duckdb load here, not for --help
    from pleo_connector.sync.raw_folder import RawFolder  # noqa: PLC0415
    from pleo_connector.sync.raw_prune import prune, purge  # noqa: PLC0415
    from pleo_connector.sync.raw_size import sizes  # noqa: PLC0415
    from pleo_connector.sync.raw_tables import RAW_TABLES  # noqa: PLC0415
    from pleo_connector.sync.state_tables import STATE_TABLES  # noqa: PLC0415
    from pleo_connector.warehouses import open_warehouse, require_made  # noqa: PLC0415

    policy = RawPolicy(settings.raw, settings.raw_days)
    warehouse = open_warehouse(settings.warehouse, settings.schema_name, wait=wait, storage_version=settings.storage_version)
    require_made(warehouse, settings.sources)
    gone: list[str] = []
    with warehouse.transaction() as transaction:
        transaction.ensure([*STATE_TABLES, *RAW_TABLES])
        if what is What.PURGE:
            gone = purge(transaction, wanted)
        elif what is What.PRUNE and policy.days:
            gone = prune(transaction, CATALOGUE, datetime.now(UTC) - timedelta(days=policy.days))
        found = sizes(transaction)
    if policy.folder is not None:
        folder = RawFolder(policy.folder)
        for content in gone:
            folder.forget(content)
    output.answer({"raw": settings.raw, "days": settings.raw_days, "gone": len(gone), "streams": [one.as_dict() for one in found]})
    if output.json:
        return
    listing = table("stream", "requests", "pages", "as served", "stored", "since", numbers=["requests", "pages", "as served", "stored"])
    rows = [(one.stream, one.requests, one.pages, size(one.served), size(one.stored), f"{one.since:%Y-%m-%d}") for one in found]
    output.print(add_rows(listing, rows))
    output.print("")
    if what is not What.SIZE:
        output.print(f"{plural(len(gone), 'page')} let go.")
    output.print(f"PLEO_RAW is {settings.raw}; pages are kept {f'for {policy.days} days' if policy.days else 'for ever'}.", style="dim")
