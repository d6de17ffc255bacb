"""Marts over a few rows that can be added up by hand."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal

import pytest

from pleo_connector.catalogue.entry_values import COST_SUB_FAMILIES, FAMILIES, STATUSES, Kind
from tests.analytics.books import ANNA, BERLIN, COMPANY, FOOD, GROUP, PARIS, REDUCED, TRAVEL, Books


def exact(*amounts: str) -> Sequence[tuple[Decimal]]:
    return [(Decimal(amount),) for amount in amounts]


def test_spend_counts_purchases_and_leaves_movements_failures_and_deleted_entries_out(books: Books) -> None:
    kept = {books.entry("10.10"), books.entry("5.00", family="OUT_OF_POCKET"), books.entry("3.00", status="PENDING", settled_at=None)}
    books.entry("900.00", family="WALLET")
    books.entry("900.00", family="REIMBURSEMENT")
    books.entry("900.00", status="REJECTED")
    books.entry("900.00", _deleted_at="2026-03-12T00:00:00Z")
    assert books.entries_of("spend") == kept
    assert books.ask("SELECT spend FROM spend_by_month") == exact("18.1000")
    assert books.ask("SELECT entries, entries_without_amount FROM spend_by_month") == [(3, 0)]


def test_a_credit_note_lowers_the_spend_by_what_it_credits(books: Books) -> None:
    books.entry("1000.00", family="BILL_INVOICE")
    books.entry("-400.00", family="CREDIT_NOTE")
    assert books.ask("SELECT spend, entries FROM spend_by_month") == [(Decimal("600.0000"), 2)]
    assert books.ask("SELECT sum(amount) FROM spend") == exact("600.0000")


@pytest.mark.parametrize("family", FAMILIES)
def test_each_family_is_what_the_catalogue_says(books: Books, family: str) -> None:
    entry = books.entry("5.00", family=family)
    kind = FAMILIES[family][0]
    assert books.ask("SELECT kind FROM counted_entries") == [(kind,)]
    assert books.entries_of("spend") == ({entry} if kind is Kind.SPEND else set())
    assert books.entries_of("pleo_costs") == ({entry} if kind is Kind.COST else set())


@pytest.mark.parametrize("family", ["CHARITY_DONATION", "", None])
def test_a_family_that_nobody_knows_counts_as_spend(books: Books, family: str | None) -> None:
    entry = books.entry("7.00", family=family, export_status="QUEUED", review_status="NOT_SET", settled_at=None)
    assert books.ask("SELECT spend FROM spend_by_month") == exact("7.0000")
    for view in ("unexported_entries", "unreviewed_entries", "unsettled_entries", "missing_receipts"):
        assert books.entries_of(view) == {entry}, view


@pytest.mark.parametrize("sub_family", COST_SUB_FAMILIES)
@pytest.mark.parametrize("family", [family for family, (kind, _) in FAMILIES.items() if kind is Kind.MOVEMENT])
def test_a_fee_is_a_cost_whatever_movement_it_was_taken_with(books: Books, family: str, sub_family: str) -> None:
    entry = books.entry("5.00", family=family, sub_family=sub_family)
    assert books.entries_of("pleo_costs") == {entry}


def test_fees_and_interest_are_costs_of_pleo_and_cashback_lowers_them(books: Books) -> None:
    books.entry("100.00", family="PLEO_INVOICE")
    books.entry("9.00", family="OVERDRAFT", sub_family="INTEREST")
    books.entry("1.50", family="BALANCE_AMENDMENT", sub_family="FEE")
    books.entry("-3.00", family="CASHBACK")
    books.entry("500.00", family="BALANCE_AMENDMENT", sub_family="LOAD")
    books.entry("20.00", sub_family="FEE")  # a purchase stays one
    assert books.ask("SELECT sum(amount) FROM pleo_costs") == exact("107.5000")
    assert books.ask("SELECT sum(amount) FROM spend") == exact("20.0000")


@pytest.mark.parametrize("status", [*STATUSES, "ON_HOLD", None])
def test_entries_count_by_their_status(books: Books, status: str | None) -> None:
    entry = books.entry("5.00", status=status)
    counts = STATUSES.get(str(status), (True, ""))[0]
    assert books.entries_of("spend") == books.entries_of("counted_entries") == ({entry} if counts else set())


def test_a_state_that_nobody_knows_is_still_open(books: Books) -> None:
    entry = books.entry("5.00", review_status=None, export_status=None)
    other = books.entry("5.00", review_status="WAITING_FOR_THE_MOON", export_status="LOST")
    assert books.entries_of("unreviewed_entries") == books.entries_of("unexported_entries") == {entry, other}


def test_the_month_is_that_of_utc(books: Books) -> None:
    books.entry("1.00", performed_at="2026-03-31T23:30:00Z")
    books.entry("2.00", performed_at="2026-04-01T00:30:00Z")
    assert books.ask("SELECT CAST(month AS VARCHAR), spend FROM spend_by_month ORDER BY 1") == [
        ("2026-03-01", Decimal("1.0000")),
        ("2026-04-01", Decimal("2.0000")),
    ]


def test_a_split_entry_counts_once_in_each_of_its_categories(books: Books) -> None:
    entry = books.entry("30.00", account_id=TRAVEL)
    books.split(entry, 1, "20.00", account_id=TRAVEL, tax_code_id=REDUCED)
    books.split(entry, 2, "10.00", account_id=TRAVEL, account_code="7100")  # the code outranks the account
    assert books.ask("SELECT account_name, entries, spend FROM spend_by_category ORDER BY 1") == [
        ("Food", 1, Decimal("10.0000")),
        ("Travel", 1, Decimal("20.0000")),
    ]
    assert books.ask("SELECT tax_rate, spend FROM spend_by_tax_code WHERE tax_code = 'R'") == [(Decimal("0.07"), Decimal("20.0000"))]
    assert books.ask("SELECT entries, spend FROM spend_by_month") == [(1, Decimal("30.0000"))]


def test_a_part_without_an_amount_makes_its_entry_count_whole(books: Books) -> None:
    entry = books.entry("30.00", account_id=TRAVEL)
    books.split(entry, 1, "20.00", account_id=FOOD)
    books.split(entry, 2, None, account_id=FOOD)
    assert books.ask("SELECT account_name, spend FROM spend_by_category") == [("Travel", Decimal("30.0000"))]


def test_a_deleted_part_does_not_count(books: Books) -> None:
    entry = books.entry("30.00", account_id=TRAVEL)
    books.split(entry, 1, "30.00", account_id=FOOD, _deleted_at="2026-03-12T00:00:00Z")
    assert books.ask("SELECT account_name, spend FROM spend_by_category") == [("Travel", Decimal("30.0000"))]


def test_an_entry_without_an_amount_is_counted_and_told(books: Books) -> None:
    books.entry(None)
    assert books.ask("SELECT currency, entries, entries_without_amount, spend FROM spend_by_month") == [(None, 1, 1, None)]


def test_a_part_has_its_own_tags_or_those_of_its_entry(books: Books) -> None:
    entry = books.entry("30.00")
    books.split(entry, 1, "20.00")
    books.split(entry, 2, "10.00")
    books.add("accounting_entry_tags", accounting_entry_id=entry, position=1, tag_group_id=GROUP, tag_id=PARIS)
    books.add("accounting_entry_split_tags", accounting_entry_id=entry, split_position=1, position=1, tag_group_id=GROUP, tag_id=BERLIN)
    plain = books.entry("5.00")
    books.add("accounting_entry_tags", accounting_entry_id=plain, position=1, tag_group_id=GROUP, tag_id=None)
    assert books.ask("SELECT tag_group, tag, entries, spend FROM spend_by_tag ORDER BY tag") == [
        ("Office", "Berlin", 1, Decimal("20.0000")),
        ("Office", "Paris", 1, Decimal("10.0000")),
        ("Office", None, 1, Decimal("5.0000")),
    ]


def test_a_code_that_two_accounts_share_does_not_double_the_spend(books: Books) -> None:
    books.add("accounts", id="a0000000-0000-4000-8000-000000000009", company_id=COMPANY, code="7100", name="Catering")
    books.entry("8.00", account_code="7100")
    assert books.ask("SELECT account_name, spend FROM spend_by_category") == [("Catering", Decimal("8.0000"))]


def test_the_merchant_of_an_entry_comes_before_the_supplier_of_its_export_item(books: Books) -> None:
    both = books.entry("10.00", merchant_name="BOUWHAL 0412 UTRECHT", merchant_category_code="5200")
    item = books.entry("20.00")
    for entry in (both, item):
        books.add(
            "export_items",
            id=entry,
            accounting_entry_id=entry,
            company_id=COMPANY,
            supplier_name="Bouwhal",
            _synced_at="2026-03-20T00:00:00Z",
        )
    books.entry("40.00", merchant_name="Thaise Keuken")
    books.entry("80.00")
    assert books.ask("SELECT merchant, spend FROM spend_by_merchant ORDER BY spend") == [
        ("BOUWHAL 0412 UTRECHT", Decimal("10.0000")),
        ("Bouwhal", Decimal("20.0000")),
        ("Thaise Keuken", Decimal("40.0000")),
        (None, Decimal("80.0000")),
    ]


def test_merchants_and_team_names_come_from_the_newest_export_item(books: Books) -> None:
    team = "d0000000-0000-4000-8000-000000000001"
    entry = books.entry("8.00", team_id=team)
    other = books.entry("2.00", team_id=team)
    for number, (name, at) in enumerate([("Old Café", "2026-03-20T00:00:00Z"), ("Café", "2026-04-20T00:00:00Z")]):
        books.add(
            "export_items", id=f"90000000-0000-4000-8000-00000000000{number}", accounting_entry_id=entry, supplier_name=name,
            team_id=team, team_name="Sales", _synced_at=at,
        )  # fmt: skip
    assert books.ask("SELECT merchant, spend FROM spend_by_merchant ORDER BY merchant") == [
        ("Café", Decimal("8.0000")),
        (None, Decimal("2.0000")),
    ]
    assert books.ask("SELECT team_name, entries, spend FROM spend_by_team") == [("Sales", 2, Decimal("10.0000"))]
    assert {str(key) for (key,) in books.ask("SELECT entry_id FROM spend WHERE merchant IS NULL")} == {other}


@pytest.mark.parametrize("served", ["", " ", None])
def test_an_empty_merchant_is_none(books: Books, served: str | None) -> None:
    entry = books.entry("8.00", merchant_name=served)
    books.add("export_items", id="90000000-0000-4000-8000-000000000001", accounting_entry_id=entry, supplier_name="Trattoria")
    assert books.ask("SELECT merchant FROM spend") == [("Trattoria",)]


def test_a_spender_who_is_in_no_list_has_the_name_on_the_entry(books: Books) -> None:
    stranger = "e0000000-0000-4000-8000-000000000009"
    books.entry("1.00", employee_id=stranger, employee_first_name="Bo", employee_last_name="Ek")
    books.entry("2.00", employee_id=None, inline_employee_id=stranger, employee_first_name="Bo")
    books.entry("4.00", employee_first_name="Not", employee_last_name="Anna")
    assert books.ask("SELECT CAST(employee_id AS VARCHAR), employee_name FROM spend ORDER BY amount") == [
        (stranger, "Bo Ek"),
        (stranger, "Bo"),
        (ANNA, "Anna Holm"),
    ]


def test_spend_in_foreign_currency_keeps_both_amounts(books: Books) -> None:
    books.entry("10.00", transaction_value="1500", transaction_value_currency="ISK")
    assert books.ask("SELECT paid_currency, currency, paid, spend FROM spend_by_currency") == [
        ("ISK", "EUR", Decimal("1500.0000"), Decimal("10.0000"))
    ]


def test_what_is_open_is_listed_by_what_it_waits_for(books: Books) -> None:
    unreviewed = books.entry("1.00", review_status="WAITING_FOR_REVIEWER")
    unexported = books.entry("1.00", export_status="QUEUED")
    unsettled = books.entry("1.00", settled_at=None)
    books.entry("1.00", review_status="NOT_REQUIRED")
    books.entry("-1.00", family="CREDIT_NOTE", settled_at=None)
    assert books.entries_of("unreviewed_entries") == {unreviewed}
    assert books.entries_of("unexported_entries") == {unexported}
    assert books.entries_of("unsettled_entries") == {unsettled}
    (days,) = books.ask("SELECT DISTINCT days_open = date_diff('day', DATE '2026-03-10', current_date) FROM unsettled_entries")
    assert days == (True,)


def test_a_receipt_counts_however_pleo_links_it(books: Books) -> None:
    linked, attached, gone, none = (books.entry("1.00") for _ in range(4))
    books.entry("1.00", family="MILEAGE")
    receipt = "12000000-0000-4000-8000-00000000000"
    books.add("accounting_entry_receipts", accounting_entry_id=linked, position=1, receipt_id=f"{receipt}1")
    books.add("receipts", id=f"{receipt}2", accounting_entry_id=attached)
    books.add("receipts", id=f"{receipt}3", accounting_entry_id=gone, _deleted_at="2026-03-12T00:00:00Z")
    assert books.entries_of("missing_receipts") == {gone, none}


def test_live_views_hide_what_is_deleted_and_the_bookkeeping_of_the_connector(books: Books) -> None:
    kept = books.entry("1.00")
    books.entry("1.00", _deleted_at="2026-03-12T00:00:00Z")
    assert {str(key) for (key,) in books.ask("SELECT id FROM live_accounting_entries")} == {kept}
    columns = {name for name, *_ in books.ask("DESCRIBE live_accounting_entries")}
    assert "_synced_at" in columns
    assert not {"_deleted_at", "_deleted_source", "_row_hash", "_sweep_id", "_extra"} & columns
