"""A value that must not be seen: every way of printing it gives `***`."""

from __future__ import annotations

import hmac
from typing import NoReturn, Self

HIDDEN = "***"


class Secret:
    """One secret string; only `reveal()` gives it, everything else gives `***`.

    It is not a `str`, so `json.dumps` refuses it (and gives `***` with `default=str`), and
    pickling keeps only `***`: a secret cannot travel to another process by accident.
    """

    __slots__ = ("_value",)

    def __init__(self, value: str) -> None:
        object.__setattr__(self, "_value", value)

    def reveal(self) -> str:
        """The secret itself; call it only where it goes on the wire or into the sealed store."""
        value: str = object.__getattribute__(self, "_value")
        return value

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("a Secret cannot be changed")

    def __repr__(self) -> str:
        return f"Secret({HIDDEN!r})"

    def __str__(self) -> str:
        return HIDDEN

    def __format__(self, spec: str) -> str:
        return format(HIDDEN, spec)

    def __bool__(self) -> bool:
        return bool(self.reveal())

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.reveal().encode(), other.reveal().encode())

    def __hash__(self) -> int:
        return hash(("Secret", self.reveal()))

    def __reduce__(self) -> tuple[type[Secret], tuple[str]]:
        return (Secret, (HIDDEN,))

    def __copy__(self) -> Self:
        return self

    def __deepcopy__(self, memo: object) -> Self:
        return self
