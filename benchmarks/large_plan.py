"""Syncs many generated entries and shows what `plan` says then: `python -m benchmarks.large_plan [--rows 300000] [--write docs/planning.md]`."""

from __future__ import annotations

import argparse
import contextlib
import io
import tempfile
from pathlib import Path

from benchmarks.section import write
from pleo_connector import sync
from pleo_connector.cli.output import Output
from pleo_connector.cli.plan import show
from pleo_connector.sandbox import SandboxConfig, running
from pleo_connector.sync.forecast import forecast
from tests.place import NOW, Place


def main() -> None:
    """Sync, forecast, print or write."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rows", type=int, default=300_000)
    options.add_argument("--write", type=Path, metavar="FILE", help="put what plan says into this file's section `plan`")
    given = options.parse_args()
    config = SandboxConfig(port=0, rows=given.rows, requests_per_minute=0)
    with tempfile.TemporaryDirectory() as folder, running(config) as pleo:
        place = Place(Path(folder), pleo)
        report = place.run()
        lines = []
        for title, mode in (("pleo-connector plan", sync.Mode.INCREMENTAL), ("pleo-connector plan --mode full", sync.Mode.FULL)):
            found = forecast(sync.SyncPlan(mode=mode), place.warehouse, requests_per_minute=500, now=NOW)
            told = io.StringIO()
            with contextlib.redirect_stdout(told):
                show(found, Output())
            kept = [line.rstrip() for line in told.getvalue().splitlines()]
            asked = place.run(mode=mode)
            lines += [f"$ {title}", *kept, f"(The run that followed sent {asked.requests:,} requests.)", ""]
    text = (
        f"After a first sync of {given.rows:,} generated entries ({report.requests:,} requests):\n\n```\n"
        + "\n".join(lines).rstrip()
        + "\n```"
    )
    if given.write:
        write(given.write, "plan", text)
    else:
        print(text)


if __name__ == "__main__":
    main()
