"""Connections as partitions: a sensor that keeps them in step with the token store, and runs that touch nobody else."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pleo_connector.auth import disconnect
from pleo_connector.auth.stores import State
from pleo_connector.errors import ConfigurationError
from pleo_connector.file_options import ReceiptFiles
from pleo_connector.orchestration import WarehouseResource, build_pleo_connections_definitions
from pleo_connector.orchestration.connection_runs import Memory, Pace, next_ones, utc_now
from pleo_connector.sandbox import Fault, RunningSandbox
from pleo_connector.settings import DEFAULT_SCOPES, load
from pleo_connector.stream_options import StreamOptions
from tests.orchestration.many import TWO, Many, many, variables
from tests.orchestration.place import environment, failure, materialized
from tests.orchestration.test_plugging_into_a_code_location import example


@pytest.fixture
def place(tmp_path: Path, sandbox: RunningSandbox) -> Iterator[Many]:
    sandbox.state.reset_counters()
    with many(tmp_path, sandbox) as found:
        yield found


def description_of(result: dg.ExecuteInProcessResult) -> str:
    return str(failure(result).user_failure_data.description)


def warned(place: Many, capfd: pytest.CaptureFixture[str]) -> str:
    """What the sensor says in one evaluation."""
    capfd.readouterr()
    place.tick()
    return capfd.readouterr().err


def test_each_connection_is_a_partition_with_runs_rows_and_a_schema_of_its_own(place: Many) -> None:
    place.connect("acme", "beta-gmbh")
    result = place.tick()
    assert place.partitions == ["acme", "beta-gmbh"] == list(result)
    place.sandbox.state.reset_counters()
    for label, key in result.items():
        done = place.run(label, key)
        assert done.success
        metadata = materialized(done)["vendors"]
        assert metadata["dagster/relation_identifier"] == f"pleo_{label.replace('-', '_')}.vendors"
        rows, keys = place.rows(label, "vendors")
        assert rows == keys == metadata["dagster/row_count"] == len(place.sandbox.state.records("vendors"))
    assert place.sandbox.counters()["reuse"] == 0
    assert place.tick() == {} and place.why == "2 connections, 0 under way; no other is due, or all places are taken."


def test_a_grant_that_ended_fails_alone_is_told_once_and_waits_for_a_person(place: Many, capfd: pytest.CaptureFixture[str]) -> None:
    place.connect("acme", "beta")
    place.tick()
    place.grants["acme"].revoked = True
    acme, beta = place.run("acme"), place.run("beta")
    assert beta.success and not acme.success and "pleo-connector connect" in description_of(acme)
    sentence = "acme is not synced until a person connects it again"
    assert sentence in warned(place, capfd)
    assert sentence not in warned(place, capfd), "once"
    assert place.partitions == ["acme", "beta"], "its history stays in sight"
    place.connect("acme")
    assert list(place.tick()) == ["acme"], "connected again, it is due at once"


# --- partitions ------------------------------------------------------------------------------


def test_one_that_is_disconnected_leaves_the_partitions_and_its_tables_stay(place: Many) -> None:
    place.connect("acme", "beta")
    place.tick()
    disconnect(load().labelled("acme"))
    assert list(place.tick()) == ["beta"]
    assert place.partitions == ["beta"]
    place.connect("acme")
    place.tick()
    assert place.partitions == ["beta", "acme"]


def test_another_token_store_removes_nothing(place: Many, tmp_path: Path) -> None:
    place.connect("acme")
    place.tick()
    with environment(variables(place.folder, place.sandbox) | {"PLEO_TOKEN_STORE": str(tmp_path / "elsewhere.sqlite")}):
        assert place.tick() == {} and place.why == "No connection of the token store can be synced."
    assert place.partitions == ["acme"]


def test_a_store_that_cannot_be_read_changes_nothing(place: Many, tmp_path: Path) -> None:
    place.connect("acme")
    place.tick()
    (tmp_path / "state" / "tokens.sqlite").write_bytes(b"not a database, but long enough to be taken for one" * 9)
    cursor = place.cursor
    assert place.tick() == {} and "is damaged" in str(place.why)
    assert (place.partitions, place.cursor) == (["acme"], cursor)


def test_who_comes_later_with_a_label_for_the_same_schema_is_refused(place: Many, capfd: pytest.CaptureFixture[str]) -> None:
    place.connect("a_b")
    place.tick()
    place.connect("a-b")
    result = "a-b is not synced, because its tables would go to the schema pleo_a_b, which a_b uses too: connect it under another label."
    assert result in warned(place, capfd) and place.partitions == ["a_b"]
    place.instance.add_dynamic_partitions("pleo_connections", ["a-b"])  # by hand
    assert description_of(place.run("a-b")) == result
    assert place.run("a_b").success


def test_the_connection_without_a_label_is_none_of_them(place: Many, capfd: pytest.CaptureFixture[str]) -> None:
    place.connect("")
    assert "The connection without a label is not synced here" in warned(place, capfd)
    assert place.partitions == []


def test_a_partition_that_is_no_label_is_refused(place: Many) -> None:
    place.instance.add_dynamic_partitions("pleo_connections", ["Acme Ltd"])
    assert description_of(place.run("Acme Ltd")).startswith("The connection label must be at most 40 small letters")


def test_nothing_sealed_is_opened_to_list_connections(place: Many) -> None:
    place.connect("acme")
    store = place.store
    store.reseal(place.connection("acme"), store.read(place.connection("acme")).generation, b"not what any key opens")
    assert list(place.tick()) == ["acme"]


def test_an_api_key_is_one_connection(place: Many) -> None:
    with environment(variables(place.folder, place.sandbox) | {"PLEO_API_KEY": "some-key"}):
        assert place.tick() == {} and str(place.why).startswith("PLEO_API_KEY is set")


# --- which are next --------------------------------------------------------------------------


def test_no_run_is_asked_for_while_one_is_under_way(place: Many) -> None:
    place.connect("acme", "beta")
    result = place.tick()
    assert place.tick() == result, "until the run is there, it is the same one"
    waiting = {label: place.enqueue(label, key) for label, key in result.items()}
    place.cursor = None
    assert place.tick() == {} and place.why == "2 connections, 2 under way; no other is due, or all places are taken."
    place.instance.report_run_canceled(waiting["acme"])
    place.define(every=timedelta(minutes=1))
    assert place.tick() == {}, "within the minute"


NOW = utc_now()


def ago(**minutes: float) -> dict[str, float]:
    return {label: NOW.timestamp() - 60 * count for label, count in minutes.items()}


def test_those_that_waited_longest_are_next_and_only_as_many_as_have_room() -> None:
    memory = Memory(began=ago(a=70, b=300, c=61, d=59, e=90), synced=list("abcde"))
    pace = Pace(timedelta(hours=1), at_once=3)
    assert next_ones("abcde", [], memory, pace, NOW) == ["b", "e", "a"]
    assert next_ones("abcde", ["b"], memory, pace, NOW) == ["e", "a"], "one with a big backlog holds one place"
    assert next_ones("abcde", ["x", "y", "z"], memory, pace, NOW) == []


def test_first_syncs_leave_half_of_the_places_to_the_others() -> None:
    memory = Memory(began=ago(a=70), synced=["a"])
    new = [f"n{number}" for number in range(9)]
    assert next_ones(["a", *new], [], memory, Pace(at_once=4), NOW) == ["n0", "n1", "a"]
    assert next_ones(["a", *new], ["n0", "n1"], memory, Pace(at_once=4), NOW) == ["a"]


# --- the rest --------------------------------------------------------------------------------


def test_keeping_alive_refreshes_every_connection_and_one_that_fails_stops_nobody(place: Many) -> None:
    place.connect("acme", "beta", "gamma")
    place.grants["acme"].revoked = True

    def keep_alive() -> dg.ExecuteInProcessResult:
        job = place.definitions.resolve_job_def("pleo_keep_alive")
        return job.execute_in_process(instance=place.instance, raise_on_error=False)

    first = keep_alive()
    assert description_of(first).startswith("1 connections were not refreshed; 2 were. acme: ")
    assert [place.store.read(place.connection(label)).generation for label in ("beta", "gamma")] == [2, 2]
    assert place.store.read(place.connection("acme")).state is State.REAUTH_REQUIRED
    assert keep_alive().success, "one that waits for a person is no failure"
    assert place.sandbox.counters()["reuse"] == 0


def test_all_is_stopped_until_somebody_starts_it_and_tells_no_single_place(place: Many) -> None:
    schedule = place.repository.get_schedule_def("pleo_keep_alive_weekly")
    assert schedule.default_status is dg.DefaultScheduleStatus.STOPPED
    for name in ("pleo_connections", "pleo_token_age"):
        assert place.repository.get_sensor_def(name).default_status is dg.DefaultSensorStatus.STOPPED
    node = place.definitions.resolve_asset_graph().get(dg.AssetKey(["pleo", "vendors"]))
    assert node.partitions_def == dg.DynamicPartitionsDefinition(name="pleo_connections")
    assert "dagster/relation_identifier" not in node.metadata and "dagster/column_schema" in node.metadata


def test_the_example_gives_each_connection_a_file_of_its_own(place: Many) -> None:
    place.connect("a-b", "a_b")
    place.use(example("many_customers", place.folder).defs)
    assert list(place.tick()) == ["a-b", "a_b"], "nothing is shared, so nothing clashes"
    done = place.run("a-b", asset_selection=[dg.AssetKey(["pleo", "vendors"])])
    assert materialized(done)["vendors"]["dagster/relation_identifier"] == "pleo.vendors"
    assert [file.name for file in (place.folder / "warehouses").glob("*.duckdb")] == ["a-b.duckdb"]


@pytest.mark.parametrize(
    ("warehouse", "expected"),
    [
        ({"schema_name": "a" * 23}, "22 characters at most"),
        ({"warehouse": "duckdb:///{connection}.duckdb", "snapshot": "/data/copy.duckdb"}, r"write \{connection\} into it"),
    ],
)
def test_places_that_cannot_be_told_apart_are_refused(warehouse: dict[str, Any], expected: str) -> None:
    with environment({}), pytest.raises(ConfigurationError, match=expected):
        build_pleo_connections_definitions(warehouse=WarehouseResource(**warehouse))


def test_files_of_receipts_of_many_customers_are_not_put_into_one_folder() -> None:
    options = {"receipts": StreamOptions(files=ReceiptFiles(Path("receipts")))}
    with environment({}), pytest.raises(ConfigurationError, match="many connections must not share one"):
        build_pleo_connections_definitions(options=options)


# --- thirty ----------------------------------------------------------------------------------

THIRTY = tuple(f"customer-{number:02}" for number in range(30))
REVOKED, DOWN, UNSCOPED = THIRTY[3], THIRTY[11], THIRTY[29]
BROKEN = (REVOKED, DOWN, UNSCOPED)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_thirty_connections_three_of_them_broken(tmp_path: Path, sandbox: RunningSandbox) -> None:
    sandbox.state.reset_counters()
    with many(tmp_path, sandbox) as place:
        place.define(at_once=60, streams=TWO)
        place.connect(*(label for label in THIRTY if label != UNSCOPED))
        place.connect(UNSCOPED, scopes=" ".join(one for one in DEFAULT_SCOPES.split() if one[:3] not in ("tax", "ven")))
        place.grants[REVOKED].revoked = True
        result = place.tick()
        assert tuple(place.partitions) == THIRTY == tuple(result)
        assert len(set(result.values())) == len(THIRTY)
        ended = {}
        for label, key in result.items():
            sandbox.state.set_faults(*([Fault("status", path="/v", status=500)] if label == DOWN else []))
            ended[label] = place.run(label, key)
        assert tuple(label for label, done in ended.items() if not done.success) == BROKEN
        assert "pleo-connector connect" in description_of(ended[REVOKED])
        assert "Pleo has a fault (500)" in description_of(ended[DOWN])
        assert "lacks the scope" in description_of(ended[UNSCOPED])
        served = {table: len(sandbox.state.records(table)) for table in TWO}
        for label in (one for one in THIRTY if one not in BROKEN):
            assert {table: place.rows(label, table) for table in TWO} == {table: (count, count) for table, count in served.items()}
        counters = sandbox.counters()
        sandbox.state.set_faults()
        assert (counters["reuse"], counters["revoked_grants"]) == (0, 0)
        assert place.tick() == {}
        assert place.why == "29 connections, 0 under way, 1 not synced; no other is due, or all places are taken."
