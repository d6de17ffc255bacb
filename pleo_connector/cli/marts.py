"""`pleo-connector marts`: the views for analysts, what each says, and making them now."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from pleo_connector.cli.inputs import output_of, settings_in_use
from pleo_connector.cli.output import Output, add_rows, table
from pleo_connector.errors import WarehouseError

if TYPE_CHECKING:
    from pleo_connector.analytics import Category
    from pleo_connector.warehouses import Warehouse


def marts(
    ctx: typer.Context,
    show: Annotated[bool, typer.Option("--list", help="Only list them; opens no warehouse.")] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, with every column.")] = False,
) -> None:
    """Make the views for analysts.

    Spend by month, team, employee and so on, what waits for somebody, and every table without its deleted rows. A sync makes
    them too, unless PLEO_MARTS=off.
    """
    output = output_of(ctx, json)
    settings = None if show else settings_in_use(output)

    from pleo_connector.analytics import categories_of, refresh  # noqa: PLC0415
    from pleo_connector.analytics import marts as declared  # noqa: PLC0415 - DuckDB loads here, not for --help
    from pleo_connector.warehouses import open_warehouse, require_made  # noqa: PLC0415

    warehouse = None
    categories = categories_of(settings.categories) if settings is not None else None
    if settings is not None:
        warehouse = open_warehouse(
            settings.warehouse, settings.schema_name, snapshot=settings.snapshot, storage_version=settings.storage_version
        )
        require_made(warehouse, settings.sources)
    listing = table("view", "columns", "one row is", numbers=["columns"])
    output.print(add_rows(listing, [(mart.name, len(mart.columns), mart.description) for mart in declared()]))
    made: tuple[str, ...] = ()
    left: list[str] = []
    if warehouse is not None:
        made = refresh(warehouse, categories=categories, warn=output.warn, left=left.append)
        output.print("")
        output.print(
            f"{len(made)} views were made or made anew in {warehouse.location}."
            if made
            else f"No view was made anew in {warehouse.location}."
            if left
            else f"All views are up to date in {warehouse.location}."
            if warehouse.has_views
            else f"{warehouse.location} keeps no views; its table _categories is there for those that are made elsewhere."
        )
    output.answer(
        {
            "made": list(made),
            "left": left,
            "marts": [
                {
                    "view": mart.name,
                    "description": mart.description,
                    "columns": [
                        {"column": column.name, "type": column.storage.value, "description": column.description} for column in mart.columns
                    ],
                }
                for mart in declared()
            ],
        }
    )
    if left:
        raise WarehouseError(" ".join(left))


def refresh_or_warn(warehouse: Warehouse, output: Output, categories: Sequence[Category] | None = None) -> None:
    """Keep the views in step after a sync or a replay. A database that refuses is told as a warning, since the rows are safe."""
    from pleo_connector.analytics import refresh  # noqa: PLC0415

    try:
        refresh(warehouse, categories=categories, warn=output.warn)
    except WarehouseError as error:
        output.warn(f"The rows are loaded; the views for analysts are as they were: {error}")
