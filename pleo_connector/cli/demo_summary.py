"""What the demo shows at its end, read back from the DuckDB file like any analyst would."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
from iso4217 import Currency

from pleo_connector.catalogue import CATALOGUE
from pleo_connector.cli.demo_place import SCHEMA
from pleo_connector.cli.output import Output, add_rows, table

_SPEND = """
SELECT strftime(month, '%Y-%m') AS month, currency, sum(entries) AS entries, sum(spend) AS spend
FROM {schema}.spend_by_month
WHERE currency IS NOT NULL
GROUP BY ALL ORDER BY month DESC, currency
"""
"""Entries without an amount have no currency yet."""

_MONTHS = 3
"""Months of spend shown to a person; `--json` has all."""


def summary(file: Path, counters: Mapping[str, Any], began: datetime, seconds: float) -> dict[str, Any]:
    """Rows per table, spend by month and currency, records written since `began`, and what it cost Pleo."""
    with duckdb.connect(str(file), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        tables = {}
        for made in CATALOGUE.tables():
            found = connection.execute(f"SELECT count(*) FROM {SCHEMA}.{made.name} WHERE _deleted_at IS NULL").fetchone()
            tables[made.name] = int(found[0]) if found else 0
        written = {}
        for stream in CATALOGUE:
            # _synced_at moves only when a row is new, changed or gone: what this run wrote is what it stamped.
            found = connection.execute(f"SELECT count(*) FROM {SCHEMA}.{stream.name} WHERE _synced_at >= ?", [began]).fetchone()
            written[stream.name] = int(found[0]) if found else 0
        spend = connection.execute(_SPEND.format(schema=SCHEMA)).fetchall()
    return {
        "warehouse": str(file),
        "tables": tables,
        "spend": [
            {"month": month, "currency": currency, "entries": int(entries), "spend": str(value)}
            for month, currency, entries, value in spend
        ],
        "written": sum(written.values()),
        "written_by_stream": written,
        "requests": counters["requests"],
        "token_refreshes": counters["refreshes"],
        "seconds": round(seconds, 1),
    }


def show(told: Mapping[str, Any], output: Output) -> None:
    """The summary for a person."""
    output.print(add_rows(table("table", "rows", numbers=["rows"]), told["tables"].items()))
    output.print("")
    months = sorted({row["month"] for row in told["spend"]}, reverse=True)[:_MONTHS]
    rows = [
        (row["month"], row["currency"], row["entries"], _money(row["spend"], row["currency"]))
        for row in told["spend"]
        if row["month"] in months
    ]
    output.print(add_rows(table("month", "currency", "entries", "spend", numbers=["entries", "spend"]), rows))
    output.print("")
    if told["written"]:
        output.print(f"{told['written']:,} records were new, changed or gone.")
    else:
        output.print("Nothing changed: everything that Pleo serves was in the file already.")
    refreshes = "1 refresh" if told["token_refreshes"] == 1 else f"{told['token_refreshes']} refreshes"
    output.print(f"{told['requests']:,} requests to the sandbox, {refreshes} of the token, {told['seconds']} s.")
    output.print(f"The tables are in {told['warehouse']}. Try:")
    for command in suggestions(Path(told["warehouse"])):
        output.print(f"  {command}")


def suggestions(file: Path) -> list[str]:
    """Three commands that work right after the demo, in the same shell, whether or not its environment is activated."""
    python = Path(sys.executable)
    folder = file.parent.parent  # where the demo was started
    if python.is_relative_to(folder):
        python = python.relative_to(folder)
    command = "pleo-connector" if shutil.which("pleo-connector") else shlex.quote(str(python.with_name("pleo-connector")))
    query = f"SELECT family, count(*) FROM {SCHEMA}.accounting_entries GROUP BY ALL"
    return [
        f"""{shlex.quote(str(python))} -c "import duckdb; db = duckdb.connect('{file}', read_only=True); db.sql('{query}').show()\"""",
        f"{command} ui        # the same in Dagster, with every asset's history (pip install 'pleo-connector[ui]')",
        f"{command} demo      # again: reads what is due, and changes nothing",
    ]


def _money(exact: str, currency: str | None) -> str:
    """An exact decimal with its currency's own number of places."""
    try:
        places = Currency(currency).exponent if currency else 2
    except ValueError:
        places = 4
    return f"{Decimal(exact):,.{places or 0}f}"
