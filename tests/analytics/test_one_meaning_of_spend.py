"""README, docs and the demo say of spend what the view says; their queries run as they are written."""

from __future__ import annotations

import itertools
import re
import runpy
import shutil
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pleo_connector.analytics import refresh
from pleo_connector.catalogue import CATALOGUE
from pleo_connector.cli import demo_summary
from pleo_connector.sync.receipt_table import RECEIPT_FILES
from pleo_connector.sync.state_tables import SWEEPS
from pleo_connector.warehouses import open_warehouse
from tests.analytics.books import COMPANY, TRAVEL, Books

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
QUERIES = [
    pytest.param(query, id=f"{page.name}-{number}")
    for page in PAGES
    for number, query in enumerate(re.findall(r"```sql\n(\s*SELECT.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))
]
ENTRIES = CATALOGUE.stream("accounting_entries").tables()


def section(page: str, name: str) -> str:
    return (ROOT / page).read_text(encoding="utf-8").partition(f"<!-- {name} -->")[2].partition(f"<!-- /{name} -->")[0].strip()


@pytest.fixture(scope="module")
def viewed(sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[duckdb.DuckDBPyConnection]:
    """The sample data, and the views over them."""
    file = shutil.copy(sample, tmp_path_factory.mktemp("viewed"))
    refresh(open_warehouse(f"duckdb:///{file}", "pleo"))
    with duckdb.connect(str(file), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection


def test_the_figures_in_the_readme_are_those_of_the_view(viewed: duckdb.DuckDBPyConnection) -> None:
    months = re.findall(r"^(\d{4}-\d\d) +([A-Z]{3}) +([\d,]+) +(-?[\d,.]+)$", section("README.md", "demo"), re.MULTILINE)
    printed = [(month, currency, int(count.replace(",", "")), Decimal(total.replace(",", ""))) for month, currency, count, total in months]
    shown = viewed.execute(
        "SELECT strftime(month, '%Y-%m'), currency, count(DISTINCT entry_id), round(sum(amount), 2) FROM pleo.spend "
        "WHERE currency IS NOT NULL AND month IN (SELECT DISTINCT month FROM pleo.spend ORDER BY month DESC LIMIT 3) "
        "GROUP BY ALL ORDER BY 1 DESC, 2"
    ).fetchall()
    assert printed == shown, "run scripts/figures"
    counts = dict(re.findall(r"^(\w+) +([\d,]+)$", section("README.md", "demo"), re.MULTILINE))
    for table in (*ENTRIES, CATALOGUE.table("companies")):
        rows = viewed.execute(f"SELECT count(*) FROM pleo.{table.name} WHERE _deleted_at IS NULL").fetchall()
        assert rows == [(int(counts[table.name].replace(",", "")),)], "run scripts/figures"


def test_the_demos_summary_reads_the_view(viewed: duckdb.DuckDBPyConnection) -> None:
    result = viewed.execute(demo_summary._SPEND.format(schema="pleo")).fetchall()
    view = (
        "SELECT strftime(month, '%Y-%m') AS m, currency, count(DISTINCT entry_id), sum(amount) FROM pleo.spend WHERE currency IS NOT NULL"
    )
    assert result == viewed.execute(f"{view} GROUP BY ALL ORDER BY m DESC, currency").fetchall()


def test_the_families_on_the_page_are_those_of_the_catalogue() -> None:
    assert section("docs/spend.md", "families") == runpy.run_path(str(ROOT / "scripts" / "figures"))["families_section"](), (
        "run scripts/figures"
    )


@pytest.fixture
def kept(books: Books) -> tuple[Books, Any]:
    """Books whose entries keep their history from `keep()` on."""

    def keep() -> None:
        books.close()
        with open_warehouse(f"duckdb:///{books.file}", "pleo").transaction() as transaction:
            transaction.ensure([*CATALOGUE.tables(), RECEIPT_FILES, SWEEPS])
            for stream in CATALOGUE:
                if stream.name in ("accounting_entries", "receipts"):
                    transaction.keep_history(stream.tables())
        books.open()

    return books, keep


def test_the_closing_query_gives_the_spend_of_the_view(kept: tuple[Books, Any]) -> None:
    books, keep = kept
    for amount, more in [
        ("100.00", {}), ("-30.00", {"family": "CREDIT_NOTE"}), ("7.00", {"family": "CHARITY_DONATION"}), ("5.00", {"family": "MILEAGE"}),
        ("900.00", {"family": "WALLET"}), ("900.00", {"family": "PLEO_INVOICE"}), ("900.00", {"family": "BILL_INVOICE_PAYMENT"}),
        ("900.00", {"family": "REIMBURSEMENT"}), ("900.00", {"family": "OVERDRAFT"}), ("900.00", {"family": "CASHBACK"}),
        ("900.00", {"family": "BALANCE_AMENDMENT"}), ("900.00", {"status": "CANCELLED"}), ("900.00", {"status": "REJECTED"}),
        ("900.00", {"status": "ERROR"}), ("900.00", {"status": "DRAFT"}), ("900.00", {"_deleted_at": "2026-11-03T00:00:00Z"}), (None, {}),
    ]:  # fmt: skip
        books.entry(amount, performed_at="2026-10-31T23:30:00Z", **more)
    books.entry("900.00", performed_at="2026-11-01T00:00:00Z")
    split = books.entry("20.00", performed_at="2026-10-01T00:00:00Z")
    books.split(split, 1, "15.00")
    books.split(split, 2, "5.00")
    keep()
    page = (ROOT / "docs" / "history.md").read_text(encoding="utf-8")
    (query,) = re.findall(r"```sql\n(SELECT total_bill_value_currency.*?)```", page, re.DOTALL)
    ours = query.replace("2026-11-05 18:00:00+00", "2999-01-01 00:00:00+00")
    october = "SELECT currency, spend FROM spend_by_month WHERE month = '2026-10-01' AND currency IS NOT NULL"
    assert books.ask(ours) == books.ask(october) == [("EUR", Decimal("102.0000"))]


@pytest.mark.parametrize("query", QUERIES)
def test_every_query_on_a_page_runs(kept: tuple[Books, Any], query: str) -> None:
    books, keep = kept
    keep()
    books.ask(query)


def test_the_query_over_a_scan_of_iceberg_names_columns_that_are_there(books: Books) -> None:
    page = (ROOT / "docs" / "warehouses.md").read_text(encoding="utf-8")
    (query,) = re.findall(r'duckdb\.sql\("(.*?)"\)', page)
    books.ask(query.replace("FROM entries", "FROM accounting_entries"))


SUMS = ("month", "team", "employee", "category", "tax_code", "merchant", "currency")


def test_every_sum_is_the_same_and_the_kinds_make_the_whole(books: Books) -> None:
    families = ("CARD_PURCHASE", "CREDIT_NOTE", "NOVELTY", None, "WALLET", "CASHBACK")
    categories = (None, TRAVEL, "ca000000-0000-4000-8000-000000000001", "ca000000-0000-4000-8000-000000000002")
    amounts = itertools.cycle((("100.00", "EUR"), ("-30.00", "EUR"), ("7.50", "DKK"), (None, None)))
    for number, (family, category, code, is_split) in enumerate(itertools.product(families, categories, (None, "7100"), (False, True))):
        amount, currency = next(amounts)
        worth = {"total_bill_value_currency": currency, "merchant_name": (None, "", "Shop")[number % 3]}
        entry = books.entry(amount, family=family, account_id=category, account_code=code, **worth)
        for copy in range(number % 3):  # exported again and again
            key = f"90000000-0000-4000-8000-{number:06d}{copy:06d}"
            books.add("export_items", id=key, accounting_entry_id=entry, company_id=COMPANY, supplier_name=f"Supplier {copy}")
        if is_split and amount is not None:
            for position, part in enumerate((Decimal(1), Decimal(amount) - 1), 1):
                books.split(entry, position, str(part), account_id=categories[(number + position) % 4])
            books.ask(f"UPDATE accounting_entry_splits SET total_bill_value_currency = '{currency}' WHERE accounting_entry_id = '{entry}'")
    spend = books.ask("SELECT currency, sum(amount) FROM counted_entries WHERE kind = 'spend' GROUP BY 1 ORDER BY 1")
    assert len(spend) == 3
    for by in SUMS:
        assert books.ask(f"SELECT currency, sum(spend) FROM spend_by_{by} GROUP BY 1 ORDER BY 1") == spend, by
    whole = "SELECT total_bill_value_currency, sum(total_bill_value) FROM accounting_entries GROUP BY 1 ORDER BY 1"
    assert books.ask("SELECT currency, sum(amount) FROM counted_entries GROUP BY 1 ORDER BY 1") == books.ask(whole)
    assert books.ask("SELECT sum(amount) FROM pleo_costs") == books.ask("SELECT sum(amount) FROM counted_entries WHERE kind = 'cost'")
