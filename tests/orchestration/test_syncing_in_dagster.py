from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import dagster as dg
import pytest

from pleo_connector.catalogue import CATALOGUE
from pleo_connector.orchestration import PleoSyncConfig
from pleo_connector.orchestration.checks import Checks
from pleo_connector.sandbox import RunningSandbox
from tests.orchestration.place import Place, checks, failure, materialized

TABLES = {table.name for table in CATALOGUE.tables()}


@dataclass(frozen=True)
class TwoRuns:
    place: Place
    first: dg.ExecuteInProcessResult
    second: dg.ExecuteInProcessResult


@pytest.fixture(scope="module")
def runs(sandbox: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> TwoRuns:
    place = Place(tmp_path_factory.mktemp("runs"), sandbox.url)
    return TwoRuns(place, place.run(), place.run(config={"mode": "full"}))


def test_a_run_materialises_every_table(runs: TwoRuns) -> None:
    assert runs.first.success
    found = materialized(runs.first)
    assert set(found) == TABLES
    for table in TABLES:
        assert (
            found[table]["dagster/row_count"] == runs.place.scalar(f"SELECT count(*) FROM {{schema}}.{table} WHERE _deleted_at IS NULL") > 0
        )
        assert found[table]["dagster/relation_identifier"] == f"pleo.{table}"


def test_the_main_table_tells_what_its_sync_did_in_numbers(runs: TwoRuns, sandbox: RunningSandbox) -> None:
    entries = materialized(runs.first)["accounting_entries"]
    served = len(sandbox.state.records("accounting_entries"))
    assert entries["rows_served"] == entries["rows_inserted"] == served
    assert (
        entries["rows_deleted"] == runs.place.scalar("SELECT count(*) FROM {schema}.accounting_entries WHERE _deleted_at IS NOT NULL") > 0
    )
    assert entries["requests"] >= entries["pages"] >= entries["sweeps"] == entries["sweeps_completed"] > 0
    assert entries["bytes"] > 100 * served
    for name in ("rows_updated", "rows_unchanged", "rows_quarantined", "rows_duplicate", "requests_rate_limited"):
        assert entries[name] == 0
    for name in ("seconds", "seconds_waited_for_budget"):
        assert isinstance(entries[name], float)
    assert "rows_served" not in materialized(runs.first)["accounting_entry_splits"], "a child's rows come with its parent's"


def test_a_second_run_finds_everything_unchanged(runs: TwoRuns) -> None:
    assert runs.second.success
    found = materialized(runs.second)
    assert set(found) == TABLES
    for stream in CATALOGUE:
        result = found[stream.name]
        assert (result["rows_inserted"], result["rows_updated"], result["rows_deleted"]) == (0, 0, 0)
        assert result["rows_unchanged"] == result["rows_served"] == materialized(runs.first)[stream.name]["rows_served"]


def test_all_checks_are_evaluated_and_pass_on_good_data(runs: TwoRuns) -> None:
    expected = {(table.name, check.name) for table in CATALOGUE.tables() for check in Checks().of(table)}
    drifted = {("accounts", "fits_the_declaration")}  # as the sample data mean it: a field that Pleo shows and does not declare
    for result in (runs.first, runs.second):
        found = checks(result)
        assert set(found) == expected
        assert {key for key, evaluation in found.items() if not evaluation.passed} == drifted


def test_each_table_is_yielded_when_its_stream_is_done_and_parents_come_first(runs: TwoRuns) -> None:
    order = [event.materialization.asset_key.path[-1] for event in runs.first.get_asset_materialization_events()]
    assert order[0] == "companies", "the list of companies is the first to be whole"
    for table in CATALOGUE.tables():
        assert table.parent is None or order.index(table.parent) < order.index(table.name)


def test_selecting_a_child_table_syncs_its_stream_and_nothing_else(place: Place, sandbox: RunningSandbox) -> None:
    result = place.run(["accounting_entry_splits"])
    assert result.success
    assert set(materialized(result)) == {"accounting_entry_splits"}
    assert {table for table, _ in checks(result)} == {"accounting_entry_splits"}
    assert place.scalar("SELECT count(*) FROM {schema}.accounting_entries") == len(sandbox.state.records("accounting_entries"))
    assert place.scalar("SELECT count(DISTINCT stream) FROM {schema}._sweeps") == 1


def test_the_launchpad_chooses_companies_and_days(place: Place, sandbox: RunningSandbox) -> None:
    company = max(sandbox.state.records("companies"), key=lambda one: len(sandbox.state.records("accounting_entries", one["id"])))
    config = {"companies": [company["name"]], "from": "2026-03-01", "to": "2026-05-01"}
    result = place.run(["accounting_entries", "employees"], config=config)
    assert result.success
    performed = [entry["performedAt"] for entry in sandbox.state.records("accounting_entries", company["id"])]
    wanted = sum("2026-03-01" <= moment < "2026-05-01" for moment in performed)
    assert 0 < wanted < len(performed)
    found = materialized(result)
    assert found["accounting_entries"]["rows_served"] == wanted
    assert found["accounting_entries"]["months_read"] == "2026-03 to 2026-04"
    assert found["employees"]["rows_served"] == len(sandbox.state.records("employees", company["id"]))


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"from": "yesterday"}, "from must be a day such as 2026-01-31"),
        ({"to": "9999-12-31T23:30:00-01:00"}, "to must be a day such as 2026-01-31"),
        ({"from": "2026-02-01", "to": "2026-01-01"}, "from (2026-02-01) must be before to (2026-01-01)"),
        ({"companies": ["Nobody Ltd"]}, "Company 'Nobody Ltd' is not covered"),
    ],
)
def test_a_wrong_choice_fails_with_one_sentence(place: Place, config: dict[str, Any], expected: str) -> None:
    result = place.run(["vendors"], config=config)
    assert not result.success
    assert expected in failure(result).user_failure_data.description


def test_the_launchpad_describes_every_choice() -> None:
    fields = PleoSyncConfig.to_config_schema().as_field().config_type.fields  # type: ignore[attr-defined]
    assert set(fields) == {"mode", "from", "to", "companies", "allow_mass_delete"}
    assert all(field.description and not field.is_required for field in fields.values())
    assert {value.config_value for value in fields["mode"].config_type.inner_type.enum_values} == {"incremental", "full"}
