"""Floor 5: the command line. One file per verb; `app.py` lists them, `ending.py` turns errors into exit codes.

Importing this must stay quick: nothing here imports dagster, pandas, duckdb or httpx before a verb runs.
"""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """The `pleo-connector` command."""
    from pleo_connector.cli.ending import run  # noqa: PLC0415 - keeps `import pleo_connector.cli` free of typer

    sys.exit(run(sys.argv[1:]))


__all__ = ["main"]
