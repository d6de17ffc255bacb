"""What a sensor remembers from one evaluation to the next: a flat dataclass as its cursor's text."""

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

M = TypeVar("M", bound="DataclassInstance")


def remembered(memory: type[M], cursor: str | None) -> M:
    """What an earlier evaluation wrote; a fresh memory for text that is none of ours."""
    try:
        return memory(**json.loads(cursor or "{}"))
    except (TypeError, ValueError):
        return memory()


def cursor_of(memory: "DataclassInstance") -> str:
    """The memory as text; the same text for the same memory."""
    return json.dumps(asdict(memory), sort_keys=True)
