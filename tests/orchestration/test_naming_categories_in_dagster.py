"""The file that PLEO_CATEGORIES names, in runs of Dagster: with views and without."""

from __future__ import annotations

from pathlib import Path

import pytest

from pleo_connector.analytics import CATEGORIES
from pleo_connector.warehouses import open_warehouse
from tests.orchestration.place import Place, failure

MEALS = "ca000000-0000-4000-8000-000000000001"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    made = tmp_path / "categories.csv"
    made.write_text(f"id,code,name\n{MEALS},7100,Meals\n")
    return made


@pytest.mark.parametrize("warehouse", ["duckdb:///{folder}/w.duckdb", "iceberg:///{folder}/lake"])
def test_a_sync_takes_the_names_along(place: Place, file: Path, warehouse: str) -> None:
    url = warehouse.format(folder=place.folder)
    assert place.run(["companies"], overrides={"PLEO_WAREHOUSE": url, "PLEO_CATEGORIES": str(file), "PLEO_MARTS": "on"}).success
    with open_warehouse(url, "pleo").transaction() as transaction:
        assert transaction.read(CATEGORIES).to_pylist() == [{"id": MEALS, "code": "7100", "name": "Meals"}]


def test_the_views_take_them_along_without_a_sync(place: Place, file: Path) -> None:
    assert place.run(["companies"]).success, "views alone make no warehouse"
    assert place.run(["category_names"], marts=True, overrides={"PLEO_CATEGORIES": str(file)}).success
    assert place.scalar('SELECT account_name FROM {schema}."category_names"') == "Meals"


@pytest.mark.parametrize("asset", ["companies", "spend"])
def test_a_wrong_file_fails_the_step_in_one_sentence(place: Place, file: Path, asset: str) -> None:
    assert place.run(["companies"]).success, "views alone make no warehouse"
    file.write_text("id;name\n")
    result = place.run([asset], marts=True, overrides={"PLEO_CATEGORIES": str(file)})
    assert not result.success
    assert failure(result).user_failure_data.description.startswith(
        f"The file {file} that PLEO_CATEGORIES names cannot be used: its first line has no column code; it must name id, code, name."
    )
