"""Peak memory of a first sync, by number of entries: `python -m benchmarks.memory [--rows 100000 1000000] [--write docs/how-it-syncs.md]`."""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.section import write
from pleo_connector.sandbox import SandboxConfig, running

PROGRAM = """
import pathlib, sys, httpx
from pleo_connector import sync
from pleo_connector.warehouses import open_warehouse
report = sync.run(
    sync.SyncPlan(("companies", "accounting_entries")),
    sync.Connection(sys.argv[1], httpx.BasicAuth("sandbox-api-key", ""), requests_per_minute=1_000_000),
    open_warehouse(sys.argv[2], "pleo"),
)
assert not report.failures, report.failures
peak = next(line for line in pathlib.Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
print(report.streams["accounting_entries"].inserted, int(peak.split()[1]) // 1024)
"""
"""A process of its own, so that the sandbox's memory is not counted."""


URLS = {"duckdb": "duckdb:///{}/w.duckdb", "iceberg": "iceberg:///{}/lake"}


def measured(rows: int, warehouse: str = "duckdb") -> tuple[int, int, float]:
    """Rows loaded, peak resident memory in MB, seconds."""
    with tempfile.TemporaryDirectory() as folder, running(SandboxConfig(port=0, rows=rows, requests_per_minute=0)) as pleo:
        began = time.monotonic()
        command = [sys.executable, "-c", PROGRAM, pleo.url, URLS[warehouse].format(folder)]
        told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    loaded, peak = map(int, told.split())
    return loaded, peak, time.monotonic() - began


def main() -> None:
    """Measure each size, print or write."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000])
    options.add_argument("--warehouse", choices=URLS, default="duckdb")
    options.add_argument("--write", type=Path, metavar="FILE", help="put the table into this file's section `memory`")
    given = options.parse_args()
    found = [measured(rows, given.warehouse) for rows in given.rows]
    lines = ["| entries loaded | peak memory of the sync, MB | against the first |", "| ---: | ---: | ---: |"]
    lines += [f"| {loaded:,} | {peak:,} | {peak / found[0][1]:.2f} |" for loaded, peak, _ in found]
    table = "\n".join(lines)
    print(table, [f"{seconds:.0f} s" for *_, seconds in found], sep="\n")
    if given.write:
        write(given.write, "memory", table)


if __name__ == "__main__":
    main()
