"""Finding and reading `sample_data/*.jsonl`, from a source checkout or an installed wheel."""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(frozen=True, slots=True)
class Stored:
    """A record and its JSON, made once; neither is ever changed."""

    record: Record
    body: bytes

    @classmethod
    def of(cls, record: Record) -> Stored:
        """The record, copied, with its JSON."""
        body = msgspec.json.encode(record)
        return cls(msgspec.json.decode(body, type=Record), body)


@cache
def read_samples(folder: Path, stream: str) -> tuple[Stored, ...]:
    """The records of one stream in file order, or none when it has no file."""
    file = folder / f"{stream}.jsonl"
    if not file.is_file():
        return ()
    try:
        return tuple(Stored(msgspec.json.decode(line, type=Record), line) for line in file.read_bytes().split(b"\n") if line)
    except msgspec.DecodeError as error:
        raise ConfigurationError(f"The sample file {file} is not JSON Lines: {error}.") from None
