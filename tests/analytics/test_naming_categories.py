"""What a category is called: by the chart of accounts, else by export items, else by a person's file."""

from __future__ import annotations

from decimal import Decimal

import pytest

from tests.analytics.books import COMPANY, FOOD, TRAVEL, Books

MEALS, CABS = "ca000000-0000-4000-8000-000000000001", "ca000000-0000-4000-8000-000000000002"
OLD_JOB, NEW_JOB = "50000000-0000-4000-8000-000000000001", "50000000-0000-4000-8000-000000000002"


class Exports:
    """Writes export items with their lines."""

    def __init__(self, books: Books) -> None:
        self._books = books
        self._items = 0
        books.add("export_jobs", id=OLD_JOB, company_id=COMPANY, created_at="2026-03-01T00:00:00Z")
        books.add("export_jobs", id=NEW_JOB, company_id=COMPANY, created_at="2026-05-01T00:00:00Z")

    def item(
        self, entry: str, *accounts: tuple[str | None, str | None], job: str = OLD_JOB, splits: tuple[str, ...] = (), **values: str
    ) -> None:
        """An item of an entry, with a line for each account (code, name)."""
        self._items += 1
        key = f"90000000-0000-4000-8000-{self._items:012d}"
        self._books.add("export_items", id=key, accounting_entry_id=entry, export_job_id=job, **values)
        for place, (code, name) in enumerate(accounts):
            line = splits[place] if splits else f"91000000-0000-4000-8000-{self._items:06d}{place:06d}"
            self._books.add(
                "export_item_lines",
                export_item_id=key,
                position=place + 1,
                accounting_entry_line_id=line,
                account_code=code,
                account_name=name,
            )


@pytest.fixture
def exports(books: Books) -> Exports:
    return Exports(books)


def named(books: Books, category: str = MEALS) -> list[tuple[object, ...]]:
    return books.ask(f"SELECT account_code, account_name, named_by FROM category_names WHERE account_id = '{category}'")


def test_a_category_is_named_by_the_account_that_an_export_shows_with_it(books: Books, exports: Exports) -> None:
    exports.item(books.entry("10.00", account_id=MEALS), ("7100", "Food and drink"))
    books.entry("5.00", account_id=MEALS)  # never exported
    assert named(books) == [("7100", "Food and drink", "export items")]
    assert books.ask("SELECT account_code, account_name, spend, category_state FROM spend_by_category") == [
        ("7100", "Food and drink", Decimal("15.0000"), "named")
    ]


def test_the_newest_export_wins_and_in_it_the_account_of_most_lines(books: Books, exports: Exports) -> None:
    for name, job, times in [("Old", OLD_JOB, 5), ("Usual", NEW_JOB, 2), ("Exception", NEW_JOB, 1)]:
        for _ in range(times):
            exports.item(books.entry("1.00", account_id=MEALS), ("7100", name), job=job)
    assert named(books) == [("7100", "Usual", "export items")]


def test_of_as_many_lines_those_of_the_newest_entry_win(books: Books, exports: Exports) -> None:
    for name, day in [("First", "2026-03-01"), ("Last", "2026-03-03"), ("Second", "2026-03-02")]:
        exports.item(books.entry("1.00", account_id=MEALS), ("7100", name), booked_at=f"{day}T00:00:00Z")
    assert named(books) == [("7100", "Last", "export items")]


def test_items_of_jobs_that_were_not_read_are_as_new_as_their_sync(books: Books, exports: Exports) -> None:
    for name, number, day in [("Old", 9, "2026-04-01"), ("New", 8, "2026-04-20"), ("Older", 7, "2026-03-01")]:
        job = f"50000000-0000-4000-8000-00000000000{number}"
        exports.item(books.entry("1.00", account_id=MEALS), ("7100", name), job=job, _synced_at=f"{day}T00:00:00Z")
    assert named(books) == [("7100", "New", "export items")]


def test_lines_of_several_accounts_say_nothing_of_the_category_of_an_entry_without_splits(books: Books, exports: Exports) -> None:
    exports.item(books.entry("1.00", account_id=MEALS), ("7100", "Food"), ("7200", "Cabs"), job=NEW_JOB)
    assert named(books) == []
    exports.item(books.entry("1.00", account_id=MEALS), ("7100", "Food"), ("7100", "Food"))
    assert named(books) == [("7100", "Food", "export items")]


def test_lines_without_an_account_say_nothing(books: Books, exports: Exports) -> None:
    exports.item(books.entry("1.00", account_id=MEALS), (None, None))
    exports.item(books.entry("1.00", account_id=MEALS), ("7100", "Food"), (None, None))
    assert named(books) == []


def test_a_split_learns_from_its_own_line(books: Books, exports: Exports) -> None:
    entry = books.entry("30.00", account_id=TRAVEL)
    parts = tuple(f"5b000000-0000-4000-8000-{number:012d}" for number in (1, 2))
    books.split(entry, 1, "20.00", id=parts[0], account_id=MEALS)
    books.split(entry, 2, "10.00", id=parts[1], account_id=CABS)
    exports.item(entry, ("7100", "Food"), ("7200", "Cabs"), splits=parts)
    assert (named(books), named(books, CABS)) == ([("7100", "Food", "export items")], [("7200", "Cabs", "export items")])


def test_a_line_booked_to_a_code_of_the_entrys_own_says_nothing_of_its_category(books: Books, exports: Exports) -> None:
    exports.item(books.entry("1.00", account_id=MEALS, account_code="9999"), ("9999", "Suspense"))
    assert named(books) == []


def test_the_chart_of_accounts_outranks_exports_and_both_the_file(books: Books, exports: Exports) -> None:
    exports.item(books.entry("1.00", account_id=TRAVEL), ("1", "Something else"))
    exports.item(books.entry("1.00", account_id=MEALS), ("7100", "Food"))
    for category in (TRAVEL, MEALS, CABS):
        books.add("_categories", id=category, code="9", name="By hand")
    assert named(books, TRAVEL) == [("7000", "Travel", "chart of accounts")]
    assert named(books, MEALS) == [("7100", "Food", "export items")]
    assert named(books, CABS) == [("9", "By hand", "file")]


def test_no_category_an_unknown_name_and_two_unknown_names_are_never_one_row(books: Books) -> None:
    books.entry("1.00")
    books.entry("2.00", account_id=MEALS)
    books.entry("4.00", account_id=CABS)
    books.entry("8.00", account_id=FOOD)
    books.entry("16.00", account_code="8000")  # a number is known, if no name
    assert books.ask("SELECT category_state, CAST(account_id AS VARCHAR), account_code, spend FROM spend_by_category ORDER BY spend") == [
        ("none chosen", None, None, Decimal("1.0000")),
        ("name unknown", MEALS, None, Decimal("2.0000")),
        ("name unknown", CABS, None, Decimal("4.0000")),
        ("named", None, "7100", Decimal("8.0000")),
        ("named", None, "8000", Decimal("16.0000")),
    ]
    assert books.ask("SELECT CAST(account_id AS VARCHAR) FROM spend WHERE amount = 2") == [(MEALS,)]


def test_two_categories_that_are_booked_to_one_account_are_one_row(books: Books) -> None:
    for category in (MEALS, CABS):
        books.add("_categories", id=category, code="7200", name="On the road")
        books.entry("3.00", account_id=category)
    assert books.ask("SELECT account_name, account_id, spend FROM spend_by_category") == [("On the road", None, Decimal("6.0000"))]
