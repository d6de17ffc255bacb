"""Keeps live secrets out of what Dagster writes down, while a step has the connection's resource.

Logs and prints are scrubbed on their way. Events (errors, metadata, descriptions of failures) are scrubbed when they are
made: Dagster offers no hook between an error and its record, and passes events on to the run's own process, which has no
resources, knows no secrets, and writes the first failure down once more. So `DagsterEvent.__new__` is replaced meanwhile.
"""

import json
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import dagster as dg

from pleo_connector.auth import REDACTOR
from pleo_connector.auth.scrubbed_errors import scrub_in_place
from pleo_connector.auth.scrubbed_process import ScrubbedProcess

_OF_AN_ERROR = {dg.DagsterEventType.STEP_FAILURE.value, dg.DagsterEventType.STEP_UP_FOR_RETRY.value}


class _Keeping:
    """On while at least one resource is in use in this process."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._users = 0
        self._process = ScrubbedProcess()
        self._made: Any = None  # how Dagster makes its events

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._guard:
            self._users += 1
            if self._users == 1:
                self._process.begin()
                self._replace()
        try:
            yield
        finally:
            with self._guard:
                self._users -= 1
                if not self._users:
                    self._restore()
                    self._process.end()

    def _replace(self) -> None:
        original = self._made = dg.DagsterEvent.__dict__["__new__"]

        @wraps(original.__func__)  # Dagster reads its parameters when it reads events back
        def made(cls: type[dg.DagsterEvent], *args: Any, **kwargs: Any) -> dg.DagsterEvent:
            event: dg.DagsterEvent = original.__func__(cls, *args, **kwargs)
            if event.event_type_value in _OF_AN_ERROR:
                # The error goes on to hooks, and to the caller with raise_on_error.
                scrub_in_place(sys.exc_info()[1], REDACTOR.scrub_value)
            data, message = _scrubbed(event.event_specific_data), REDACTOR.scrub_value(event.message)
            if data is event.event_specific_data and message is event.message:
                return event
            return event._replace(event_specific_data=data, message=message)

        dg.DagsterEvent.__new__ = staticmethod(made)  # type: ignore[method-assign]

    def _restore(self) -> None:
        dg.DagsterEvent.__new__ = self._made  # type: ignore[method-assign]


def _scrubbed(data: Any) -> Any:
    """The data of an event without secrets: the same object where there are none."""
    if data is None:
        return None
    written = dg.serialize_value(data)
    if REDACTOR.scrub(written) == written:
        return data
    return dg.deserialize_value(json.dumps(REDACTOR.scrub_value(json.loads(written))))


keeping_secrets = _Keeping()
"""A context manager: within it, no log line, print or Dagster event of this process shows a secret that the redactor knows."""
