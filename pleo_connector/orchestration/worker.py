"""A sync in its own thread, as a stream of events, so that a step can yield each table as it finishes."""

import queue
import threading
from collections.abc import Callable, Generator
from dataclasses import dataclass

from pleo_connector.sync import StreamReport, SyncReport

_PATIENCE = 90.0
"""Seconds to wait for the thread to stop: it may wait for the warehouse, for 60 at most."""

Listener = Callable[[StreamReport], None]
Sync = Callable[[Listener, Listener, threading.Event], SyncReport]
"""Runs to the end: (on load, on finish, cancel) -> report."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """Rows of a stream were committed."""

    report: StreamReport


@dataclass(frozen=True, slots=True)
class Finished:
    """A stream has ended, well or with `report.error`."""

    report: StreamReport


@dataclass(frozen=True, slots=True)
class Quiet:
    """No event came for a while: the sync is waiting, or reading."""


@dataclass(frozen=True, slots=True)
class _Ended:
    error: BaseException | None


def listen(sync: Sync, *, heartbeat: float = 10.0) -> Generator[Loaded | Finished | Quiet, None, None]:
    """Start the sync and yield its events until it ends; raises what it raises.

    Leaving early, by an exception or by closing the iterator, cancels the sync and waits until it has stopped. The
    thread is a daemon: if the process dies first, the warehouse drops the open transaction and the next run resumes.
    """
    events: queue.SimpleQueue[Loaded | Finished | _Ended] = queue.SimpleQueue()
    cancel = threading.Event()

    def work() -> None:
        try:
            sync(lambda report: events.put(Loaded(report)), lambda report: events.put(Finished(report)), cancel)
        except BaseException as error:  # noqa: BLE001 - every error crosses to the listening thread
            events.put(_Ended(error))
        else:
            events.put(_Ended(None))

    thread = threading.Thread(target=work, name="pleo-sync", daemon=True)
    thread.start()
    try:
        while True:
            try:
                event = events.get(timeout=heartbeat)
            except queue.Empty:
                yield Quiet()
                continue
            if isinstance(event, _Ended):
                if event.error is not None:
                    raise event.error
                return
            yield event
    finally:
        cancel.set()
        thread.join(_PATIENCE)
