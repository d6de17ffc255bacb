"""PLEO_CATEGORIES: what a person may write in the file, what is refused, and that every warehouse takes it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

from pleo_connector.analytics import CATEGORIES, Category, categories_of, refresh
from pleo_connector.analytics.category_use import used_categories, write_template
from pleo_connector.catalogue import CATALOGUE
from pleo_connector.errors import ConfigurationError
from pleo_connector.sync.state import frame_of
from pleo_connector.warehouses import Warehouse, open_warehouse
from tests.analytics.books import COMPANY
from tests.warehouses.conftest import URLS

MEALS, CABS = "ca000000-0000-4000-8000-000000000001", "ca000000-0000-4000-8000-000000000002"


def read(folder: Path, content: str | bytes) -> tuple[Category, ...] | None:
    file = folder / "categories.csv"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return categories_of(str(file))


PLAIN = f"id,code,name\n{MEALS},7100,Café\n{CABS},,Cabs\n"


@pytest.mark.parametrize(
    "content",
    [
        PLAIN,
        PLAIN.replace("\n", "\r\n"),
        PLAIN.encode("utf-8-sig"),
        PLAIN.replace(",", ";"),
        PLAIN.replace(",", "\t"),
        PLAIN.replace("id,code,name", " ID , Code,NAME "),
        PLAIN.replace(MEALS, MEALS.upper()),
        PLAIN.replace(MEALS, f'"{MEALS}"'),
        PLAIN.replace(",Café", ",  Café  ") + "\n,,\n\n",
        PLAIN.replace("name\n", "name,entries,merchants\n") + 'ca000000-0000-4000-8000-000000000003,,,12,"Shop, Stall"\n',
    ],
    ids=["plain", "windows", "bom", "semicolons", "tabs", "header", "capitals", "quotes", "blanks", "template"],
)
def test_a_file_is_read_as_spreadsheets_write_it(tmp_path: Path, content: str | bytes) -> None:
    assert read(tmp_path, content) == (Category(MEALS, "7100", "Café"), Category(CABS, None, "Cabs"))


def test_columns_stand_in_any_order_and_names_may_hold_the_delimiter(tmp_path: Path) -> None:
    assert read(tmp_path, f'name;id;code\n"Meals; drinks";{MEALS};7100\n') == (Category(MEALS, "7100", "Meals; drinks"),)


def test_without_a_file_there_are_no_names_and_a_file_of_its_header_has_none() -> None:
    assert categories_of("") is None


def test_a_header_alone_takes_all_names_back(tmp_path: Path) -> None:
    assert read(tmp_path, "id,code,name\n") == ()


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("", "its first line has no column id and no column code and no column name; it must name id, code, name"),
        ("account,code,name\n", "its first line has no column id; it must name id, code, name"),
        (PLAIN + "7100,7100,Food\n", "line 4 has the id '7100', which is not a UUID such as entries have in account_id"),
        (PLAIN + ",7100,Food\n", "line 4 has the id '', which is not a UUID such as entries have in account_id"),
        (PLAIN + f"{MEALS.upper()},1,Again\n", f"the id {MEALS} is on line 2 and again on line 4; keep one of them"),
        (PLAIN + f"{MEALS[:-1]}9,1,Meals, drinks\n", "line 4 has 4 cells and the first line 3; a name with a ',' needs quotes"),
        (PLAIN.encode("cp1252"), "it is not UTF-8 text; save it as CSV UTF-8"),
        (PLAIN.encode("utf-16"), "it is not UTF-8 text; save it as CSV UTF-8"),
        (PLAIN.replace("é", "e").encode("utf-16-le"), "it is not UTF-8 text; save it as CSV UTF-8"),
        (PLAIN + f'{MEALS[:-1]}9,1,"Meals\n', "it is not CSV (unexpected end of data)"),
    ],
)
def test_a_wrong_file_is_refused_in_one_sentence(tmp_path: Path, content: str | bytes, reason: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read(tmp_path, content)
    assert str(caught.value) == f"The file {tmp_path / 'categories.csv'} that PLEO_CATEGORIES names cannot be used: {reason}."
    assert caught.value.exit_code == 2


def test_a_missing_file_says_how_to_get_one_and_a_folder_what_it_is(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"it does not exist; `pleo-connector categories --write .*none\.csv` makes a template"):
        categories_of(str(tmp_path / "none.csv"))
    with pytest.raises(ConfigurationError, match="cannot be used: Is a directory"):
        categories_of(str(tmp_path))


@pytest.fixture(params=["duckdb", "postgres", "iceberg"])
def warehouse(request: pytest.FixtureRequest, tmp_path: Path) -> Warehouse:
    return open_warehouse(URLS[request.param](tmp_path), "books")


def _add(warehouse: Warehouse, table: str, *rows: dict[str, Any]) -> None:
    declared = CATALOGUE.table(table)
    with warehouse.transaction() as transaction:
        transaction.ensure([declared])
        transaction.upsert(declared, frame_of(declared, rows))


def _entry(number: int, category: str | None) -> dict[str, Any]:
    amount = {"total_bill_value": None, "total_bill_value_currency": "EUR"}
    return {
        "id": f"f0000000-0000-4000-8000-{number:012d}", "company_id": COMPANY, "family": "CARD_PURCHASE", "status": "COMPLETED",
        "account_id": category, **amount,
    }  # fmt: skip


def test_every_warehouse_takes_the_file_and_follows_it(warehouse: Warehouse) -> None:
    def stored() -> list[dict[str, Any]]:
        with warehouse.transaction() as transaction:
            return sorted(transaction.read(CATEGORIES).to_pylist(), key=lambda row: str(row["id"]))

    meals, cabs = Category(MEALS, "7100", "Café"), Category(CABS, None, "Cabs")
    refresh(warehouse, categories=[meals, cabs])
    assert stored() == [{"id": MEALS, "code": "7100", "name": "Café"}, {"id": CABS, "code": None, "name": "Cabs"}]
    refresh(warehouse)
    assert len(stored()) == 2, "a run without the setting leaves the names as they are"
    refresh(warehouse, categories=[Category(MEALS, "7100", "Meals")])
    assert stored() == [{"id": MEALS, "code": "7100", "name": "Meals"}]
    refresh(warehouse, categories=[])
    assert stored() == []


def test_every_warehouse_lists_its_categories_with_the_merchants_of_the_nameless(warehouse: Warehouse, tmp_path: Path) -> None:
    _add(warehouse, "companies", {"id": COMPANY, "name": "Lindgren ApS"})
    _add(warehouse, "accounting_entries", *(_entry(number, MEALS if number < 4 else CABS) for number in range(6)), _entry(9, None))
    shops = {0: "=Café()", 1: "=Café()", 2: "Bar", 4: "Taxi"}
    items = [
        {"id": f"90000000-0000-4000-8000-{number:012d}", "accounting_entry_id": _entry(number, None)["id"], "supplier_name": name}
        for number, name in shops.items()
    ]
    _add(warehouse, "export_items", *items)
    found = used_categories(warehouse)
    assert [(one.id, one.named_by, one.nameless, one.entries, one.merchants) for one in found] == [
        (MEALS, None, True, 4, ("=Café()", "Bar")),
        (CABS, None, True, 2, ("Taxi",)),
    ]
    named = used_categories(warehouse, [Category(CABS, None, "Cabs")])
    assert [(one.id, one.name, one.named_by, one.nameless) for one in named] == [(MEALS, None, None, True), (CABS, "Cabs", "file", False)]

    template = tmp_path / "template.csv"
    write_template(template, [Category(CABS, None, "Cabs")], named[:1])
    assert template.read_bytes().startswith(b"\xef\xbb\xbf"), "a spreadsheet must see that it is UTF-8"
    with template.open(encoding="utf-8-sig", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert [(row["id"], row["name"], row["merchants"]) for row in rows] == [(CABS, "Cabs", ""), (MEALS, "", "'=Café(), Bar")]
    assert categories_of(str(template)) == (Category(CABS, None, "Cabs"),)
    with pytest.raises(ConfigurationError, match="exists already and is not overwritten"):
        write_template(template, [], [])
