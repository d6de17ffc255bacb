"""`pleo-connector categories`: the categories that spend is in, and a template for naming those without a name."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from pleo_connector.cli.inputs import output_of, settings_in_use
from pleo_connector.cli.output import add_rows, plural, table


def categories(
    ctx: typer.Context,
    write: Annotated[
        Path | None,
        typer.Option(
            "--write", metavar="FILE", help="Write a CSV file with the nameless ones, to be filled in and named in PLEO_CATEGORIES."
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """List the categories that spend is in.

    With their names where one is known, and the merchants of most entries. Asks Pleo nothing.
    """
    output = output_of(ctx, json)
    settings = settings_in_use(output)

    from pleo_connector.analytics.categories import categories_of  # noqa: PLC0415 - pandas and DuckDB load here, not for --help
    from pleo_connector.analytics.category_use import used_categories, write_template  # noqa: PLC0415
    from pleo_connector.warehouses import open_warehouse, require_made  # noqa: PLC0415

    # The template may be the very file that the setting names already.
    file = categories_of(settings.categories) if Path(settings.categories).expanduser().is_file() or write is None else None
    warehouse = open_warehouse(settings.warehouse, settings.schema_name, storage_version=settings.storage_version)
    require_made(warehouse, settings.sources)
    used = used_categories(warehouse, file)
    nameless = [row for row in used if row.nameless]
    if write is not None:
        write_template(write, file or (), nameless)
    output.answer({"categories": [asdict(row) for row in used], "written": str(write) if write is not None else None})
    listing = table("category", "code", "name", "named by", "entries", "merchants", numbers=["entries"], fold=["merchants"])
    rows = [(row.id, row.code, row.name, row.named_by, row.entries, ", ".join(row.merchants)) for row in used]
    output.print(add_rows(listing, rows))
    output.print("")
    output.print(f"{plural(len(used), 'category', 'categories')} in use, {len(nameless):,} without a name.")
    if write is not None and not nameless:
        output.print(f"{write} holds no category to be named.")
    elif write is not None:
        output.print(f"{write} lists those without a name: fill in code or name, set PLEO_CATEGORIES={write}, and sync.")
    elif nameless:
        output.print("`pleo-connector categories --write categories.csv` makes a file in which to name them.", style="dim")
