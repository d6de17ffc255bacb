"""Scrubs all that this process logs and prints, from `begin` to `end`."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable

from pleo_connector.auth.redaction import REDACTOR, Redactor
from pleo_connector.auth.scrubbed_output import ScrubbedOutput

Handle = Callable[[logging.Logger, logging.LogRecord], None]


class ScrubbedProcess:
    """Puts the redactor before every logger, also those that come later, and before `sys.stdout` and `sys.stderr`.

    For every logger `logging.Logger.handle` is replaced. A record factory, the official way, sees a record before `extra=`
    is in it; a filter would have to be on every handler, also on those that nobody has made yet. Beginning twice is beginning once.
    What somebody else put in our places meanwhile is left there at the end, and what we put there then does nothing any more.
    """

    def __init__(self, redactor: Redactor = REDACTOR) -> None:
        self._redactor = redactor
        self._outputs: dict[str, ScrubbedOutput] = {}
        self._handle: Handle | None = None
        self._handled: Handle | None = None
        self._on = False
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    def begin(self) -> None:
        """Scrub from here on."""
        if self._on:
            return
        self._on = True
        self._replace_handle()
        for name in ("stdout", "stderr"):
            stream = getattr(sys, name)
            if stream is not None:
                self._outputs[name] = ScrubbedOutput(stream, self._redactor)
                setattr(sys, name, self._outputs[name])

    def end(self) -> None:
        """Leave everything as it was before."""
        self._on = False
        if self._handle is not None and logging.Logger.handle is self._handled:
            logging.Logger.handle = self._handle  # type: ignore[assignment,method-assign]
        while self._outputs:
            name, output = self._outputs.popitem()
            if getattr(sys, name) is output:
                setattr(sys, name, output.stream)
            output.end()

    def _replace_handle(self) -> None:
        handle = self._handle = logging.Logger.handle

        def handled(logger: logging.Logger, record: logging.LogRecord) -> None:
            if self._on:
                self._redactor.filter(record)
            handle(logger, record)

        self._handled = handled
        logging.Logger.handle = handled  # type: ignore[assignment,method-assign]

    def _after_fork(self) -> None:
        for output in self._outputs.values():
            output.after_fork()
