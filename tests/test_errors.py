from __future__ import annotations

import re

import pytest

from pleo_connector import errors
from pleo_connector.errors import ApiError, ConfigurationError, PleoError, RateLimited, ReauthRequired, SyncFailed


def drawn_tree() -> dict[str, str | None]:
    """Class -> its parent, as the docstring of errors.py draws it."""
    parents: dict[str, str | None] = {}
    above: list[str] = []
    for line in (errors.__doc__ or "").splitlines():
        found = re.match(r"    ((?:[│ ]   )*)(?:[├└]── )?([A-Z]\w+) {2,}\S", line)
        if found:
            depth = len(found[1]) // 4 + ("── " in line)
            above[depth:] = [found[2]]
            parents[found[2]] = above[depth - 1] if depth else None
    return parents


def test_the_tree_in_the_docstring_is_the_tree_of_classes() -> None:
    classes = [thing for thing in vars(errors).values() if isinstance(thing, type) and issubclass(thing, PleoError)]
    assert drawn_tree() == {kind.__name__: None if kind is PleoError else kind.__bases__[0].__name__ for kind in classes}
    assert PleoError.__bases__ == (Exception,)


def test_exit_codes() -> None:
    assert PleoError("x").exit_code == ApiError("x").exit_code == 1
    assert ConfigurationError("x").exit_code == 2
    assert ReauthRequired("x").exit_code == 3


@pytest.mark.parametrize("kind", sorted(set(drawn_tree()) - {"SyncFailed", "RateLimited"}))
def test_every_error_is_made_from_its_message_and_says_what_it_is(kind: str) -> None:
    error = getattr(errors, kind)("tags: no answer")
    assert str(error) == "tags: no answer"
    assert (type(error).__doc__ or "").strip().endswith(".")


def test_a_rate_limit_carries_the_wait() -> None:
    assert RateLimited("wait", 12.5).retry_after == 12.5
    assert RateLimited("wait").retry_after is None


def test_a_failed_sync_names_each_failed_stream_and_ends_with_the_most_urgent_code() -> None:
    failed = SyncFailed({"tags": ApiError("Pleo answered 500."), "vendors": ReauthRequired("Run connect.")})
    assert str(failed) == "2 of the streams failed. tags: Pleo answered 500.; vendors: Run connect."
    assert failed.exit_code == 3
    assert SyncFailed({"tags": ApiError("x")}).exit_code == 1
