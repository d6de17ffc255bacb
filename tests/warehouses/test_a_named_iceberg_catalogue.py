"""Iceberg catalogues that PyIceberg's configuration names: what writers on several hosts get, and what a wrong name or address gets."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

import pytest
from pyiceberg.exceptions import CommitFailedException

from pleo_connector.errors import ConfigurationError, WarehouseError
from pleo_connector.warehouses import MergeCounts, open_warehouse
from tests.postgres_server import new_database
from tests.warehouses.rest_catalogue import named_catalogue
from tests.warehouses.rows import BILLS, CURSORS, LINES, SEEN, TABLES, bill, bills, key, lines, load, seen, stored


def named(**properties: str) -> str:
    """The URL of a catalogue with these properties."""
    name = f"c{uuid.uuid4().hex[:12]}"
    for property_, value in properties.items():
        os.environ[f"PYICEBERG_CATALOG__{name.upper()}__{property_.upper()}"] = value
    return f"iceberg://{name}"


def test_who_comes_second_begins_anew_on_what_the_first_left(tmp_path: Path) -> None:
    warehouse = open_warehouse(named_catalogue(tmp_path / "lake"), "spend")
    with warehouse.transaction() as work:
        work.ensure([BILLS, LINES, SEEN, CURSORS])
    with warehouse.transaction() as work:
        assert work.merge(TABLES, {"bills": bills(bill(1)), "bill_lines": lines((1, 1))}) == MergeCounts(inserted=1)
        work.upsert(SEEN, seen("a", 1))
        assert load(warehouse, bill(1, _row_hash="x"), bill(2), children=lines((1, 2), (2, 1))) == MergeCounts(inserted=2)
    assert [(row["id"], row["_row_hash"]) for row in stored(warehouse)] == [(key(1), bill(1)["_row_hash"]), (key(2), bill(2)["_row_hash"])]
    assert [row["bill_id"] for row in stored(warehouse, LINES)] == [key(1), key(2)]
    assert len(stored(warehouse, SEEN)) == 1


@pytest.mark.slow
def test_a_load_is_refused_whose_state_somebody_else_wrote(tmp_path: Path) -> None:
    warehouse = open_warehouse(named_catalogue(tmp_path / "lake"), "spend")
    with warehouse.transaction() as work:
        work.ensure([BILLS, LINES, SEEN, CURSORS])
    with pytest.raises(WarehouseError, match="in rows that this load had read; run again"), warehouse.transaction() as work:  # noqa: PT012
        assert work.read(SEEN).num_rows == 0
        work.upsert(SEEN, seen("a", 1))
        with warehouse.transaction() as other:
            other.upsert(SEEN, seen("b", 2))
    assert len(stored(warehouse, SEEN)) == 1


@pytest.mark.slow
def test_a_load_cut_off_between_two_tables_is_mended_by_the_next(tmp_path: Path) -> None:
    warehouse = open_warehouse(named_catalogue(tmp_path / "lake"), "spend", wait=0)
    with warehouse.transaction() as work:
        work.ensure([BILLS, LINES, SEEN, CURSORS])
    load(warehouse, bill(1), children=lines((1, 1)))
    changed = {"bills": bills(bill(1, _row_hash="new")), "bill_lines": lines((1, 3))}
    with pytest.raises(WarehouseError) as caught, warehouse.transaction() as work:  # noqa: PT012
        work.merge(TABLES, changed)
        work.upsert(SEEN, seen("a", 1))
        with warehouse.transaction() as other:
            other.merge(TABLES, {"bills": bills(bill(2)), "bill_lines": lines()})  # the parent's table alone
    assert isinstance(caught.value.__cause__, CommitFailedException)
    assert (len(stored(warehouse, LINES)), len(stored(warehouse, SEEN))) == (3, 0)  # children came first, the checkpoint did not come
    with warehouse.transaction() as work:
        assert work.merge(TABLES, changed) == MergeCounts(updated=1)
    assert [row["_row_hash"] for row in stored(warehouse) if row["id"] == key(1)] == ["new"]
    assert len(stored(warehouse, LINES)) == 3


@pytest.mark.slow
def test_a_catalogue_in_postgres_shows_all_tables_of_a_load_at_once(tmp_path: Path) -> None:
    database = new_database().replace("postgresql://", "postgresql+psycopg://").replace("postgres://", "postgresql+psycopg://")
    warehouse = open_warehouse(named(type="sql", uri=database, warehouse=f"file://{tmp_path}"), "spend", wait=0)
    with warehouse.transaction() as work:
        work.ensure([BILLS, LINES, SEEN, CURSORS])
    with pytest.raises(WarehouseError, match="changed by another program"), warehouse.transaction() as work:  # noqa: PT012
        work.merge(TABLES, {"bills": bills(bill(1)), "bill_lines": lines((1, 1))})
        load(warehouse, bill(2))
    assert ([row["id"] for row in stored(warehouse)], stored(warehouse, LINES)) == ([key(2)], [])


def test_names_and_addresses_that_lead_nowhere_are_said_in_one_sentence(tmp_path: Path) -> None:
    for url, error, message in (
        ("iceberg://nowhere", ConfigurationError, "which PyIceberg's configuration does not have; write it into .pyiceberg.yaml"),
        (named(type="rest", uri="http://127.0.0.1:9"), WarehouseError, "cannot be reached"),
        (named(type="odd", uri=f"sqlite:///{tmp_path}/x.db"), ConfigurationError, "cannot be used"),
        (named(type="glue", warehouse="s3://x"), ConfigurationError, "pip install 'pyiceberg\\[glue\\]'"),
    ):
        with pytest.raises(error, match=message), open_warehouse(url, "spend").transaction():
            pass
