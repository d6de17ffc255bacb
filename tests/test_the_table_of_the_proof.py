"""The table of docs/credentials-proof.md hides nothing: tests that were left out are counted, and say why."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from benchmarks.credentials import ROWS, Result, Row, _page, _results

ROOT = Path(__file__).parents[1]

KEPT = """<testsuites><testsuite>
<testcase classname="tests.auth.test_keeping_the_store_private" name="test_one"><properties>
<property name="seen" value="{&quot;refreshes&quot;: 3, &quot;reuse&quot;: 0}"/></properties></testcase>
<testcase classname="tests.auth.test_keeping_the_store_private" name="test_two"><skipped message="needs | another&#10;user">x</skipped></testcase>
<testcase classname="tests.auth.test_keeping_the_store_private" name="test_three"><failure message="x">x</failure></testcase>
</testsuite></testsuites>"""


def line(number: int, results: dict[str, Result], older: dict[int, str] | None = None) -> list[str]:
    (found,) = [line for line in _page(results, older or {}, {1, 2, 17, 20}).splitlines() if line.startswith(f"| {number} |")]
    return [cell.strip() for cell in found.replace("\\|", "/").split("|")[1:-1]]


def test_what_was_skipped_is_counted_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "20261128T090000000000.xml").write_text(KEPT)
    cells = line(20, _results(tmp_path))
    assert cells[2] == "1 of 3 passed, 1 skipped" and cells[3] == "2026-11-28"
    assert cells[5:7] == ["3", "0"] and cells[-1].startswith("**1 skipped: needs / another user**; **not run: ")


def test_a_test_that_nobody_ran_is_named() -> None:
    shown, other = ROWS[0].tests
    cells = line(1, {shown: Result(True, Counter(), 0.1, "2026-11-28")})
    assert cells[2] == "1 of 1 passed"
    assert cells[-1] == f"**1 of these 1 at 0.1 of the full count**; **not run: {other.partition('::')[2]}**"
    assert line(2, {})[2] == "not run" and line(2, {})[-1] == ""


def test_a_row_that_is_not_renewed_stays_as_it_is() -> None:
    ran = {ROWS[9].tests[0]: Result(True, Counter(), 1, "2026-11-28")}
    assert line(10, ran, {10: "| 10 | as it was |"}) == ["10", "as it was"]


def test_of_milliseconds_the_most_is_told() -> None:
    file = next(test for row in ROWS if row.number == 17 for test in row.tests)
    counts = [Counter(waiters=200, last_waiter_served_after_ms=each) for each in (1400, 300)]
    results = {f"{file}::test_{number}": Result(True, seen, 1, "2026-11-28") for number, seen in enumerate(counts)}
    assert line(17, results)[4] == "last waiter served after 1,400 ms, 400 waiters"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: str(row.number))
def test_each_row_names_tests_that_there_are(row: Row) -> None:
    for test in row.tests:
        file, _, name = test.partition("::")
        assert f"def {name}(" in (ROOT / file).read_text() if name else (ROOT / file).is_file(), test
