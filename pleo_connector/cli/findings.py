"""What a check of `doctor` found: one line each, ok, warn or fail, with what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How bad it is."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of `doctor`; `advice` is empty when all is well."""

    check: str
    verdict: Verdict
    found: str
    advice: str = ""


def fine(check: str, found: str) -> Finding:
    """All is well."""
    return Finding(check, Verdict.OK, found)


def worth_a_look(check: str, found: str, advice: str = "") -> Finding:
    """It works, but may not tomorrow."""
    return Finding(check, Verdict.WARN, found, advice)


def wrong(check: str, found: str, advice: str = "") -> Finding:
    """A sync would fail."""
    return Finding(check, Verdict.FAIL, found, advice)
