"""Runs a module in a process whose clock is wrong, as a host's may be: `python -m tests.auth.wrong_clock SECONDS python -m MODULE ...`.

SECONDS is how far the clock is ahead; with `@`, as in `-3600@2.5`, it is right until 2.5 seconds have passed. `time.time` is
replaced before anything of the connector is imported; timers (`time.monotonic`) stay right, as they do on a real host.
"""

from __future__ import annotations

import runpy
import sys
import time


def wrong(told: str) -> None:
    ahead, _, after = told.partition("@")
    right, began = time.time, time.monotonic()
    time.time = lambda: right() + (float(ahead) if time.monotonic() - began >= float(after or 0) else 0.0)


if __name__ == "__main__":
    _, told, _, _, module, *rest = sys.argv
    wrong(told)
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)
