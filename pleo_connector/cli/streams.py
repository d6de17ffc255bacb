"""`pleo-connector streams`: what can be read, straight from the catalogue; needs no credentials."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pleo_connector.catalogue import CATALOGUE, Stream
from pleo_connector.cli.inputs import output_of
from pleo_connector.cli.output import add_rows, table


def streams(
    ctx: typer.Context, json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, with every column.")] = False
) -> None:
    """List what can be read.

    Tables, how they are read, the scope they need, columns; needs no credentials.
    """
    output = output_of(ctx, json)
    output.answer({"streams": [_described(stream) for stream in CATALOGUE]})
    if output.json:
        return
    listing = table("stream", "read", "scope", "table", "columns", numbers=["columns"])
    for stream in CATALOGUE:
        for place, made in enumerate(stream.tables()):
            first = (stream.name, stream.mode.value, stream.scope) if place == 0 else ("", "", "")
            add_rows(listing, [(*first, made.name, len(made.fields))])
    output.print(listing)
    output.print("")
    output.print(
        "snapshot: read whole each time; windowed: by month, recent months each time; newest_first: down to what is known; "
        "open_jobs: while an export job runs. `--json` lists every column.",
        style="dim",
    )


def _described(stream: Stream) -> dict[str, Any]:
    return {
        "stream": stream.name,
        "title": stream.title,
        "description": stream.description,
        "mode": stream.mode.value,
        "scope": stream.scope,
        "request": f"{stream.method} {stream.path}",
        "tables": [
            {
                "table": made.name,
                "description": made.description,
                "key": list(made.key),
                "parent": made.parent,
                "columns": [
                    {"column": field.name, "type": field.storage.value, "description": field.description, "personal": field.personal}
                    for field in made.fields
                ],
            }
            for made in stream.tables()
        ],
    }
