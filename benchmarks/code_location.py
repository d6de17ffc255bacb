"""How long the code location takes to load, against `import dagster` alone.

    python -m benchmarks.code_location [--rounds 7]

Seconds of CPU (user and system), which a busy machine changes least. Each figure is the best of the rounds, each round a fresh process;
the two take turns.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]

DAGSTER = "import dagster"
LOCATION = "import definitions; definitions.defs.load_fn().get_repository_def()"
"""What Dagster does with `definitions.py`: import it, build every definition, resolve the repository."""


def main() -> None:
    """Print both times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    alone, all_of_it = (min(times) for times in zip(*((_seconds(DAGSTER), _seconds(LOCATION)) for _ in range(rounds)), strict=True))
    print(f"import dagster      {alone:.2f} s")
    print(f"the code location   {all_of_it:.2f} s")
    print(f"ratio               {all_of_it / alone:.2f}")


def _seconds(code: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


if __name__ == "__main__":
    main()
