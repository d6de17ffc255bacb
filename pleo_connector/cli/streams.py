"""`pleo-connector streams`: what can be read, straight from the catalogue; needs no credentials."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from pleo_connector.catalogue import CATALOGUE, Stream
from pleo_connector.catalogue.options import named_columns, options_of
from pleo_connector.catalogue.rules import under_rules
from pleo_connector.cli.inputs import output_of, settings_in_use
from pleo_connector.cli.output import Output, add_rows, table
from pleo_connector.column_rules import ColumnRule


def streams(
    ctx: typer.Context,
    personal: Annotated[
        bool, typer.Option("--personal", help="List the columns that say something about a person, and their rules.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout, with every column.")] = False,
) -> None:
    """List what can be read.

    Tables, how they are read, the scope they need, columns; needs no credentials.
    """
    output = output_of(ctx, json)
    if personal:
        _personal(output)
        return
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


def _personal(output: Output) -> None:
    found: list[dict[str, Any]] = []
    for stream in under_rules(CATALOGUE, options_of(settings_in_use(output).config)):
        declared = dict(named_columns(CATALOGUE.stream(stream.name)))
        rules = [(name, column.rule, declared[name].personal, declared[name].description) for name, column in named_columns(stream)]
        rules += [(f"$.{path}", rule, False, "Undeclared field, by its path.") for path, rule in stream.path_rules]
        found += [
            {"stream": stream.name, "column": name, "rule": rule.value, "personal": personal, "description": description}
            for name, rule, personal, description in rules
            if personal or rule is not ColumnRule.KEEP
        ]
    output.answer({"columns": found})
    if output.json:
        return
    listing = table("stream", "column", "rule", "description")
    output.print(add_rows(listing, [(one["stream"], one["column"], one["rule"], one["description"]) for one in found]))
    output.print("")
    output.print("Rules are set in the options file (PLEO_CONFIG): keep, hash or drop, under [streams.<stream>.columns].", style="dim")


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
