"""Finding and reading `sample_data/*.jsonl`, from a source checkout or an installed wheel."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from pleo_connector.errors import ConfigurationError

Record = dict[str, Any]

_HERE = Path(__file__).resolve().parent
_PLACES = (_HERE / "sample_data", _HERE.parent.parent / "sample_data")
"""A wheel carries the folder inside the package; a checkout has it at the top."""


def sample_folder(places: tuple[Path, ...] = _PLACES) -> Path:
    """The folder with the sample files; ConfigurationError when no place has it."""
    for place in places:
        if (place / "companies.jsonl").is_file():
            return place
    raise ConfigurationError(
        f"The sandbox finds no sample data: looked for companies.jsonl in {' and '.join(str(place) for place in places)}."
    )


@cache
def read_samples(folder: Path, stream: str) -> tuple[Record, ...]:
    """The records of one stream in file order, or none when it has no file. Do not change them."""
    file = folder / f"{stream}.jsonl"
    if not file.is_file():
        return ()
    try:
        return tuple(msgspec.json.decode(line, type=Record) for line in file.read_bytes().splitlines() if line)
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"The sample file {file} is not JSON Lines: {error}.") from None
