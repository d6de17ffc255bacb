"""What loading the code location may not import: it is told by name, since a time would tell only about the machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

HEAVY = (
    "pandas",
    "numpy",
    "duckdb",
    "pyarrow",
    "psycopg",
    "pyiceberg",
    "httpx",
    "authlib",
    "cryptography",
    "keyring",
    "msgspec",
    "tenacity",
    "tomlkit",  # with it Dagster would look through all installed components, for an empty folder
    "pleo_connector.sync.engine",
    "pleo_connector.sandbox",
)
"""What reads and loads; the step that runs imports it."""

LOCATION = "import definitions; definitions.defs.load_fn().get_repository_def()"


def imported(code: str) -> set[str]:
    variables = {name: value for name, value in os.environ.items() if not name.startswith("PLEO_")}
    show = f"import sys; print(*(name for name in {HEAVY!r} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{show}"], cwd=ROOT, env=variables, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("code", [LOCATION, "from pleo_connector import load_pleo_asset_specs; load_pleo_asset_specs()"])
def test_nothing_that_reads_or_loads_is_imported_before_a_step_runs(code: str) -> None:
    assert imported(code) <= imported("import dagster")


def test_the_package_alone_needs_no_dagster() -> None:
    show = "import sys, pleo_connector; pleo_connector.CATALOGUE; print([name for name in sys.modules if name.startswith('dagster')])"
    assert subprocess.run([sys.executable, "-c", show], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_the_search_finds_what_is_imported() -> None:
    assert {"pandas", "numpy", "pyarrow"} <= imported("import pandas, pyarrow")
