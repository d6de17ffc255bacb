"""`pleo-connector plan`: what a sync would read, why, and how long the request budget makes it take; sends no request."""

from __future__ import annotations

from contextlib import nullcontext
from itertools import groupby
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from pleo_connector.catalogue import CATALOGUE
from pleo_connector.catalogue.options import options_of
from pleo_connector.cli.inputs import ConnectionOption, output_of, settings_in_use, span, stream_names
from pleo_connector.cli.output import Output, add_rows, plural, table
from pleo_connector.cli.sync import How

if TYPE_CHECKING:
    from pleo_connector.sync.forecast import Expected, Forecast

_SURE = {"counted": "", "estimated": "estimated", "unknown": "at least"}


def plan(
    ctx: typer.Context,
    streams: Annotated[
        list[str] | None, typer.Argument(metavar="STREAM", autocompletion=stream_names, help="Only these streams; `streams` lists them.")
    ] = None,
    mode: Annotated[How, typer.Option(help="incremental: the months that are due, full: all.")] = How.INCREMENTAL,
    start: Annotated[
        str | None, typer.Option("--from", metavar="DATE", help="First moment to read, of streams that are read by month.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="DATE", help="First moment that is not read any more.")] = None,
    connection: ConnectionOption = None,
    company: Annotated[list[str] | None, typer.Option(metavar="ID", help="Only this company, by key or name; may be repeated.")] = None,
    wait: Annotated[float, typer.Option(min=0.0, metavar="SECONDS", help="How long to wait while another program has the file.")] = 60.0,
    json: Annotated[bool, typer.Option("--json", help="Every walk, as one JSON object on stdout.")] = False,
) -> None:
    """Show what a sync with the same options would read now, and why.

    Goes by what the warehouse holds: no request is sent, and nothing is written.
    """
    output = output_of(ctx, json)
    wanted = tuple(CATALOGUE.stream(name).name for name in streams or ())
    low, high = span(start, end)
    settings = settings_in_use(output, connection=connection)

    from pleo_connector.sync import Mode, SyncPlan  # noqa: PLC0415 - pandas and duckdb load here, not for --help
    from pleo_connector.sync.forecast import forecast  # noqa: PLC0415
    from pleo_connector.warehouses import missing, open_warehouse  # noqa: PLC0415

    warehouse = open_warehouse(settings.warehouse, settings.schema_name, wait=wait, storage_version=settings.storage_version)
    asked = SyncPlan(wanted, Mode(mode.value), low, high, tuple(company or ()), options=options_of(settings.config))
    unmade = missing(warehouse, settings.sources)
    with TemporaryDirectory() if unmade else nullcontext("") as folder:  # a plan makes no file
        looked_at = open_warehouse(f"duckdb:///{folder}/empty.duckdb", settings.schema_name) if unmade else warehouse
        found = forecast(asked, looked_at, requests_per_minute=settings.requests_per_minute)
    if unmade:
        output.warn(unmade)
    output.answer(found.as_dict() | {"warehouse": warehouse.location})
    if not output.json:
        show(found, output)


def show(found: Forecast, output: Output) -> None:
    """The forecast for a person: one line for walks that are alike, and what all of them cost."""
    listing = table(
        "stream", "company", "months", "tier", "why", "last read", "walks", "rows", "requests", "", numbers=["walks", "rows", "requests"]
    )
    told = ""
    for (stream, company, tier, _), alike in groupby(found.walks, lambda walk: (walk.stream, walk.company_id, walk.tier, walk.why)):
        add_rows(listing, [_line(list(alike), stream if stream != told else "", found.companies.get(company or "") or company, tier)])
        told = stream
    output.print(listing)
    output.print("")
    output.print(conclusion(found))
    for note in found.notes:
        output.warn(note)


def conclusion(found: Forecast) -> str:
    """One sentence: requests, rows, and the time that the budget makes of them."""
    rough = "about " if any(walk.basis != "counted" for walk in found.walks) else ""
    least = "at least " if any(walk.basis == "unknown" for walk in found.walks) else ""
    took = f"at least {plural(found.minutes, 'minute')}" if found.minutes else "less than a minute"
    return (
        f"{least}{rough}{plural(found.requests, 'request')} for {rough}{plural(found.rows, 'row')}: {took}, "
        f"at {found.requests_per_minute:,} requests a minute and with nothing else using them."
    ).capitalize()


def _line(alike: list[Expected], stream: str, company: str | None, tier: str | None) -> tuple[object, ...]:
    from pleo_connector.sync.windows import describe  # noqa: PLC0415 - not needed for --help

    known = [walk.rows for walk in alike if walk.rows is not None]
    last = max((walk.last for walk in alike if walk.last is not None), default=None)
    basis = max((walk.basis for walk in alike), key=list(_SURE).index)
    return (
        stream,
        company,
        describe([walk.span for walk in alike if walk.span is not None]),
        tier,
        alike[0].why.value,
        f"{last:%Y-%m-%d %H:%M}" if last else None,
        len(alike),
        sum(known) if known else None,
        sum(walk.requests for walk in alike),
        _SURE[basis],
    )
