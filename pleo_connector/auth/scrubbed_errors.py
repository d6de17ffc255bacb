"""Exceptions without the secrets in their texts: a stand-in for a log record, or the very object made clean."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Iterator
from typing import Any

Scrub = Callable[[str], str]


def stand_in(error: BaseException, scrub: Scrub) -> BaseException:
    """The error itself when no secret is in its text; else one of the same name that says the same without, chained alike.

    The error is left as it is: it is the caller's.
    """
    told = as_text(error)
    return error if scrub(told) == told else _stand_in(error, scrub, {})


def scrub_in_place(error: BaseException | None, scrub_value: Callable[[Any], Any]) -> None:
    """Take the secrets out of an error, its causes and what it was raised during.

    For an error that another package is about to write down, and that nobody can be handed a stand-in of.
    Some classes cannot be changed (those that keep their text out of Python's sight): they stay.
    """
    for found in _chain(error):
        for name in ("args", *vars(found), "strerror", "filename", "filename2", "reason", "object", "doc"):
            with contextlib.suppress(Exception):
                before = getattr(found, name)
                if not isinstance(before, BaseException) and (after := scrub_value(before)) is not before:
                    setattr(found, name, after)


def as_text(error: BaseException) -> str:
    """All that anybody may print of an error."""
    try:
        return "".join(traceback.format_exception(error)) + repr(error)
    except Exception as failed:  # noqa: BLE001 - an error that cannot be printed must not end the caller
        return f"{type(error).__name__} cannot be shown ({type(failed).__name__})"


def _stand_in(error: BaseException, scrub: Scrub, made: dict[int, BaseException]) -> BaseException:
    if id(error) in made:
        return made[id(error)]
    kind = type(error)
    try:
        text = str(error)
    except Exception as failed:  # noqa: BLE001
        text = f"an error that cannot be shown ({type(failed).__name__})"
    clean: BaseException = type(kind.__name__, (Exception,), {"__module__": kind.__module__, "__qualname__": kind.__qualname__})(
        scrub(text)
    )
    made[id(error)] = clean
    clean.__traceback__ = error.__traceback__
    if error.__cause__ is not None:
        clean.__cause__ = _stand_in(error.__cause__, scrub, made)
    if error.__context__ is not None:
        clean.__context__ = _stand_in(error.__context__, scrub, made)
    clean.__suppress_context__ = error.__suppress_context__
    for note in getattr(error, "__notes__", ()):
        clean.add_note(scrub(str(note)))
    for inner in getattr(error, "exceptions", ()) if isinstance(error, BaseExceptionGroup) else ():
        clean.add_note(scrub(as_text(inner)))
    return clean


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    left = [error]
    while left:
        found = left.pop()
        if found is None or id(found) in seen:
            continue
        seen.add(id(found))
        yield found
        left += [found.__cause__, found.__context__]
        if isinstance(found, BaseExceptionGroup):
            left += found.exceptions
