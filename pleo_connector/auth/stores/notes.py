"""Short texts beside a token store, which processes read and change in turn: the request budget is one.

They hold no secret, but have the privacy of the store that they lie beside.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")
Edit = Callable[[str | None, float], tuple[str, T]]
"""(text or None, time) -> (new text, what the caller wants to know)."""


class Notes(Protocol):
    """A text by name. A new kind is one file that passes `tests/auth/test_notes_beside_a_token_store.py`.

    Methods may raise TokenStoreUnavailable and TokenStoreCorrupt.
    """

    def change(self, name: str, edit: Edit[T]) -> T:
        """Replace the text by what `edit` makes of it, alone; it may be called again after a lost connection."""
        ...

    def read(self, name: str) -> tuple[str | None, float]:
        """The text, and the time by the one clock that all readers share. None: there is none, or it is from before a restart."""
        ...

    def close(self) -> None:
        """Let go of what was opened; it may be used again."""
        ...


class MemoryNotes:
    """Notes of one process, for tests."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._texts: dict[str, str] = {}
        self._guard = threading.Lock()

    def change(self, name: str, edit: Edit[T]) -> T:
        """Replace the text by what `edit` makes of it."""
        with self._guard:
            self._texts[name], told = edit(self._texts.get(name), self._clock())
            return told

    def read(self, name: str) -> tuple[str | None, float]:
        """The text, and the time."""
        with self._guard:
            return self._texts.get(name), self._clock()

    def close(self) -> None:
        """Nothing to let go of."""
