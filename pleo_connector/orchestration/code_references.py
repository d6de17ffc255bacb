"""Where a stream is declared: Dagster's asset page links to it."""

import inspect
import sys
from functools import cache
from pathlib import Path

import dagster as dg

from pleo_connector import catalogue
from pleo_connector.catalogue import Stream


@cache
def code_references(stream: Stream) -> dg.CodeReferencesMetadataValue | None:
    """The line on which the stream's declaration begins; None for one that is not in the catalogue's own modules."""
    for name, module in list(sys.modules.items()):
        if not name.startswith(f"{catalogue.__name__}.") or (file := inspect.getsourcefile(module)) is None:
            continue
        for variable, value in vars(module).items():
            if value is stream and (line := _line(Path(file), f"{variable} = ")):
                here = dg.LocalFileCodeReference(file_path=file, line_number=line, label=f"{variable} in {Path(file).name}")
                return dg.CodeReferencesMetadataValue(code_references=[here])
    return None


@cache
def _lines(file: Path) -> tuple[str, ...]:
    return tuple(file.read_text(encoding="utf-8").splitlines())


def _line(file: Path, start: str) -> int:
    return next((number for number, line in enumerate(_lines(file), 1) if line.startswith(start)), 0)
