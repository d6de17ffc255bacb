"""Faults that the sandbox can be told to show, and which request gets which."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, get_type_hints

from pleo_connector.errors import ConfigurationError

TOKEN_PATH = "/oauth/token"  # noqa: S105 - a path

KINDS = ("status", "html", "truncated", "cut", "reset", "delay_before", "late", "delay_after", "hang")
_ALWAYS_AFTER = ("truncated", "cut", "delay_after")
_LOWEST_STATUS, _HIGHEST_STATUS = 400, 599


@dataclass(frozen=True, slots=True)
class Fault:
    """One way to misbehave.

    kind          what the client sees
      status        `status`, with `retry_after` as header when given, and a JSON body (with OAuth's `error` only if `error` is set)
      html          200 and an HTML page instead of JSON
      truncated     a complete answer whose JSON stops half way
      cut           the connection closes half way through the body
      reset         the connection is reset (RST) without an answer
      delay_before  `seconds` pass, then the request is handled
      late          the request is read, `seconds` pass, then it is handled, whether or not its client is still there
      delay_after   the request is handled, `seconds` pass, then the answer leaves
      hang          no answer until the client gives up
    path          only requests whose path starts so; with `$` at its end, only exactly this path
    times         only so many requests, then never again; None has no end
    after         the first so many requests go through
    probability   only this share of the requests, drawn from the sandbox's seed
    after_effect  the request is handled first, so a rotation is committed and its answer lost
    """

    kind: str
    path: str = "/"
    times: int | None = None
    after: int = 0
    probability: float = 1.0
    status: int = 500
    retry_after: int | None = None
    seconds: float = 1.0
    after_effect: bool = False
    error: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ConfigurationError(f"There is no fault {self.kind!r}; known faults: {', '.join(KINDS)}.")
        if not _LOWEST_STATUS <= self.status <= _HIGHEST_STATUS:
            raise ConfigurationError(f"A fault's status must be {_LOWEST_STATUS} to {_HIGHEST_STATUS}, not {self.status}.")
        if not 0 <= self.probability <= 1:
            raise ConfigurationError(f"A fault's probability must be 0 to 1, not {self.probability}.")
        if self.after < 0:
            raise ConfigurationError("A fault's after cannot be negative.")
        if self.seconds < 0 or (self.times is not None and self.times < 0) or (self.retry_after is not None and self.retry_after < 0):
            raise ConfigurationError("A fault's seconds, times and retry_after cannot be negative.")
        if not self.path.startswith("/"):
            raise ConfigurationError(f"A fault's path must start with '/', not {self.path!r}.")

    @property
    def effect_happens(self) -> bool:
        """True when the request is handled before the fault shows."""
        return self.after_effect or self.kind in _ALWAYS_AFTER

    def concerns(self, path: str) -> bool:
        """Whether a request to `path` may get this fault."""
        return path == self.path[:-1] if self.path.endswith("$") else path.startswith(self.path)

    @classmethod
    def from_mapping(cls, given: Mapping[str, Any]) -> Fault:
        """A fault from JSON; an unknown or mistyped field raises ConfigurationError."""
        hints = get_type_hints(cls)
        for name, value in given.items():
            if name not in hints:
                raise ConfigurationError(f"A fault has no field {name!r}; its fields: {', '.join(hints)}.")
            allowed = hints[name] if hints[name] is not float else float | int
            if not isinstance(value, allowed) or (isinstance(value, bool) and hints[name] is not bool):
                raise ConfigurationError(f"A fault's {name} cannot be {value!r}.")
        if "kind" not in given:
            raise ConfigurationError(f"A fault needs a kind: {', '.join(KINDS)}.")
        return cls(**given)

    @classmethod
    def from_text(cls, text: str) -> Fault:
        """A fault from a command line: `status,status=503,path=/v1/companies,times=2`."""
        kind, *rest = (part.strip() for part in text.split(","))
        given: dict[str, Any] = {"kind": kind}
        hints = get_type_hints(cls)
        for part in rest:
            name, equals, value = part.partition("=")
            if not equals:
                raise ConfigurationError(f"In fault {text!r}, {part!r} is not name=value.")
            given[name] = _typed(value, hints.get(name, str), text)
        return cls.from_mapping(given)

    def to_mapping(self) -> dict[str, Any]:
        """The fault as JSON."""
        return asdict(self)


def _typed(value: str, kind: Any, text: str) -> Any:
    try:
        if kind is bool:
            return {"true": True, "false": False}[value.lower()]
        if kind is float:
            return float(value)
        if kind in (int, int | None):
            return int(value)
    except (KeyError, ValueError):
        raise ConfigurationError(f"In fault {text!r}, {value!r} is not a value of that field.") from None
    return value


class FaultPlan:
    """The faults in force; `draw` decides for one request, in the order given, the first match wins."""

    def __init__(self, faults: Iterable[Fault], seed: int) -> None:
        self._random = random.Random(seed)  # noqa: S311 - repeatable on purpose
        self.set(faults)

    def set(self, faults: Iterable[Fault]) -> None:
        """Replace all faults; counts of `times` start again."""
        self._faults = tuple(faults)
        self._left = [fault.times for fault in self._faults]
        self._to_pass = [fault.after for fault in self._faults]

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults as they were set."""
        return self._faults

    def draw(self, path: str) -> Fault | None:
        """The fault for a request to `path`, or None."""
        for number, fault in enumerate(self._faults):
            left = self._left[number]
            if left == 0 or not fault.concerns(path):
                continue
            if self._to_pass[number]:
                self._to_pass[number] -= 1
                continue
            if fault.probability < 1 and self._random.random() >= fault.probability:
                continue
            if left is not None:
                self._left[number] = left - 1
            return fault
        return None
