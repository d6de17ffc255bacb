"""The last net under careless logging: known live secrets are scrubbed from any text.

Nothing in this package logs a secret. This is for everything else in the process: a library at
DEBUG, a traceback with locals, a colleague's `print`. It knows the live values, not patterns, so
it neither misses an odd token nor eats an innocent word.
"""

from __future__ import annotations

import base64
import logging
from collections import OrderedDict, defaultdict
from typing import Any
from urllib.parse import quote_plus

from pleo_connector.auth.known_secrets import KnownSecrets
from pleo_connector.auth.scrubbed_errors import stand_in
from pleo_connector.auth.secret import HIDDEN, Secret

_DEEPEST = 20  # of values in values; what is deeper, or holds itself, is shown as text

# Only these: somebody's subclass may not be made anew, and may mean more than what is in it.
_COLLECTIONS = (dict, OrderedDict, defaultdict, list, tuple, set, frozenset)

# What logging itself puts into a record; everything else came by `extra=`, or was added by a filter.
_OF_LOGGING = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class Redactor(logging.Filter):
    """Replaces every known secret, in all the forms it takes on the wire, by `***`.

    As a `logging.Filter` it goes on handlers (a filter on a logger does not see the records of
    its children). Thread safe.
    """

    def __init__(self) -> None:
        super().__init__()
        self.known = KnownSecrets()

    def register(self, *secrets: Secret | str | None, passing: bool = False, of: str = "") -> None:
        """Learn secrets, in all their forms; `passing` for tokens and codes, of which the newest of each connection (`of`) stay known."""
        for secret in secrets:
            value = secret.reveal() if isinstance(secret, Secret) else secret
            if value and passing:
                self.known.keep_for_now(value, of)
            elif value:
                self.known.keep_always(value)

    def register_basic(self, user: str, password: Secret) -> None:
        """Learn a Basic header's value, with the parts as they are and form-encoded."""
        if user or password:
            secret = password.reveal()
            self.known.keep_forms(_base64(f"{user}:{secret}"), _base64(f"{quote_plus(user)}:{quote_plus(secret)}"))
            self.register(password)

    def scrub(self, text: str) -> str:
        """The text without any known secret."""
        spans = self.known.spans(text)
        if not spans:
            return text
        pieces, at = [], 0
        for start, end in spans:
            pieces += [text[at:start], HIDDEN]
            at = end
        return "".join([*pieces, text[at:]])

    def scrub_value(self, value: Any, *, depth: int = 0) -> Any:
        """A value without any known secret, in texts, bytes, collections and errors; the same object when none is in it.

        Nothing is changed in place: what is in a log record is the caller's.
        """
        if isinstance(value, str):
            text = self.scrub(value)
            return value if text == value else text
        if isinstance(value, bytes):
            data = self.scrub(value.decode("latin-1")).encode("latin-1")
            return value if data == value else data
        if isinstance(value, BaseException):
            return stand_in(value, self.scrub)
        if type(value) in _COLLECTIONS or type(value).__bases__ == (tuple,):  # the latter are named tuples
            return self._scrub_collection(value, depth + 1) if depth < _DEEPEST else self.scrub(repr(value))
        return value

    def _scrub_collection(self, value: Any, depth: int) -> Any:
        before: list[Any] = [part for pair in value.items() for part in pair] if isinstance(value, dict) else list(value)
        after = [self.scrub_value(part, depth=depth) for part in before]
        if all(one is other for one, other in zip(before, after, strict=True)):
            return value
        if isinstance(value, dict):
            return dict(zip(after[::2], after[1::2], strict=True))
        return type(value)._make(after) if hasattr(value, "_make") else type(value)(after)

    def filter(self, record: logging.LogRecord) -> bool:
        """Scrub message, arguments, traceback, stack and extra fields of a log record; never drops a record."""
        self._filter_message(record)
        self._filter_error(record)
        if record.stack_info:
            record.stack_info = self.scrub(record.stack_info)
        for name in [name for name in vars(record) if name not in _OF_LOGGING]:
            value = getattr(record, name)
            clean = self._shown(value)
            if clean is not value:
                setattr(record, name, clean)
        return True

    def _filter_message(self, record: logging.LogRecord) -> None:
        try:
            message = record.getMessage()
        except Exception as error:  # noqa: BLE001 - logging survives a wrong format string and a failing __str__, and so must its filter
            try:
                message = f"{record.msg} {record.args}"
            except Exception:  # noqa: BLE001
                message = f"A message that cannot be shown ({type(error).__name__})."
            record.msg, record.args = self.scrub(message), ()
            return
        scrubbed = self.scrub(message)
        if scrubbed != message:
            record.msg, record.args = scrubbed, ()
        elif record.args:  # a formatter may print arguments that the message does not show
            record.args = self._shown(record.args)

    def _filter_error(self, record: logging.LogRecord) -> None:
        if record.exc_info and record.exc_info[1] is not None:
            _, error, trace = record.exc_info
            if not record.exc_text:
                record.exc_text = logging.Formatter().formatException(record.exc_info)
            clean = self._shown(error)
            if clean is not error:  # a formatter may make its own text of it
                record.exc_info = (type(clean), clean, trace) if isinstance(clean, BaseException) else None
        if record.exc_text:
            record.exc_text = self.scrub(record.exc_text)

    def _shown(self, value: Any) -> Any:
        try:
            return self.scrub_value(value)
        except Exception as error:  # noqa: BLE001 - a strange object in a log record must not end the caller
            return f"A value that cannot be shown ({type(error).__name__})."

    def install(self, logger: logging.Logger | None = None) -> None:
        """Put this filter on every handler of a logger (default: the root logger); may be called again."""
        for handler in (logger or logging.getLogger()).handlers:
            handler.addFilter(self)  # addFilter ignores one that is there already


REDACTOR = Redactor()
"""The process's redactor: everything in `pleo_connector.auth` registers what it holds here."""


def _base64(value: str) -> str:
    return base64.b64encode(value.encode()).decode()
