"""The secrets that are alive in this process, in all their forms, and where a text holds one.

Forms are found by their first characters, so the time that a text takes does not grow with the number of secrets:
a process that serves hundreds of connections logs as fast as one that serves one.
"""

from __future__ import annotations

import base64
import json
import os
import re
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterator
from urllib.parse import quote, quote_plus

SHORTEST = 6
"""Shorter values would blank out ordinary words."""

_KEPT_OF_EACH = 16  # values of one connection: the last eight pairs; what was rotated away before is dead
_KEPT_UNNAMED = 256  # codes, states, cookies, tokens of nobody yet: each is alive for minutes


class KnownSecrets:
    """Which secrets there are: lasting ones, and for each owner the newest of its passing ones.

    Thread safe. Looking takes no lock, because a look may come at any moment: from a signal handler, from a destructor.
    """

    def __init__(self) -> None:
        self._lasting: set[str] = set()
        self._passing: dict[str, OrderedDict[str, list[str]]] = {}
        self._holders: Counter[str] = Counter()
        self._by_start: dict[str, dict[int, set[str]]] = {}
        self._shortest = 1_000
        self._long_word = re.compile(r"[^\s\"]{1000,}")
        self._spaced = False
        self._guard = threading.Lock()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._after_fork)

    def _after_fork(self) -> None:
        self._guard = threading.Lock()  # the parent's may be held by a thread that the child does not have

    def keep_always(self, value: str) -> None:
        """Know a value, in all forms, for as long as the process lives."""
        if len(value) >= SHORTEST:
            self.keep_forms(*forms_of(value))

    def keep_forms(self, *forms: str) -> None:
        """Know these forms, and no others, for as long as the process lives."""
        with self._guard:
            for form in forms:
                if len(form) >= SHORTEST and form not in self._lasting:
                    self._lasting.add(form)
                    self._take(form)

    def keep_for_now(self, value: str, owner: str) -> None:
        """Know a value, in all forms, until so many newer ones of the same owner (a connection; empty: nobody) were told."""
        if len(value) < SHORTEST:
            return
        with self._guard:
            values = self._passing.setdefault(owner, OrderedDict())
            if value not in values:
                values[value] = forms_of(value)
                for form in values[value]:
                    self._take(form)
            values.move_to_end(value)
            while len(values) > (_KEPT_OF_EACH if owner else _KEPT_UNNAMED):
                for form in values.popitem(last=False)[1]:
                    self._drop(form)

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Where the text holds secrets: from and to, in order, overlapping ones as one."""
        found: list[tuple[int, int]] = []
        starts, shortest = self._by_start, self._shortest
        for first, last in self._runs(text):
            for at in range(first, last - shortest + 1):
                lengths = starts.get(text[at : at + SHORTEST])
                if lengths and (end := _longest(text, at, lengths)):
                    if found and at < found[-1][1]:
                        found[-1] = (found[-1][0], max(found[-1][1], end))
                    else:
                        found.append((at, end))
        return found

    def begun(self, text: str) -> int:
        """From where the text's end is the beginning of a secret that may go on in the next text; its length when nowhere."""
        for at in range(len(text) - SHORTEST + 1):
            rest = text[at:]
            lengths = self._by_start.get(rest[:SHORTEST], {})
            if any(form.startswith(rest) for length, forms in list(lengths.items()) if length > len(rest) for form in list(forms)):
                return at
        return len(text)

    def _runs(self, text: str) -> Iterator[tuple[int, int]]:
        # A secret is one long word as a rule, without quotes: words too short for any of them make up most of a text, and are passed over.
        if self._spaced:
            yield 0, len(text)
        else:
            yield from (run.span() for run in self._long_word.finditer(text))

    def _take(self, form: str) -> None:
        if len(form) < self._shortest:
            self._shortest = len(form)
            self._long_word = re.compile(rf"[^\s\"]{{{len(form)},}}")
        self._spaced = self._spaced or re.search(r"[\s\"]", form) is not None
        self._holders[form] += 1
        if self._holders[form] == 1:
            self._by_start.setdefault(form[:SHORTEST], {}).setdefault(len(form), set()).add(form)

    def _drop(self, form: str) -> None:
        self._holders[form] -= 1
        if not self._holders[form]:
            del self._holders[form]
            lengths = self._by_start[form[:SHORTEST]]
            lengths[len(form)].discard(form)
            if not lengths[len(form)]:
                del lengths[len(form)]
            if not lengths:
                del self._by_start[form[:SHORTEST]]


def _longest(text: str, at: int, lengths: dict[int, set[str]]) -> int:
    # By length, because tokens often begin alike (a JWT's first part is the same in all of them).
    for length in sorted(list(lengths), reverse=True):  # noqa: C414 - a copy that another thread's change does not disturb
        if text[at : at + length] in lengths.get(length, ()):
            return at + length
    return 0


def forms_of(value: str) -> list[str]:
    """A value as it is, URL-encoded (both ways), base64 (both alphabets, with and without padding), and as JSON and repr write it."""
    standard, url_safe = base64.b64encode(value.encode()).decode(), base64.urlsafe_b64encode(value.encode()).decode()
    forms = [value, quote(value, safe=""), quote_plus(value), standard, url_safe, standard.rstrip("="), url_safe.rstrip("=")]
    return list(dict.fromkeys([*forms, json.dumps(value)[1:-1], repr(value)[1:-1]]))
