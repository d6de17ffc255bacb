"""Runs the contract suite and shows what passed where: `python -m benchmarks.contract_table [--write docs/warehouses.md]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import pytest

from benchmarks.section import write
from tests.warehouses.conftest import URLS

_TOLD = {frozenset({"passed"}): "yes", frozenset({"skipped"}): "not promised", frozenset(): "not asked"}
"""By how a test ended for all its parameters; a warehouse that promises less skips the test, and one that has another's SQL is not asked about it."""


class Results:
    """A pytest plug-in that keeps, for each test of the contract, how it ended for each warehouse."""

    def __init__(self) -> None:
        self.ended: dict[str, dict[str, set[str]]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Called by pytest for each phase of each test."""
        name, _, parameters = report.nodeid.rpartition("::")[2].partition("[")
        where = parameters.rstrip("]").split("-")
        for warehouse in URLS:
            if warehouse in where and (report.when == "call" or report.outcome != "passed"):
                self.ended.setdefault(name, {}).setdefault(warehouse, set()).add(report.outcome)

    def table(self) -> str:
        """Markdown: one row for each test, one column for each warehouse."""
        lines = [f"| the warehouse keeps that | {' | '.join(URLS)} |", f"| --- |{' --- |' * len(URLS)}"]
        for name, by in self.ended.items():
            cells = [_TOLD.get(frozenset(by.get(warehouse, ())), "**no**") for warehouse in URLS]
            lines.append(f"| {name.removeprefix('test_').replace('_', ' ')} | {' | '.join(cells)} |")
        return "\n".join(lines)


def main() -> int:
    """Run, print or write, and end as pytest ended."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--write", type=Path, metavar="FILE", help="put the table into this file's section `contract`")
    given = options.parse_args()
    results = Results()
    imported = "ignore:Module already imported:pytest.PytestAssertRewriteWarning"  # by the conftest from which `URLS` comes
    ended = pytest.main(["-q", "-W", imported, "-p", "no:cacheprovider", "-m", "slow or not slow", "tests/warehouses"], plugins=[results])
    if given.write:
        write(given.write, "contract", results.table())
    else:
        print(results.table())
    return int(ended)


if __name__ == "__main__":
    sys.exit(main())
