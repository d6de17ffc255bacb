"""Dagster's assets and checks on an open lakehouse."""

from __future__ import annotations

import pytest

from pleo_connector.catalogue import CATALOGUE
from pleo_connector.warehouses import open_warehouse
from tests.orchestration.place import Place, checks, materialized


@pytest.mark.slow
def test_every_table_is_materialised_and_checked(place: Place) -> None:
    url = f"iceberg:///{place.folder}/lake"
    first = place.run(overrides={"PLEO_WAREHOUSE": url})
    assert first.success
    found = materialized(first)
    assert set(found) == {table.name for table in CATALOGUE.tables()}
    with open_warehouse(url, "pleo").transaction() as work:
        for table in CATALOGUE.tables():
            assert found[table.name]["dagster/row_count"] == work.count(table) > 0, table.name
            assert found[table.name]["dagster/relation_identifier"] == f"pleo.{table.name}"
    not_passed = {key for key, found in checks(first).items() if not found.passed}
    assert not_passed == {("accounts", "fits_the_declaration")}, "a field that the sample data have and nobody declares"
    second = place.run(config={"mode": "full"}, overrides={"PLEO_WAREHOUSE": url})
    assert second.success
    assert materialized(second)["accounting_entries"]["rows_inserted"] == 0
