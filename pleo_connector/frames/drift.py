"""How served records differ from their declaration, and what to do about it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

EXAMPLES = 3
"""Ids kept per finding."""


@dataclass(frozen=True, slots=True)
class Finding:
    """How many values showed it, and the keys of up to three records that did (never values)."""

    count: int
    examples: tuple[str, ...] = ()

    def __add__(self, other: Finding) -> Finding:
        ids = dict.fromkeys((*self.examples, *other.examples))
        return Finding(self.count + other.count, tuple(ids)[:EXAMPLES])


Findings = Mapping[str, Finding]


@dataclass(frozen=True, slots=True)
class Drift:
    """Findings by kind, each by field path as Pleo names it; `[]` in a path stands for a list's elements.

    `unseen_values` and `unknown_currencies` are keyed `path=value`. An empty drift is falsy.
    """

    unknown_fields: Findings = field(default_factory=dict)
    unseen_values: Findings = field(default_factory=dict)
    missing_required: Findings = field(default_factory=dict)
    type_changes: Findings = field(default_factory=dict)
    impossible_values: Findings = field(default_factory=dict)
    unknown_currencies: Findings = field(default_factory=dict)

    def __bool__(self) -> bool:
        return any(getattr(self, kind.name) for kind in fields(self))

    def __add__(self, other: Drift) -> Drift:
        merged: dict[str, dict[str, Finding]] = {}
        for kind in fields(self):
            mine: dict[str, Finding] = dict(getattr(self, kind.name))
            for path, finding in getattr(other, kind.name).items():
                mine[path] = mine[path] + finding if path in mine else finding
            merged[kind.name] = mine
        return Drift(**merged)

    def as_json(self) -> dict[str, dict[str, dict[str, object]]]:
        """Plain dicts and lists, kinds without findings left out."""
        return {
            kind.name: {
                path: {"count": finding.count, "examples": list(finding.examples)} for path, finding in getattr(self, kind.name).items()
            }
            for kind in fields(self)
            if getattr(self, kind.name)
        }

    @property
    def breaks_declaration(self) -> bool:
        """Whether `freeze` stops here: unseen values and missing ones alone do not."""
        return bool(self.unknown_fields or self.type_changes or self.impossible_values)

    def sentence(self) -> str:
        """The findings that break the declaration, as one readable clause."""
        parts = [
            f"{kind} " + ", ".join(f"{path} ({finding.count:,} times{_like(finding)})" for path, finding in sorted(findings.items()))
            for kind, findings in (
                ("unknown fields", self.unknown_fields),
                ("changed types in", self.type_changes),
                ("impossible values in", self.impossible_values),
            )
            if findings
        ]
        return "; ".join(parts)


def _like(finding: Finding) -> str:
    return f", for example in {finding.examples[0]}" if finding.examples else ""
