"""`pleo-connector replay`: make the tables again from raw pages, without asking Pleo."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pleo_connector.catalogue import CATALOGUE
from pleo_connector.catalogue.options import options_of
from pleo_connector.cli.inputs import output_of, settings_in_use, stream_names
from pleo_connector.cli.marts import refresh_or_warn
from pleo_connector.cli.output import add_rows, plural, table

if TYPE_CHECKING:
    from pleo_connector.sync.replay import ReplayReport


def replay(
    ctx: typer.Context,
    streams: Annotated[
        list[str] | None, typer.Argument(metavar="STREAM", autocompletion=stream_names, help="Only these streams; `streams` lists them.")
    ] = None,
    into: Annotated[
        str | None, typer.Option("--into", metavar="URL", help="An empty warehouse for the tables, in place of the one they are in.")
    ] = None,
    partial: Annotated[bool, typer.Option("--partial", help="Replay what there is, even if pages of some rows are missing.")] = False,
    wait: Annotated[float, typer.Option(min=0.0, metavar="SECONDS", help="How long to wait while another program has the file.")] = 60.0,
    json: Annotated[bool, typer.Option("--json", help="The report as one JSON object on stdout.")] = False,
) -> None:
    """Make the tables again from the raw pages.

    Asks Pleo nothing and needs no credentials. Without --into the tables of PLEO_WAREHOUSE are made again where they are, in one transaction.
    """
    output = output_of(ctx, json)
    wanted = tuple(CATALOGUE.stream(name).name for name in streams or ())
    settings = settings_in_use(output)

    from pleo_connector.analytics import categories_of  # noqa: PLC0415 - pandas and duckdb load here, not for --help
    from pleo_connector.sync import RawPolicy  # noqa: PLC0415
    from pleo_connector.sync.replay import replay as again  # noqa: PLC0415
    from pleo_connector.warehouses import open_warehouse, require_made  # noqa: PLC0415

    categories = categories_of(settings.categories) if settings.marts else None
    source = open_warehouse(settings.warehouse, settings.schema_name, wait=wait, storage_version=settings.storage_version)
    target = open_warehouse(into, settings.schema_name, wait=wait, storage_version=settings.storage_version) if into is not None else None
    require_made(source, settings.sources)
    policy = RawPolicy(settings.raw, settings.raw_days)
    report = again(
        source,
        target,
        wanted,
        raw=policy,
        options=options_of(settings.config),
        hash_key=settings.hash_key.get_secret_value(),
        partial=partial,
    )
    location = (target or source).location
    if settings.marts:
        refresh_or_warn(target or source, output, categories)
    output.answer(report.as_dict() | {"warehouse": location})
    if output.json:
        return
    output.print(_listing(report))
    output.print("")
    output.print(f"{plural(report.pages, 'page')} replayed into {location} ({report.seconds:.1f} s); Pleo was not asked.")
    for stream, count in report.missing.items():
        output.warn(f"{stream}: no pages are kept of {plural(count, 'sweep')}; the rows that only those met were not made again.")


def _listing(report: ReplayReport) -> object:
    listing = table("stream", "pages", "records", "rows", "quarantined", numbers=["pages", "records", "rows", "quarantined"])
    rows = [(each.stream, each.pages, each.served, each.tables.get(each.stream, 0), each.quarantined) for each in report.streams.values()]
    return add_rows(listing, rows)
