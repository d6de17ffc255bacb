"""Pleo's own total against what was met: one more reading, then a warning with both numbers; and pages that do not behave."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from pleo_connector import sync
from pleo_connector.api import page_request
from pleo_connector.errors import BadAnswer, WalkStalled, WarehouseError
from pleo_connector.frames import Batch, Page
from pleo_connector.sync.counting import check_balance
from pleo_connector.sync.sweep import ServedPage, Sweep
from pleo_connector.warehouses import MergeCounts, Warehouse, open_warehouse
from tests.frames.records import ENTRIES, NOW, entry, load, raw
from tests.sync.answering import serving

COMPANY = "11111111-1111-4111-8111-111111111111"


def vendor(number: int) -> dict[str, Any]:
    return {"id": str(uuid.UUID(int=number, version=4)), "companyId": COMPANY, "name": f"Vendor {number}"}


Pages = Callable[[str | None], dict[str, Any]]
"""Cursor -> answer."""


class Pleo:
    """One company with vendors, served by a function; remembers the cursors that were asked for."""

    def __init__(self, pages: Pages) -> None:
        self.requests: list[str | None] = []
        self._pages = pages

    def __call__(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/v1/companies":
            return httpx.Response(200, json={"data": [{"id": COMPANY, "name": "One"}], "pagination": {"hasNextPage": False}})
        cursor = request.url.params.get("after")
        self.requests.append(cursor)
        return httpx.Response(200, json=self._pages(cursor))


def page(*numbers: int, total: int | None = None, after: str | None = None) -> dict[str, Any]:
    return {
        "data": [vendor(number) for number in numbers],
        "pagination": {"hasNextPage": after is not None, "endCursor": after or "E=", "total": total},
    }


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    return open_warehouse(f"duckdb:///{tmp_path / 'w.duckdb'}", "pleo")


def run(pleo: Pleo, warehouse: Warehouse) -> sync.StreamReport:
    with serving(pleo) as url:
        return sync.run(sync.SyncPlan(("vendors",)), sync.Connection(url, httpx.BasicAuth("k", "")), warehouse).streams["vendors"]


def test_a_total_that_lies_costs_one_more_reading_and_then_never_again(warehouse: Warehouse) -> None:
    pleo = Pleo(lambda _: page(1, 2, 3, total=5))
    first = run(pleo, warehouse)
    assert (pleo.requests, first.inserted, first.absent) == ([None, None], 3, 0)
    (warning,) = first.warnings
    assert "reported 5 rows for vendors" in warning and "served 3" in warning
    again = run(pleo, warehouse)
    assert (len(pleo.requests), again.unchanged) == (3, 3), "the same difference is known, and costs no second walk"
    assert "served 3" in again.warnings[0]
    pleo = Pleo(lambda _: page(1, 2, 3, total=4))
    assert len(run(pleo, warehouse).warnings) == 1
    assert len(pleo.requests) == 2, "another difference is looked at again"


def test_a_row_that_came_while_the_pages_were_read_is_met_the_second_time(warehouse: Warehouse) -> None:
    answers = iter([page(1, 3, total=2, after="A="), page(5, total=4), page(1, 2, after="A=", total=4), page(3, 5, total=4)])
    pleo = Pleo(lambda _: next(answers))
    report = run(pleo, warehouse)
    assert pleo.requests == [None, "A=", None, "A="]
    assert (report.inserted, report.warnings, report.error) == (4, [], None)


def test_a_key_on_two_pages_is_one_row_and_counts_once(warehouse: Warehouse) -> None:
    pleo = Pleo(lambda cursor: page(1, 2, total=3, after="A=") if cursor is None else page(2, 3, total=3))
    report = run(pleo, warehouse)
    assert (report.served, report.inserted, report.duplicates, report.warnings) == (4, 3, 1, [])
    assert pleo.requests == [None, "A="]


def test_as_many_records_as_reported_but_one_of_them_twice_is_read_again(warehouse: Warehouse) -> None:
    answers = iter([page(1, 2, total=4, after="A="), page(2, 3, total=4), page(1, 2, total=4, after="A="), page(3, 4, total=4)])
    report = run(Pleo(lambda _: next(answers)), warehouse)
    assert (report.inserted, report.warnings) == (4, [])


def test_an_empty_page_with_a_next_page_does_not_end_the_walk(warehouse: Warehouse) -> None:
    pages = {None: page(1, after="A=", total=2), "A=": page(after="B=", total=2), "B=": page(2, total=2)}
    pleo = Pleo(lambda cursor: pages[cursor])
    assert (run(pleo, warehouse).inserted, pleo.requests) == (2, [None, "A=", "B="])


@pytest.mark.parametrize(
    ("cursors", "expected"),
    [(["A=", "A="], [None, "A="]), (["A=", "B=", "C=", "A="], [None, "A=", "B=", "C="]), (["A=", "B=", "B="], [None, "A=", "B="])],
)
def test_a_cursor_that_comes_back_ends_the_walk_and_keeps_what_was_read(
    warehouse: Warehouse, cursors: list[str], expected: list[str | None]
) -> None:
    left = iter(enumerate(cursors, start=1))

    def pages(_: str | None) -> dict[str, Any]:
        number, cursor = next(left)
        return page(number, after=cursor)

    pleo = Pleo(pages)
    report = run(pleo, warehouse)
    assert isinstance(report.error, WalkStalled)
    assert (pleo.requests, report.inserted, report.absent) == (expected, len(cursors), 0)


def test_a_next_page_without_a_cursor_ends_the_walk(warehouse: Warehouse) -> None:
    pleo = Pleo(lambda _: {"data": [vendor(1)], "pagination": {"hasNextPage": True}})
    report = run(pleo, warehouse)
    assert isinstance(report.error, WalkStalled | BadAnswer)
    assert report.absent == 0


def test_records_that_do_not_add_up_are_never_committed() -> None:
    sweep = Sweep(ENTRIES, COMPANY, sweep_id="sweep-1")
    texts = tuple(raw(entry(number)) for number in range(3))
    batch = load(*texts)

    def served(*records: bytes) -> list[ServedPage]:
        request = page_request(ENTRIES, COMPANY)
        return [ServedPage(sweep, 1, None, Page(records), sha256="", request=request, body=b"", fetched_at=NOW, rows=len(records))]

    check_balance(batch, served(*texts), MergeCounts(inserted=2, unchanged=1))
    with pytest.raises(WarehouseError, match="2 reached the warehouse"):
        check_balance(batch, served(*texts), MergeCounts(inserted=2))
    with pytest.raises(WarehouseError, match="do not add up"):
        check_balance(batch, served(*texts, texts[0]), MergeCounts(inserted=3))
    other = Batch(
        batch.stream, {ENTRIES.name: batch.frames[ENTRIES.name].assign(_sweep_id="sweep-2")}, batch.quarantined, 3, 0, batch.drift
    )
    with pytest.raises(WarehouseError, match="do not add up"):
        check_balance(other, served(*texts), MergeCounts(inserted=3))
