"""What can be chosen for each stream, and the TOML file that says it.

    [defaults]                              every stream
    hot_days = 45

    [streams.accounting_entries]            this stream; wins over the defaults
    drift = "quarantine"

    [streams.accounting_entries.columns]    what becomes of single columns
    note = "hash"

Every name and value is checked when the file is read: ConfigurationError names file, table and key.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from datetime import datetime, timedelta
from enum import StrEnum
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pleo_connector.column_rules import ColumnRule
from pleo_connector.errors import ConfigurationError
from pleo_connector.file_options import FILE_OPTIONS, FILES_OF, ReceiptFiles, checked_option, receipt_files
from pleo_connector.settings_folder import OPTIONS_FILE, placed_path

_EVERY = re.compile(r"(\d+) ?(m|h|d)")
_MOST_DAYS = 36_500
_UNITS = {"m": timedelta(minutes=1), "h": timedelta(hours=1), "d": timedelta(days=1)}

Choice = TypeVar("Choice", bound=StrEnum)


class DriftPolicy(StrEnum):
    """What a stream does when records no longer fit the declaration."""

    EVOLVE = "evolve"
    """Unknown fields go to `_extra`; impossible values are quarantined; all is reported."""
    FREEZE = "freeze"
    """Unknown fields, changed or impossible types stop the stream before anything is written."""
    QUARANTINE = "quarantine"
    """Like evolve, and a changed type quarantines its record too."""


@dataclass(frozen=True, slots=True)
class SweepPolicy:
    """Age of a window's end, in days, up to which it is hot, warm, cool; and how often each is due."""

    hot_days: int = 35
    warm_days: int = 100
    cool_days: int = 400
    open_days: int = 100
    """Up to this age a window with an entry that is not settled, reviewed and exported is hot as well; 0 looks at no entries."""
    warm_every: timedelta = timedelta(days=1)
    cool_every: timedelta = timedelta(days=7)
    cold_every: timedelta = timedelta(days=30)

    def __post_init__(self) -> None:
        if self.hot_days < 0 or self.open_days < 0:
            raise ValueError("hot_days and open_days cannot be negative")
        if not self.hot_days <= self.warm_days <= self.cool_days:
            raise ValueError(
                f"hot_days ({self.hot_days}) must not be above warm_days ({self.warm_days}), nor that above cool_days ({self.cool_days})"
            )
        if min(self.warm_every, self.cool_every, self.cold_every) <= timedelta(0):
            raise ValueError("warm_every, cool_every and cold_every must be more than nothing")

    def tier(self, end: datetime, now: datetime) -> tuple[str, timedelta]:
        """Of a window that ends at `end`: (hot, warm, cool or cold; time after which it is due again)."""
        age = now - end
        if age <= timedelta(days=self.hot_days):
            return "hot", timedelta(0)
        if age <= timedelta(days=self.warm_days):
            return "warm", self.warm_every
        if age <= timedelta(days=self.cool_days):
            return "cool", self.cool_every
        return "cold", self.cold_every


@dataclass(frozen=True, slots=True)
class StreamOptions:
    """The choices for one stream. A new one is a field here, and a line in `_option` below."""

    sweep: SweepPolicy = field(default_factory=SweepPolicy)
    """Which windows are due; in the file its fields stand in the stream's own table."""
    drift: DriftPolicy = DriftPolicy.EVOLVE
    history: bool = False
    """Keep every version of a row in a history table too."""
    columns: Mapping[str, ColumnRule] = field(default_factory=dict)
    """By column of the stream's table, `table.column` of a table below it, or dotted path of an undeclared field; the others are kept."""
    files: ReceiptFiles | None = None
    """Fetch the files too; of receipts alone."""


DEFAULT = StreamOptions()

_OPTIONS = (
    *(one.name for one in fields(SweepPolicy)),
    *(one.name for one in fields(StreamOptions) if one.name not in ("sweep", "columns", "files")),
)


def read_options(path: str, known: Mapping[str, Iterable[str]]) -> dict[str, StreamOptions]:
    """The options of every stream of `known` (stream -> its columns) that the file speaks of, defaults applied.

    An empty path means `pleo.toml` in the working folder, which may be missing; a file that is named must be there.
    """
    file = Path(path or OPTIONS_FILE).expanduser()
    if not path and not file.is_file():
        return {}
    try:
        document = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigurationError(f"The options file {file} cannot be read: {reason}; mend it, or set PLEO_CONFIG to another.") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"The options file {file} is not TOML: {error}.") from None
    return _Document(str(file), known).options(document)


def parsed_options(document: dict[str, Any], source: str, known: Mapping[str, Iterable[str]]) -> dict[str, StreamOptions]:
    """The options of a document with the tables of such a file; `source` is named in errors."""
    return _Document(source, known).options(document)


def placed_files(options: Mapping[str, StreamOptions], folder: Path) -> dict[str, StreamOptions]:
    """The options with the folder of receipts' files where it belongs, if it is relative: to the folder of the settings."""
    return {
        name: one if one.files is None else replace(one, files=replace(one.files, folder=placed_path("files", one.files.folder, folder)))
        for name, one in options.items()
    }


class _Document:
    """A parsed file on its way to options; every fault it meets names the file, the table and the key."""

    def __init__(self, file: str, known: Mapping[str, Iterable[str]]) -> None:
        self._file = file
        self._known = known

    def options(self, document: dict[str, Any]) -> dict[str, StreamOptions]:
        for name in document:
            self._check_name(name, ("defaults", "streams"), "", "table")
        defaults = self._table(document.get("defaults", {}), "defaults")
        streams = self._table(document.get("streams", {}), "streams")
        if "columns" in defaults:
            self._refuse("defaults", "columns belong to one stream: write [streams.<stream>.columns]")
        for name in streams:
            self._check_name(name, self._known, "streams", "stream")
        shared = self._values(defaults, "defaults")
        self._made(shared, {}, "defaults")  # so that a fault of the defaults is told as theirs
        found = {}
        for stream in self._known if defaults else streams:
            place = f"streams.{stream}"
            table = self._table(streams.get(stream, {}), place)
            columns = self._columns(self._table(table.pop("columns", {}), f"{place}.columns"), stream, f"{place}.columns")
            found[stream] = self._made(shared | self._values(table, place), columns, place)
        return found

    def _made(self, values: dict[str, Any], columns: dict[str, ColumnRule], place: str) -> StreamOptions:
        swept = {one.name for one in fields(SweepPolicy)}
        try:
            sweep = SweepPolicy(**{name: value for name, value in values.items() if name in swept})
            files = receipt_files(values)
        except ValueError as error:
            self._refuse(place, str(error))
        others = {name: value for name, value in values.items() if name not in (*swept, *FILE_OPTIONS)}
        return StreamOptions(sweep, columns=columns, files=files, **others)

    def _values(self, table: Mapping[str, Any], place: str) -> dict[str, Any]:
        ours = place == f"streams.{FILES_OF}"
        for name in table:
            if name in FILE_OPTIONS and not ours:
                self._refuse(place, f"{name} is an option of {FILES_OF} alone: write it in [streams.{FILES_OF}]")
            self._check_name(name, (*_OPTIONS, *FILE_OPTIONS) if ours else _OPTIONS, place, "option")
        return {name: self._option(name, value, place) for name, value in table.items()}

    def _option(self, name: str, value: Any, place: str) -> object:
        if name == "drift":
            return self._choice(DriftPolicy, value, place, name)
        if name == "history":
            if not isinstance(value, bool):
                self._refuse(place, f"{name} must be true or false, not {value!r}")
            return value
        if name in FILE_OPTIONS:
            try:
                return checked_option(name, value)
            except ValueError as error:
                self._refuse(place, str(error))
        if name.endswith("_every"):
            match = _EVERY.fullmatch(value) if isinstance(value, str) else None
            if match is None:
                self._refuse(place, f'{name} must be a time such as "30m", "12h" or "7d", not {value!r}')
            return int(match[1]) * _UNITS[match[2]]
        if not isinstance(value, int) or isinstance(value, bool) or value > _MOST_DAYS:
            self._refuse(place, f"{name} must be a whole number of days, up to {_MOST_DAYS}, not {value!r}")
        return value

    def _columns(self, table: Mapping[str, Any], stream: str, place: str) -> dict[str, ColumnRule]:
        rules = {}
        for name, value in _flat(table):
            if name not in self._known[stream] and not is_path(name, self._known[stream]):
                self._refuse(place, no_column(name, self._known[stream]))
            rules[name] = self._choice(ColumnRule, value, place, name)
        return rules

    def _choice(self, choices: type[Choice], value: Any, place: str, name: str) -> Choice:
        try:
            return choices(value)
        except ValueError:
            self._refuse(place, f"{name} cannot be {value!r}; {near_miss(str(value), choices)}")

    def _table(self, value: Any, place: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            self._refuse(place, f"must be a table, not {value!r}")
        return dict(value)

    def _check_name(self, name: str, known: Iterable[str], place: str, what: str) -> None:
        if name not in known:
            self._refuse(place, f"there is no {what} {name!r}; {near_miss(name, known)}")

    def _refuse(self, place: str, fault: str) -> NoReturn:
        where = f" [{place}]" if place else ""
        raise ConfigurationError(f"{self._file}:{where} {fault}{'' if fault.endswith('?') else '.'}")


def is_path(name: str, known: Iterable[str]) -> bool:
    """Whether a name is the path of a field, `employee.phone` or `$.nickname`: dotted, and neither a known column nor of a known table."""
    known = set(known)
    tables = {column.partition(".")[0] for column in known if "." in column}
    first, dot, _ = name.partition(".")
    return name not in known and bool(dot) and first not in tables and all(part.strip() for part in name.split("."))


def no_column(name: str, known: Iterable[str]) -> str:
    """What is said of a name that is neither a column nor a path."""
    near = near_miss(name, known)
    hint = "" if near.startswith("did you mean") else f"a field that Pleo serves and no column has is named '$.{name}'; "
    return f"there is no column {name!r}; {hint}{near}"


def near_miss(name: str, known: Iterable[str]) -> str:
    """`did you mean 'x'?`, or what there is."""
    names = [str(one) for one in known]
    near = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"


def _flat(table: Mapping[str, Any]) -> Iterable[tuple[str, Any]]:
    """TOML reads `table.column = ...` as a table in a table."""
    for name, value in table.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{below}", rule) for below, rule in _flat(value))
        else:
            yield name, value
