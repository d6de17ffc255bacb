"""The last net under careless logging: known live secrets are scrubbed from any text.

Nothing in this package logs a secret. This is for everything else in the process: a library at
DEBUG, a traceback with locals, a colleague's `print`. It knows the live values, not patterns, so
it neither misses an odd token nor eats an innocent word.
"""

from __future__ import annotations

import base64
import logging
import os
import threading
from collections import OrderedDict
from urllib.parse import quote, quote_plus

from pleo_connector.auth.secret import HIDDEN, Secret

_SHORTEST = 6  # shorter values would blank out ordinary words
_KEPT = 512  # forms of passing secrets; tokens rotated away long ago are dead, and fall out


class Redactor(logging.Filter):
    """Replaces every known secret, in all the forms it takes on the wire, by `***`.

    As a `logging.Filter` it goes on handlers (a filter on a logger does not see the records of
    its children). Thread safe.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lasting: set[str] = set()
        self._passing: OrderedDict[str, None] = OrderedDict()
        self._guard = threading.Lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    def _after_fork(self) -> None:
        self._guard = threading.Lock()  # the parent's may be held by a thread that the child does not have

    def register(self, *secrets: Secret | str | None, passing: bool = False) -> None:
        """Learn secrets: each as it is, URL-encoded (both ways), and base64; `passing` for tokens and codes."""
        forms: list[str] = []
        for secret in secrets:
            value = secret.reveal() if isinstance(secret, Secret) else secret
            if value and len(value) >= _SHORTEST:
                forms += [value, quote(value, safe=""), quote_plus(value), _base64(value)]
        self._learn(forms, passing=passing)

    def register_basic(self, user: str, password: Secret) -> None:
        """Learn a Basic header's value, with the parts as they are and form-encoded."""
        if user or password:
            secret = password.reveal()
            self._learn([_base64(f"{user}:{secret}"), _base64(f"{quote_plus(user)}:{quote_plus(secret)}")], passing=False)
            self.register(password)

    def scrub(self, text: str) -> str:
        """The text without any known secret."""
        with self._guard:
            # Longest first: a value may be part of another one's encoded form.
            forms = sorted((form for form in (*self._lasting, *self._passing) if form in text), key=len, reverse=True)
        for form in forms:
            text = text.replace(form, HIDDEN)
        return text

    def filter(self, record: logging.LogRecord) -> bool:
        """Scrub message, traceback and stack of a log record; never drops a record."""
        try:
            message = record.getMessage()
        except Exception as error:  # noqa: BLE001 - logging survives a wrong format string and a failing __str__, and so must its filter
            try:
                message = f"{record.msg} {record.args}"
            except Exception:  # noqa: BLE001
                message = f"A message that cannot be shown ({type(error).__name__})."
            record.msg, record.args = self.scrub(message), ()
            return True
        scrubbed = self.scrub(message)
        if scrubbed != message:
            record.msg, record.args = scrubbed, ()
        if record.exc_info and not record.exc_text:
            record.exc_text = logging.Formatter().formatException(record.exc_info)
        if record.exc_text:
            record.exc_text = self.scrub(record.exc_text)
        if record.stack_info:
            record.stack_info = self.scrub(record.stack_info)
        return True

    def install(self, logger: logging.Logger | None = None) -> None:
        """Put this filter on every handler of a logger (default: the root logger); may be called again."""
        for handler in (logger or logging.getLogger()).handlers:
            handler.addFilter(self)  # addFilter ignores one that is there already

    def _learn(self, forms: list[str], *, passing: bool) -> None:
        with self._guard:
            if not passing:
                self._lasting.update(forms)
                return
            for form in forms:
                self._passing[form] = None
                self._passing.move_to_end(form)
            while len(self._passing) > _KEPT:
                self._passing.popitem(last=False)


REDACTOR = Redactor()
"""The process's redactor: everything in `pleo_connector.auth` registers what it holds here."""


def _base64(value: str) -> str:
    return base64.b64encode(value.encode()).decode()
