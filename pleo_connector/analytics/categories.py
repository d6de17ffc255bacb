"""Names of categories that a person keeps in a CSV file, and the small table through which views reach them.

Pleo lists categories nowhere. A run that makes the views brings the table in step with the file; a run without a file leaves it as it is.
"""

from __future__ import annotations

import csv
import io
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pleo_connector.catalogue import Field, Storage, Table
from pleo_connector.errors import ConfigurationError
from pleo_connector.warehouses import Transaction

CATEGORIES = Table(
    "_categories",
    "Names of categories, as in the file that PLEO_CATEGORIES names; the view category_names has those of other sources too.",
    (
        Field("id", Storage.UUID, "Category, as in accounting_entries.account_id."),
        Field("code", Storage.TEXT, "Number of the ledger account."),
        Field("name", Storage.TEXT, "Name of the category."),
    ),
    ("id",),
    "state",
)

HEADER = ("id", "code", "name")
_DELIMITERS = (",", ";", "\t")
_SHOWN = 60
"""Characters of a wrong value that are shown."""


@dataclass(frozen=True, slots=True)
class Category:
    """One row of the file with something to say."""

    id: str
    code: str | None
    name: str | None


def categories_of(setting: str) -> tuple[Category, ...] | None:
    """The rows of the file that PLEO_CATEGORIES names; None when it names none. ConfigurationError says what is wrong with it.

    Rows that have neither code nor name yet, as in a template, are left out.
    """
    if not setting:
        return None
    file = Path(setting).expanduser()
    try:
        return tuple(_rows(file.read_bytes().decode("utf-8-sig")))
    except FileNotFoundError:
        reason = f"it does not exist; `pleo-connector categories --write {setting}` makes a template"
    except OSError as error:
        reason = str(error.strerror)
    except UnicodeDecodeError:
        reason = "it is not UTF-8 text; save it as CSV UTF-8"
    except csv.Error as error:
        reason = f"it is not CSV ({error})"
    except ValueError as error:
        reason = str(error)
    raise ConfigurationError(f"The file {file} that PLEO_CATEGORIES names cannot be used: {reason}.")


def _rows(text: str) -> Iterator[Category]:
    """ValueError for a row that cannot be meant."""
    if "\0" in text:
        raise ValueError("it is not UTF-8 text; save it as CSV UTF-8")
    first = text.splitlines()[0] if text else ""
    delimiter = max(_DELIMITERS, key=first.count)  # Excel writes semicolons in half of Europe
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    header = [name.strip().lower() for name in next(lines, [])]
    missing = [name for name in HEADER if name not in header]
    if missing:
        raise ValueError(f"its first line has no column {' and no column '.join(missing)}; it must name {', '.join(HEADER)}")
    places = [header.index(name) for name in HEADER]
    lines_by_id: dict[str, int] = {}
    for cells in lines:
        line = lines.line_num
        if len(cells) > len(header):
            raise ValueError(
                f"line {line} has {len(cells)} cells and the first line {len(header)}; a name with a {delimiter!r} needs quotes"
            )
        given = [cells[place].strip() if place < len(cells) else "" for place in places]
        if not any(given):
            continue
        key = _key(given[0], line)
        if key in lines_by_id:
            raise ValueError(f"the id {key} is on line {lines_by_id[key]} and again on line {line}; keep one of them")
        lines_by_id[key] = line
        if given[1] or given[2]:
            yield Category(key, given[1] or None, given[2] or None)


def _key(value: str, line: int) -> str:
    try:
        return str(uuid.UUID(value))
    except ValueError:
        raise ValueError(f"line {line} has the id {value[:_SHOWN]!r}, which is not a UUID such as entries have in account_id") from None


def store(transaction: Transaction, categories: Sequence[Category]) -> bool:
    """Make the table the same as the file; returns whether that changed anything. The table is there."""
    from pleo_connector.sync.state import frame_of  # noqa: PLC0415 - pandas loads here, not where assets are declared

    stored = {row["id"]: row for row in transaction.read(CATEGORIES).to_pylist()}
    wanted = {row.id: asdict(row) for row in categories}
    gone = [key for key in stored if key not in wanted]
    changed = [row for key, row in wanted.items() if stored.get(key) != row]
    if gone:
        transaction.delete(CATEGORIES, id=gone)
    if changed:
        transaction.upsert(CATEGORIES, frame_of(CATEGORIES, changed))
    return bool(gone or changed)
