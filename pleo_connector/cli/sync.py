"""`pleo-connector sync`: read what is due and load it, through the same engine as the Dagster assets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from pleo_connector.catalogue import CATALOGUE
from pleo_connector.catalogue.options import options_of
from pleo_connector.cli.inputs import ConnectionOption, output_of, settings_in_use, span, stream_names
from pleo_connector.cli.marts import refresh_or_warn
from pleo_connector.cli.output import Output, add_rows, natural_width, plural, table
from pleo_connector.errors import SyncFailed
from pleo_connector.stream_options import placed_files

if TYPE_CHECKING:
    from pleo_connector.sync import FilesReport, RawReport, StreamReport, SyncReport

_HEADINGS = ("stream", "served", "inserted", "updated", "unchanged", "deleted", "quarantined", "requests", "seconds")

_KINDS = {
    "unknown_fields": "fields that Pleo serves and the catalogue does not declare (kept in _extra)",
    "unseen_values": "values not seen before (loaded)",
    "missing_required": "fields that Pleo's contract requires and a record lacks (NULL)",
    "type_changes": "fields of another type than declared",
    "impossible_values": "values that cannot be typed (quarantined)",
    "unknown_currencies": "currencies that ISO 4217 does not know (amount NULL, minors kept)",
}


class How(StrEnum):
    """Which windows are read: those that are due, or all."""

    INCREMENTAL = "incremental"
    FULL = "full"


def sync(
    ctx: typer.Context,
    streams: Annotated[
        list[str] | None, typer.Argument(metavar="STREAM", autocompletion=stream_names, help="Only these streams; `streams` lists them.")
    ] = None,
    mode: Annotated[How, typer.Option(help="incremental reads the months that are due, full reads all.")] = How.INCREMENTAL,
    start: Annotated[
        str | None, typer.Option("--from", metavar="DATE", help="First moment to read, of streams that are read by month.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", metavar="DATE", help="First moment that is not read any more.")] = None,
    connection: ConnectionOption = None,
    company: Annotated[list[str] | None, typer.Option(metavar="ID", help="Only this company, by key or name; may be repeated.")] = None,
    allow_mass_delete: Annotated[bool, typer.Option("--allow-mass-delete", help="Mark rows deleted even if very many are gone.")] = False,
    patience: Annotated[float, typer.Option(min=0.0, metavar="SECONDS", help="How long a request that fails is tried again.")] = 120.0,
    wait: Annotated[float, typer.Option(min=0.0, metavar="SECONDS", help="How long to wait while another program has the file.")] = 60.0,
    json: Annotated[bool, typer.Option("--json", help="The report as one JSON object on stdout.")] = False,
) -> None:
    """Read what is due and load it.

    DATE is YYYY-MM-DD (midnight UTC) or an ISO date-time. A stopped sync goes on where it stopped when it is run again.
    """
    output = output_of(ctx, json)
    wanted = tuple(CATALOGUE.stream(name).name for name in streams or ())
    low, high = span(start, end)
    settings = settings_in_use(output, connection=connection)

    from pleo_connector.analytics import categories_of  # noqa: PLC0415 - pandas, duckdb and httpx load here, not for --help
    from pleo_connector.cli.progress import showing  # noqa: PLC0415
    from pleo_connector.sync import Mode, RawPolicy, SyncPlan, connection_from_settings, run  # noqa: PLC0415
    from pleo_connector.warehouses import open_warehouse  # noqa: PLC0415

    categories = categories_of(settings.categories) if settings.marts else None
    warehouse = open_warehouse(
        settings.warehouse, settings.schema_name, wait=wait, snapshot=settings.snapshot, storage_version=settings.storage_version
    )
    raw = RawPolicy(settings.raw, settings.raw_days)
    options = placed_files(options_of(settings.config), settings.folder)
    plan = SyncPlan(wanted, Mode(mode.value), low, high, tuple(company or ()), allow_mass_delete, options, raw, settings.hash_key)
    reached = connection_from_settings(settings, patience=patience)
    with showing(output) as progress:
        report = run(plan, reached, warehouse, on_load=progress.loaded, on_finish=progress.finished)
    if settings.marts:
        refresh_or_warn(warehouse, output, categories)
    output.answer(report.as_dict() | {"warehouse": warehouse.location})
    if not output.json:
        show(report, output, warehouse.location)
    if report.failures:
        raise SyncFailed(report.failures)


def show(report: SyncReport, output: Output, location: str) -> None:
    """The report for a person: a table, what changed, and what to look at."""
    rows = [
        (
            each.stream,
            each.served,
            each.inserted,
            each.updated,
            each.unchanged,
            each.deleted,
            each.quarantined,
            each.traffic.requests,
            f"{each.seconds:.1f}",
        )
        for each in report.streams.values()
    ]
    output.print(_listing(rows, output.width))
    output.print("")
    output.print(conclusion(report, location))
    if report.raw.pages:
        output.print(kept(report.raw), style="dim")
    for each in report.streams.values():
        if each.months_read:
            output.print(f"{each.stream}: months read: {each.months_read}.", style="dim")
        if each.files is not None:
            output.print(fetched(each.files), style="dim")
        if each.found_late:
            output.note(_late(each))
        for warning in each.warnings:
            output.warn(f"{each.stream}: {warning}")
        for remark in drifted(report, each.stream):
            output.warn(remark)
    for warning in report.warnings:
        output.warn(warning)


def _times(finding: Mapping[str, object]) -> str:
    examples = finding["examples"]
    told = f", such as in {examples[0]}" if isinstance(examples, list) and examples else ""
    return plural(int(str(finding["count"])), "time") + told


def _late(report: StreamReport) -> str:
    told = ", ".join(f"{plural(count, 'row')} in {tier} months" for tier, count in report.found_late.items())
    return f"{report.stream}: changes outside the months that every run reads: {told}. A larger hot_days brings such changes sooner (docs/options.md)."


def _listing(rows: Sequence[Sequence[object]], width: int) -> Table:
    """The rows as a table; where the terminal is too narrow, columns of nothing but zeros are left out."""
    headings = list(_HEADINGS)
    while True:
        places = [_HEADINGS.index(heading) for heading in headings]
        made = add_rows(table(*headings, numbers=_HEADINGS[1:]), [[row[place] for place in places] for row in rows])
        zeros = [_HEADINGS[place] for place in places if all(row[place] == 0 for row in rows)]
        if natural_width(made) <= width or not zeros:
            return made
        headings.remove(zeros[-1])


def conclusion(report: SyncReport, location: str) -> str:
    """One sentence: was anything written, and where."""
    served = sum(each.served for each in report.streams.values())
    took = f"{plural(report.requests, 'request')}, {report.seconds:.1f} s"
    aside = sum(each.quarantined for each in report.streams.values())
    if report.written:
        return f"{served:,} records read, {report.written:,} rows written (new, changed or gone) to {location} ({took})."
    if report.failures:
        return f"Nothing was written to {location} ({took})."
    if not served:
        return f"Nothing changed: Pleo served no records ({took})."
    if aside:
        return f"Nothing changed: {served - aside:,} of the {served:,} records read are in {location} already, {aside:,} were set aside ({took})."
    return f"Nothing changed: all {served:,} records read are in {location} already ({took})."


def kept(raw: RawReport) -> str:
    """One sentence on the pages that are kept as they were served."""
    pruned = f"; {plural(raw.pruned, 'page')} past the retention let go" if raw.pruned else ""
    return (
        f"Raw pages: {plural(raw.new, 'new page')} of {plural(raw.pages, 'page')} read; in all {raw.total_pages:,}, "
        f"{size(raw.total_bytes)} compressed{pruned}."
    )


def fetched(files: FilesReport) -> str:
    """One sentence on the files of receipts."""
    more = f", {files.adopted:,} found in the folder" if files.adopted else ""
    more += f", {files.removed:,} of deleted receipts removed" if files.removed else ""
    why = ", ".join(f"{count:,} {reason}" for reason, count in sorted(files.left.items()) if count)
    return f"Receipt files: {files.fetched:,} fetched ({size(files.bytes)}){more}; {files.left.total():,} left{f' ({why})' if why else ''}."


def size(count: int) -> str:
    """Bytes as a person reads them."""
    million = 1_000_000
    return f"{count / million:,.1f} MB" if count >= million else f"{count / 1_000:,.1f} kB"


def drifted(report: SyncReport, stream: str) -> list[str]:
    """What Pleo serves that the catalogue does not declare, and records that were set aside."""
    each = report.streams[stream]
    remarks = []
    for kind, findings in each.drift.as_json().items():
        paths = ", ".join(f"{path} ({_times(finding)})" for path, finding in findings.items())
        remarks.append(f"{stream}: {_KINDS.get(kind, kind.replace('_', ' '))}: {paths}.")
    if each.quarantined:
        remarks.append(
            f"{stream}: {plural(each.quarantined, 'record')} could not be typed; the table _quarantine has the reason and what was served."
        )
    return remarks
