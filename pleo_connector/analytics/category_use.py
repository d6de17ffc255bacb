"""Which categories spend is in, with the merchants that say what a nameless one is."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import duckdb

from pleo_connector.analytics.categories import CATEGORIES, HEADER, Category
from pleo_connector.analytics.marts import marts
from pleo_connector.catalogue import CATALOGUE, View
from pleo_connector.errors import ConfigurationError
from pleo_connector.sync.state import frame_of
from pleo_connector.warehouses import Warehouse

_USED = """
WITH merchants AS (
  SELECT account_id, merchant, count(DISTINCT entry_id) AS entries
  FROM spend WHERE account_id IS NOT NULL AND merchant IS NOT NULL GROUP BY ALL
),
top AS (SELECT account_id, list(merchant ORDER BY entries DESC, merchant)[:5] AS merchants FROM merchants GROUP BY ALL),
used AS (
  SELECT account_id, list(DISTINCT company_name ORDER BY company_name) AS companies, count(DISTINCT entry_id) AS entries,
    bool_or(category_state = 'name unknown') AS nameless
  FROM spend WHERE account_id IS NOT NULL GROUP BY ALL
)
SELECT u.account_id, n.account_code, n.account_name, n.named_by, u.nameless, coalesce(u.companies, []), u.entries, coalesce(t.merchants, [])
FROM used AS u LEFT JOIN category_names AS n ON n.account_id = u.account_id LEFT JOIN top AS t ON t.account_id = u.account_id
ORDER BY NOT u.nameless, u.entries DESC, u.account_id
"""


@dataclass(frozen=True, slots=True)
class UsedCategory:
    """A category that spend is in; `nameless` where some of that spend shows neither name nor number."""

    id: str
    code: str | None
    name: str | None
    named_by: str | None
    nameless: bool
    companies: tuple[str, ...]
    entries: int
    merchants: tuple[str, ...]
    """The merchants of most entries, at most five."""


def used_categories(warehouse: Warehouse, file: Sequence[Category] | None = None) -> list[UsedCategory]:
    """Nameless ones first, then by the number of their entries. `file` stands in place of what the warehouse holds of one.

    The views are made over copies of their tables in a DuckDB in memory, so that this works where a warehouse has no views.
    """
    needed = _behind("spend")
    sql = " ".join(view.sql for view in needed)
    words = set(re.findall(r"\w+", sql))
    tables = [table for table in (*CATALOGUE.tables(), CATEGORIES) if table.name in words]
    with duckdb.connect() as memory:
        with warehouse.transaction() as transaction:
            transaction.ensure(tables)
            for table in tables:
                columns = [name for name in table.column_names if name in words]
                memory.register(table.name, transaction.read(table, columns))
        if file is not None:
            memory.register(CATEGORIES.name, frame_of(CATEGORIES, map(asdict, file)))
        for view in needed:
            memory.execute(f"CREATE VIEW {view.name} AS {view.sql}")
        rows = memory.execute(_USED).fetchall()
    return [
        UsedCategory(str(key), code, name, by, bare, tuple(who), count, tuple(top)) for key, code, name, by, bare, who, count, top in rows
    ]


def _behind(name: str) -> list[View]:
    """The view and those it reads, in the order in which they can be made."""
    wanted = {name}
    for view in reversed(marts()):
        if view.name in wanted:
            wanted |= set(view.reads)
    return [view for view in marts() if view.name in wanted]


def write_template(file: Path, named: Iterable[Category], nameless: Iterable[UsedCategory]) -> None:
    """A CSV file for PLEO_CATEGORIES: what an earlier one says, then the nameless ones. ConfigurationError when the file is there already."""
    try:
        # With a byte order mark, or Excel takes it for the code page of the machine.
        with file.expanduser().open("x", encoding="utf-8-sig", newline="") as lines:
            out = csv.writer(lines)
            out.writerow([*HEADER, "companies", "entries", "merchants"])
            out.writerows([row.id, row.code, row.name, "", "", ""] for row in named)
            out.writerows([row.id, "", "", _cell(row.companies), row.entries, _cell(row.merchants)] for row in nameless)
    except FileExistsError:
        raise ConfigurationError(f"{file} exists already and is not overwritten: name a new file.") from None
    except OSError as error:
        raise ConfigurationError(f"{file} cannot be written ({error.strerror}); name another place.") from None


def _cell(names: Iterable[str]) -> str:
    """Names as text: a spreadsheet would run a name that looks like a formula."""
    text = ", ".join(names)
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r")) else text
