from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dagster as dg
import pytest

from pleo_connector.catalogue import CATALOGUE
from pleo_connector.errors import PleoError
from pleo_connector.orchestration.check_run import CheckRun
from pleo_connector.orchestration.checks import Checks
from pleo_connector.sandbox import RunningSandbox
from pleo_connector.sync import StreamReport
from pleo_connector.warehouses.duckdb_transaction import DuckDBTransaction
from tests.orchestration.place import Place, checks

KEY = "key_unique_and_present"
SPLITS = ("accounting_entry_splits", "splits_sum_to_entry")


@pytest.fixture(scope="module")
def filled(sandbox: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Place:
    place = Place(tmp_path_factory.mktemp("filled"), sandbox.url)
    assert place.run(["vendors", "accounting_entries"], config={"from": "2026-01-01"}).success
    return place


@pytest.fixture
def broken(filled: Place) -> Iterator[Place]:
    """The filled place, put back as it was afterwards."""
    file = filled.folder / "w.duckdb"
    before = file.read_bytes()
    yield filled
    file.write_bytes(before)


def sql(place: Place, statement: str) -> list[tuple[Any, ...]]:
    with place.warehouse.transaction() as transaction:
        assert isinstance(transaction, DuckDBTransaction)
        return transaction.run(statement)


def shown(evaluation: dg.AssetCheckEvaluation) -> dict[str, Any]:
    return {name: value.value for name, value in evaluation.metadata.items()}


def test_checks_run_alone_and_pass_on_what_was_loaded(filled: Place) -> None:
    result = filled.check("vendors", "accounting_entry_splits")
    assert result.success
    assert not result.get_asset_materialization_events()
    found = checks(result)
    assert found[("vendors", KEY)].passed
    assert found[SPLITS].passed
    assert shown(found[SPLITS]) == {"entries_that_differ": 0}


def test_a_key_that_occurs_twice_is_found_and_named(broken: Place) -> None:
    ((key,),) = sql(broken, "INSERT INTO pleo.vendors (SELECT * FROM pleo.vendors ORDER BY id LIMIT 1) RETURNING CAST(id AS VARCHAR)")
    found = checks(broken.check("vendors"))[("vendors", KEY)]
    assert not found.passed
    assert found.severity == dg.AssetCheckSeverity.WARN
    assert shown(found) == {"rows_without_key": 0, "keys_more_than_once": 1, "for_example": key}


def test_a_missing_key_is_found(broken: Place) -> None:
    sql(broken, "ALTER TABLE pleo.accounting_entry_splits ALTER position DROP NOT NULL")
    sql(
        broken,
        "UPDATE pleo.accounting_entry_splits SET position = NULL WHERE rowid IN (SELECT rowid FROM pleo.accounting_entry_splits LIMIT 3)",
    )
    found = checks(broken.check("accounting_entry_splits"))[("accounting_entry_splits", KEY)]
    assert not found.passed
    assert shown(found)["rows_without_key"] == 3


ONE_SPLIT = "(SELECT id FROM pleo.accounting_entry_splits WHERE _deleted_at IS NULL AND {amount}_minors IS NOT NULL ORDER BY id LIMIT 1)"


@pytest.mark.parametrize("amount", ["transaction_value", "total_bill_value"])
@pytest.mark.parametrize("change", ["{amount}_minors = {amount}_minors + 1", "{amount}_currency = 'XTS'"])
def test_splits_that_do_not_sum_to_their_entry_are_found_and_the_entry_named(broken: Place, amount: str, change: str) -> None:
    one = ONE_SPLIT.format(amount=amount)
    ((entry,),) = sql(
        broken,
        f"UPDATE pleo.accounting_entry_splits SET {change.format(amount=amount)} WHERE id = {one} RETURNING CAST(accounting_entry_id AS VARCHAR)",
    )
    found = checks(broken.check("accounting_entry_splits"))[SPLITS]
    assert not found.passed
    assert shown(found) == {"entries_that_differ": 1, "for_example": entry}


def test_only_ten_failing_entries_are_named(broken: Place) -> None:
    sql(broken, "UPDATE pleo.accounting_entry_splits SET transaction_value_minors = transaction_value_minors + 1")
    metadata = shown(checks(broken.check("accounting_entry_splits"))[SPLITS])
    assert metadata["entries_that_differ"] > 10
    assert len(set(metadata["for_example"].split(", "))) == 10


@pytest.mark.parametrize(
    "harmless",
    [
        "UPDATE pleo.accounting_entry_splits SET transaction_value_minors = NULL, total_bill_value_minors = NULL WHERE position = 1",
        "UPDATE pleo.accounting_entries SET transaction_value_minors = 1, total_bill_value_minors = 1, _deleted_at = now()",
        "UPDATE pleo.accounting_entry_splits SET transaction_value_minors = 1, total_bill_value_minors = 1, _deleted_at = now()",
    ],
)
def test_amounts_that_pleo_left_out_and_deleted_rows_are_not_compared(broken: Place, harmless: str) -> None:
    sql(broken, harmless)
    assert checks(broken.check("accounting_entry_splits"))[SPLITS].passed


def test_a_failing_check_stops_nothing_unless_checks_are_blocking(broken: Place) -> None:
    sql(broken, "INSERT INTO pleo.vendors (SELECT * FROM pleo.vendors ORDER BY id LIMIT 1)")
    assert broken.check("vendors").success
    blocked = broken.check("vendors", blocking_checks=True)
    assert not blocked.success
    assert checks(blocked)[("vendors", KEY)].severity == dg.AssetCheckSeverity.ERROR


@pytest.mark.parametrize("place_of_loss", ["inserted", "updated", "unchanged", "quarantined", "duplicates"])
def test_a_record_that_went_missing_on_the_way_is_found(place_of_loss: str) -> None:
    parts = {"inserted": 1, "updated": 2, "unchanged": 3, "quarantined": 4, "duplicates": 5}
    checks, asset = Checks(), dg.AssetKey("x")
    (check,) = (one for one in checks.of(CATALOGUE.table("vendors")) if one.name == "rows_accounted_for")
    assert checks.reported(check, StreamReport("vendors", served=15, **parts), asset).passed  # type: ignore[arg-type]
    lossy = parts | {place_of_loss: parts[place_of_loss] - 1}
    result = checks.reported(check, StreamReport("vendors", served=15, **lossy), asset)  # type: ignore[arg-type]
    assert not result.passed
    assert result.metadata["rows_unaccounted_for"].value == 1


def test_rows_accounted_for_alone_looks_at_the_last_materialisation(place: Place) -> None:
    with dg.DagsterInstance.ephemeral() as instance:
        place.run(["companies"], instance=instance)
        never = checks(place.check("vendors", instance=instance))[("vendors", "rows_accounted_for")]
        assert not never.passed
        assert "has not synced this table yet" in shown(never)["reason"]
    with dg.DagsterInstance.ephemeral() as instance:
        place.run(["vendors"], instance=instance)
        found = checks(place.check("vendors", instance=instance))
        result = found[("vendors", "rows_accounted_for")]
        assert result.passed
        assert shown(result)["rows_served"] > 0
        drift = found[("vendors", "fits_the_declaration")]
        assert drift.passed
        place.run(["accounts"], instance=instance)
        drift = checks(place.check("accounts", instance=instance))[("accounts", "fits_the_declaration")]
        assert not drift.passed and shown(drift) == {"unknown_fields": 1, "for_example": "accountingSystem"}


@pytest.mark.parametrize("kind", ["duckdb:///{}/w.duckdb", "iceberg:///{}/lake"])
def test_a_value_that_is_not_declared_is_reported_by_syncs_that_do_not_read_it(place: Place, sandbox: RunningSandbox, kind: str) -> None:
    here = {"PLEO_WAREHOUSE": kind.format(place.folder)}
    entry = next(one for one in sandbox.state.records("accounting_entries") if one["performedAt"].startswith("2026-02"))
    sandbox.state.put("accounting_entries", entry | {"family": "GIFT", "mood": "generous"})
    february, march, april = ({"from": f"2026-0{month}-01", "to": f"2026-0{month + 1}-01"} for month in (2, 3, 4))
    try:
        results = [checks(place.run(["accounting_entries"], config=month, overrides=here)) for month in (february, march)]
        sandbox.state.put("accounting_entries", entry)
        mended = [checks(place.run(["accounting_entries"], config=month, overrides=here)) for month in (february, april)]
    finally:
        sandbox.state.start_over()
    declared = ("accounting_entries", "fits_the_declaration")
    values = {"unseen_values": 1, "unknown_fields": 1}
    for found in results:
        assert not found[declared].passed
        assert {name: value for name, value in shown(found[declared]).items() if name != "for_example"} == values
        assert set(shown(found[declared])["for_example"].split(", ")) == {"family=GIFT", "mood"}
    assert [found[declared].passed for found in mended] == [True, True]


def test_every_table_has_a_key_check_and_every_stream_a_row_check(filled: Place) -> None:
    found = checks(filled.check(*(table.name for table in CATALOGUE.tables())))
    assert {table for table, check in found if check == KEY} == {table.name for table in CATALOGUE.tables()}
    assert {table for table, check in found if check == "rows_accounted_for"} == {stream.name for stream in CATALOGUE}


def finished(stream: str, error: PleoError | None = None) -> StreamReport:
    return StreamReport(stream, error=error)


def test_a_check_waits_for_the_streams_that_it_looks_at(filled: Place) -> None:
    def checks_of(report: StreamReport) -> set[tuple[str, str]]:
        return {(result.asset_key.path[-1], str(result.check_name)) for result in run.loaded(report).results if result.asset_key}

    loading, references = ("accounts", "tax_codes", "employees", "accounting_entries"), ("accounting_entries", "references_exist")
    run = check_run(filled, loading)
    first = checks_of(finished("accounting_entries"))
    assert ("accounting_entries", KEY) in first and SPLITS in first
    assert references not in first, "accounts may be half loaded"
    assert references not in checks_of(finished("accounts")) | checks_of(finished("employees"))
    assert checks_of(finished("tax_codes")) >= {references, ("accounting_entry_splits", "references_exist"), ("tax_codes", KEY)}


def test_a_stream_that_failed_proves_nothing_about_others(filled: Place) -> None:
    run = check_run(filled, ("tags", "tag_groups"))
    assert run.loaded(finished("tag_groups", PleoError("Down."))).results == []
    assert "references_exist" not in {result.check_name for result in run.loaded(finished("tags")).results}


def check_run(place: Place, loading: tuple[str, ...]) -> CheckRun:
    every, keys = Checks(), {table.name: dg.AssetKey(["pleo", table.name]) for table in CATALOGUE.tables()}
    return CheckRun(every, [check for table in CATALOGUE.tables() for check in every.of(table)], keys, place.warehouse, loading)
