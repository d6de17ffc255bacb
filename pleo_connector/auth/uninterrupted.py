"""Runs what must not be cut between two of its lines, whatever happens to the thread that waits for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from pleo_connector.errors import PleoError

T = TypeVar("T")


def run_uninterrupted(do: Callable[[threading.Event], T]) -> T:
    """What `do` gives, from a non-daemon thread, where no KeyboardInterrupt can reach it; it is told by the event that its caller has left."""
    abandoned = threading.Event()
    done = threading.Event()
    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        try:
            results.append(do(abandoned))
        except BaseException as error:  # noqa: BLE001 - handed over, not swallowed
            errors.append(error)
        finally:
            done.set()

    threading.Thread(target=work, name="pleo-refresh", daemon=False).start()
    try:
        done.wait()
    finally:
        abandoned.set()
    if errors:
        error = errors[0]
        # Frames of the worker hold tokens; tracebacks with locals must not show them.
        raise error.with_traceback(None) if isinstance(error, PleoError) else error
    return results[0]
