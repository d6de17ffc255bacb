"""Where an asset is declared, as Dagster's code references: the catalogue's line of a stream, the SQL file of a mart."""

import warnings
from importlib.resources import files
from typing import Any

import dagster as dg

from pleo_connector.catalogue import Stream, View


def stream_place(stream: Stream) -> dict[str, Any]:
    """Metadata that leads to the stream's declaration; nothing where it has none."""
    return _reference(*stream.declared_at, f"declaration of {stream.name}") if stream.declared_at is not None else {}


def mart_place(view: View) -> dict[str, Any]:
    """Metadata that leads to the mart's SQL; nothing for a view that is in no file of its own."""
    file = files("pleo_connector.analytics.marts") / f"{view.name}.sql"
    return _reference(str(file), 1, f"SQL of {view.name}") if file.is_file() else {}


def _reference(file: str, line: int, label: str) -> dict[str, Any]:
    with warnings.catch_warnings():
        # Dagster calls its code references beta each time one is made. We name three public classes of them and no more.
        warnings.simplefilter("ignore", dg.BetaWarning)
        place = dg.LocalFileCodeReference(file_path=file, line_number=line, label=label)
        return {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=[place])}
