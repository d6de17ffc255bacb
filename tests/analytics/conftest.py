"""The books that tests of views write in."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from pleo_connector.analytics import refresh
from pleo_connector.warehouses import open_warehouse
from tests.analytics.books import ANNA, BERLIN, COMPANY, FOOD, GROUP, PARIS, REDUCED, TRAVEL, Books


@pytest.fixture(scope="session")
def empty_books(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tables and views without rows: to be copied, not written to."""
    file = tmp_path_factory.mktemp("books") / "rows.duckdb"
    refresh(open_warehouse(f"duckdb:///{file}", "pleo"))
    return file


@pytest.fixture
def books(tmp_path: Path, empty_books: Path) -> Iterator[Books]:
    made = Books(Path(shutil.copy(empty_books, tmp_path)))
    made.add("companies", id=COMPANY, name="Lindgren ApS")
    made.add("employees", id=ANNA, company_id=COMPANY, first_name="Anna", last_name="Holm")
    made.add("accounts", id=TRAVEL, company_id=COMPANY, code="7000", name="Travel")
    made.add("accounts", id=FOOD, company_id=COMPANY, code="7100", name="Food")
    made.add("tax_codes", id=REDUCED, company_id=COMPANY, code="R", name="Reduced", rate="0.07")
    made.add("tag_groups", id=GROUP, company_id=COMPANY, name="Office")
    made.add("tags", id=BERLIN, company_id=COMPANY, tag_group_id=GROUP, code="B", name="Berlin")
    made.add("tags", id=PARIS, company_id=COMPANY, tag_group_id=GROUP, code="P", name="Paris")
    yield made
    made.close()
