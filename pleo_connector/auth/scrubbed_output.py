"""A text stream that scrubs what is written to it, for `sys.stdout` and `sys.stderr` while secrets are about."""

from __future__ import annotations

import threading
from typing import Any

from pleo_connector.auth.known_secrets import SHORTEST
from pleo_connector.auth.redaction import Redactor


class ScrubbedOutput:
    """Stands before a stream, and passes on everything but known secrets; whatever else one asks of it, the stream answers.

    A secret that comes in several writes is found too: the end of what was written is held back while it may be the
    beginning of one, until the line ends or more comes. `flush` lets go of all but six characters or more that begin a secret.
    What goes past it is not seen: `stream.buffer`, the file descriptor, child processes, C code.
    """

    def __init__(self, stream: Any, redactor: Redactor) -> None:
        self.stream = stream
        self._redactor = redactor
        self._held = ""
        self._scrubbing = True
        self._guard = threading.RLock()  # a destructor may print in the middle of a write

    def write(self, text: str) -> int:
        """As of any text stream."""
        if not self._scrubbing or not isinstance(text, str):  # what is no text is for the stream to refuse
            return int(self.stream.write(text))
        with self._guard:
            text, self._held = self._held + text, ""
            cut = len(text) if text.endswith("\n") else self._safe(text)
            self._held = text[cut:]
            self._pass_on(text[:cut])
        return len(text)

    def writelines(self, lines: Any) -> None:
        """As of any text stream."""
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        """As of any text stream."""
        with self._guard:
            cut = self._redactor.known.begun(self._held)
            text, self._held = self._held[:cut], self._held[cut:]
            self._pass_on(text)
        self.stream.flush()

    def end(self) -> None:
        """Scrub no more: from here on everything goes straight to the stream, for those who still hold this object."""
        with self._guard:
            self._scrubbing = False
            text, self._held = self._held, ""
            self._pass_on(text)

    def after_fork(self) -> None:
        """For the child of a fork: another thread of the parent may have been writing."""
        self._guard = threading.RLock()

    def _safe(self, text: str) -> int:
        """To where the text can be passed on whatever comes next."""
        spans = self._redactor.known.spans(text)
        after = max(spans[-1][1] if spans else 0, text.rfind("\n") + 1)
        begun = after + self._redactor.known.begun(text[after:])
        if begun < len(text):
            return begun
        last_word = len(text) - len(text.rstrip()) == 0 and text[after:].split()[-1:]
        return len(text) - min(SHORTEST - 1, len(last_word[0])) if last_word else len(text)

    def _pass_on(self, text: str) -> None:
        if text:
            self.stream.write(self._redactor.scrub(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)
