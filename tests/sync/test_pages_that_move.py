"""Pleo changes while its pages are read, or answers what it should not: after that sweep and the next one, the table equals Pleo."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pleo_connector.sandbox import RunningSandbox
from tests.place import sandbox
from tests.sync.moving_pages import (
    CHANGES,
    MISLEADING,
    ORDERS,
    RECORDS,
    Misleading,
    applies,
    expected,
    misled,
    moving,
    outcome,
    sorted_by,
)

SORTS = [(name, sort_key) for name, keys in ORDERS.items() for sort_key in keys]
FAR = (-50_000, 60_000)
"""Ranks in other months."""


@pytest.fixture(scope="module")
def pleo() -> Iterator[RunningSandbox]:
    with sandbox() as running:
        yield running


ranks = st.integers(1, RECORDS).map(lambda number: number * 10)
edits = st.tuples(st.integers(1, 6), st.sampled_from(CHANGES), ranks, ranks | st.sampled_from(FAR))
"""Before which page, what, of which record, and where it moves to."""


def any_edits_between_any_pages(pleo: RunningSandbox, folder: Path, examples: int) -> None:
    """Whatever the order and the size of pages, and whether or not the records were read before."""

    @settings(max_examples=examples, suppress_health_check=[HealthCheck.too_slow])
    @given(st.sampled_from(SORTS), st.integers(1, 7), st.sampled_from(["known", "new"]), st.lists(edits, min_size=2, max_size=5))
    def check(order: tuple[str, str], limit: int, rows: str, planned: list[tuple[int, str, int, int]]) -> None:
        case = moving(pleo, sorted_by(*order, limit=limit), folder / f"{uuid.uuid4().hex}.duckdb")
        if rows == "known":
            assert case.read().error is None
        left = list(planned)

        def between(page: int) -> None:
            for edit in [edit for edit in left if edit[0] == page]:
                left.remove(edit)
                case.change(*edit[1:])

        assert case.read(between).error is None
        for edit in left:
            case.change(*edit[1:])
        assert case.read().error is None
        assert case.is_level()

    check()


def test_any_edits_between_any_pages(pleo: RunningSandbox, tmp_path: Path) -> None:
    any_edits_between_any_pages(pleo, tmp_path, examples=3)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_many_edits_between_any_pages(pleo: RunningSandbox, tmp_path: Path) -> None:
    any_edits_between_any_pages(pleo, tmp_path, examples=60)


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("order", SORTS, ids=" by ".join)
def test_each_change_before_and_after_the_cursor(pleo: RunningSandbox, tmp_path: Path, order: tuple[str, str]) -> None:
    for how, position in product(CHANGES, ("before", "after")):
        if applies(how, order[1]):
            case = moving(pleo, sorted_by(*order), tmp_path / f"{how}-{position}.duckdb")
            assert (how, position, outcome(case, how, position)) == (how, position, expected(how, position))


def is_slow(wrong: Misleading) -> bool:
    return not wrong.what.endswith("(400)")


@pytest.mark.parametrize("wrong", [pytest.param(one, id=one.what, marks=[pytest.mark.slow] if is_slow(one) else []) for one in MISLEADING])
def test_what_pleo_should_not_answer(pleo: RunningSandbox, tmp_path: Path, wrong: Misleading) -> None:
    assert misled(moving(pleo, sorted_by("receipts", "createdAt"), tmp_path / "w.duckdb"), wrong) == wrong.expected
