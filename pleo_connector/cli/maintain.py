"""`pleo-connector maintain`: keep the warehouse small."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from pleo_connector.cli.inputs import output_of, settings_in_use

if TYPE_CHECKING:
    from pleo_connector.cli.output import Output
    from pleo_connector.warehouses.duckdb import DuckDBWarehouse


def maintain(
    ctx: typer.Context,
    days: Annotated[int, typer.Option(min=0, help="Days for which old snapshots stay readable.")] = 7,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Keep the warehouse small: run it once a week.

    Iceberg: forgets old snapshots, gathers small files, deletes what nobody needs. DuckDB: writes the file anew where that makes it smaller by a
    tenth, and needs as much free space meanwhile. PostgreSQL looks after itself: nothing is done there.
    """
    output = output_of(ctx, json)
    settings = settings_in_use(output)
    from pleo_connector.warehouses import open_warehouse, require_made  # noqa: PLC0415 - pandas and duckdb load here, not for --help
    from pleo_connector.warehouses.duckdb import DuckDBWarehouse  # noqa: PLC0415

    warehouse = open_warehouse(settings.warehouse, settings.schema_name)
    if isinstance(warehouse, DuckDBWarehouse):
        require_made(warehouse, settings.sources)
        _compact(warehouse, output)
        return
    if warehouse.kind != "iceberg":
        output.answer({"warehouse": warehouse.location, "done": False})
        if not output.json:
            output.print(f"{warehouse.location} ({warehouse.kind}) looks after itself: nothing was done.")
        return
    require_made(warehouse, settings.sources)
    from pleo_connector.warehouses.iceberg import IcebergWarehouse  # noqa: PLC0415 - its library comes with an extra
    from pleo_connector.warehouses.iceberg_maintenance import keep_up  # noqa: PLC0415
    from pleo_connector.warehouses.iceberg_named_catalog import NamedIcebergWarehouse  # noqa: PLC0415

    assert isinstance(warehouse, (IcebergWarehouse, NamedIcebergWarehouse))  # noqa: S101 - for the type checker: the kind says so
    done = keep_up(warehouse, days)
    output.answer(
        {
            "warehouse": warehouse.location,
            "done": True,
            "bytes_before": done.bytes_before,
            "bytes_after": done.bytes_after,
            "snapshots_forgotten": done.snapshots,
            "files_gathered": done.gathered,
            "files_deleted": done.deleted,
        }
    )
    if not output.json:
        size = ""
        if done.bytes_before is not None and done.bytes_after is not None:
            size = f": {done.bytes_before / 1e6:,.1f} MB are {done.bytes_after / 1e6:,.1f} MB now"
        output.print(
            f"{done.snapshots:,} snapshots older than {days} days forgotten, {done.gathered:,} small files gathered, {done.deleted:,} files deleted{size}."
        )


def _compact(warehouse: DuckDBWarehouse, output: Output) -> None:
    done = warehouse.compact()
    if done is None:
        output.answer({"warehouse": warehouse.location, "done": False})
        output.print(f"{warehouse.location} looks after itself: nothing was done.")
        return
    smaller = done.bytes_after < done.bytes_before
    output.answer({"warehouse": warehouse.location, "done": smaller, "bytes_before": done.bytes_before, "bytes_after": done.bytes_after})
    size = f"{done.bytes_before / 1e6:,.1f} MB"
    if smaller:
        output.print(f"{warehouse.location} was written anew: {size} are {done.bytes_after / 1e6:,.1f} MB now.")
    else:
        output.print(f"{warehouse.location} has {size}, and hardly any that could be freed: nothing was done.")
