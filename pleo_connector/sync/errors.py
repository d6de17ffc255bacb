"""Refusals of one stream for several companies: reported once, with the number of companies."""

from __future__ import annotations

from collections.abc import Mapping

from pleo_connector.errors import ApiError, Forbidden

REFUSALS = (ApiError, Forbidden)
"""What Pleo answers to every company alike: a status that no later try changes, and a permission that is missing."""


def folded(errors: Mapping[str | None, ApiError]) -> list[ApiError]:
    """The errors of all companies. Of each kind of refusal only the first stays; it says how many other companies have the same."""
    left = [error for error in errors.values() if type(error) not in REFUSALS]
    for kind in REFUSALS:
        same = [error for error in errors.values() if type(error) is kind]
        if len(same) < 2:  # noqa: PLR2004 - nothing to count
            left += same
            continue
        others = "1 other company" if len(same) == 2 else f"{len(same) - 1} other companies"  # noqa: PLR2004
        first, message = same[0], f"{same[0]} Pleo also refuses this for {others}."
        left.append(Forbidden(message, of_key=first.of_key) if isinstance(first, Forbidden) else ApiError(message))
    return left
