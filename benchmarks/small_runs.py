"""What a sync of the sample data costs, first and repeated: `python -m benchmarks.small_runs [--write docs/performance.md]`.

SQL statements are counted inside a run; CPU seconds are those of the whole process `pleo-connector sync`, views included.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import httpx

from benchmarks.section import write
from pleo_connector import sync
from pleo_connector.sandbox import API_KEY, SandboxConfig, running
from pleo_connector.warehouses import duckdb_transaction, open_warehouse
from pleo_connector.warehouses.duckdb_transaction import DuckDBTransaction


class Counted(DuckDBTransaction):
    """A transaction that counts its statements."""

    statements = 0

    def run(self, sql: str, values: Sequence[object] = ()) -> list[tuple[object, ...]]:
        """Run one statement."""
        Counted.statements += 1
        return super().run(sql, values)

    def _arrow(self, sql: str, values: Sequence[object] = ()) -> object:
        Counted.statements += 1
        return super()._arrow(sql, values)


def statements(url: str, folder: str) -> list[int]:
    """Statements of a first and a repeated sync; a schema's statements that go in one call count once."""
    original, duckdb_transaction.DuckDBTransaction = DuckDBTransaction, Counted  # type: ignore[misc]  # a warehouse imports it when it opens
    try:
        warehouse = open_warehouse(f"duckdb:///{folder}/counted.duckdb", "pleo")
        counts = []
        for _ in range(2):
            Counted.statements = 0
            report = sync.run(
                sync.SyncPlan(()), sync.Connection(url, httpx.BasicAuth(API_KEY, ""), requests_per_minute=1_000_000), warehouse
            )
            assert not report.failures, report.failures
            counts.append(Counted.statements)
        return counts
    finally:
        duckdb_transaction.DuckDBTransaction = original  # type: ignore[misc]


def seconds(url: str, folder: str) -> list[float]:
    """CPU seconds of `pleo-connector sync` as a process, first and repeated."""
    environ = os.environ | {
        "PLEO_API_URL": url,
        "PLEO_AUTH_URL": url,
        "PLEO_API_KEY": API_KEY,
        "PLEO_WAREHOUSE": f"duckdb:///{folder}/w.duckdb",
    }
    found = []
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "pleo_connector", "sync"], check=True, capture_output=True, env=environ, cwd=folder)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        found.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return found


def main() -> None:
    """Measure, print or write."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--write", type=Path, metavar="FILE", help="put the table into this file's section `small runs`")
    given = options.parse_args()
    with tempfile.TemporaryDirectory() as folder, running(SandboxConfig(port=0, requests_per_minute=0)) as pleo:
        counts, cpu = statements(pleo.url, folder), seconds(pleo.url, folder)
    lines = ["| sync of the sample data | SQL statements | CPU seconds of the process |", "| --- | ---: | ---: |"]
    lines += [f"| {name} | {count} | {each:.1f} |" for name, count, each in zip(("first", "nothing changed"), counts, cpu, strict=True)]
    table = "\n".join(lines)
    print(table)
    if given.write:
        write(given.write, "small runs", table)


if __name__ == "__main__":
    main()
