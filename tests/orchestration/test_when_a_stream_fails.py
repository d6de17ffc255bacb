from __future__ import annotations

from typing import Any

import dagster as dg
import pytest

from pleo_connector.errors import (
    BadAnswer,
    ClientRejected,
    ConfigurationError,
    DriftError,
    Forbidden,
    MassDeleteRefused,
    PleoError,
    PleoUnavailable,
    RateLimited,
    ReauthRequired,
    RefreshUnavailable,
    WarehouseLocked,
    WarehouseUnwritable,
)
from pleo_connector.orchestration import PleoSyncConfig, build_pleo_definitions, failures
from pleo_connector.sandbox import Fault, RunningSandbox
from tests.orchestration.place import Place, checks, environment, failure, materialized

VENDORS = "/v1/vendors"
THREE = ["vendors", "tax_codes", "employees"]


def description_of(result: dg.ExecuteInProcessResult) -> str:
    return str(failure(result).user_failure_data.description)


def test_a_refused_stream_is_left_out_with_a_warning_in_pleos_words(place: Place, sandbox: RunningSandbox) -> None:
    sandbox.state.set_refused("vendor")
    with dg.DagsterInstance.ephemeral() as instance:
        result = place.run(THREE, instance=instance)
        (seen,) = instance.fetch_observations(dg.AssetKey(["pleo", "vendors"]), limit=5).records
    assert result.success
    assert set(materialized(result)) == {"tax_codes", "employees"}
    assert {table for table, _ in checks(result)} == {"tax_codes", "employees"}
    metadata = {name: str(value.value) for name, value in seen.asset_observation.metadata.items()}  # type: ignore[union-attr]
    assert "ACCESS_DENIED: Required permission 'READ' on resource 'vendor'" in metadata["left_out"]
    assert "Make a key in Pleo" in metadata["remedy"] and "PLEO_SCOPES" not in metadata["remedy"] + metadata["left_out"], (
        "the credential is a key"
    )
    assert place.scalar("SELECT count(*) FROM {schema}.tax_codes") > 0
    assert place.scalar("SELECT count(*) FROM {schema}.vendors") == 0


def test_a_record_that_is_gone_is_a_warning_on_its_asset(place: Place, sandbox: RunningSandbox) -> None:
    group = sandbox.state.records("tag_groups")[0]["id"]
    sandbox.state.set_faults(Fault("status", path=f"/v0/tag-groups/{group}/dimensions", status=404))
    result = place.run(["tag_groups", "tag_group_dimensions"])
    assert result.success
    metadata = materialized(result)
    assert group in str(metadata["tag_group_dimensions"]["warnings"]) and "warnings" not in metadata["tag_groups"]


def test_with_no_scope_at_all_the_step_fails_and_is_not_tried_again(place: Place, sandbox: RunningSandbox) -> None:
    sandbox.state.set_faults(Fault("status", path=VENDORS, status=403))
    result = place.run(["vendors"])
    assert not result.success
    assert description_of(result).startswith("1 stream failed. vendors: Pleo refuses vendors")
    assert list(failure(result).user_failure_data.metadata) == ["failure", "remedy", "failed: vendors"]


def test_a_company_that_is_refused_fails_the_stream(place: Place, sandbox: RunningSandbox) -> None:
    sandbox.state.set_faults(Fault("status", path=VENDORS, status=403, after=1))
    result = place.run(THREE)
    assert not result.success, "some of its companies were read: it is not a scope that is missing"
    assert description_of(result).startswith("1 stream failed; the others are loaded. vendors: Pleo refuses vendors")
    metadata = {name: value.value for name, value in failure(result).user_failure_data.metadata.items()}
    assert metadata["failure"] == "access" and "Make a key" in str(metadata["remedy"]) and "vendors" in str(metadata["failed: vendors"])


def test_running_the_failed_table_again_repeats_only_it(place: Place, sandbox: RunningSandbox) -> None:
    sandbox.state.set_faults(Fault("status", path=VENDORS, status=403, after=1))
    place.run(THREE)
    sandbox.state.set_faults()
    again = place.run(["vendors"])
    assert again.success
    assert set(materialized(again)) == {"vendors"}
    assert place.scalar("SELECT count(*) FROM {schema}._sweeps WHERE stream = 'employees'") == len(sandbox.state.records("companies"))


def test_without_a_connection_the_run_fails_once_and_names_the_command(place: Place) -> None:
    result = place.run(["vendors"], overrides={"PLEO_API_KEY": ""}, retry_policy=dg.RetryPolicy(max_retries=3))
    assert not result.success
    assert "pleo-connector connect" in description_of(result)
    assert not [event for event in result.all_events if event.event_type_value == "STEP_UP_FOR_RETRY"], "no retry brings consent"


def test_a_failure_that_may_pass_is_retried_when_the_user_asked_for_retries(place: Place, sandbox: RunningSandbox) -> None:
    # Three bodies that do not parse are one failure of the stream; then Pleo is well again.
    sandbox.state.set_faults(Fault("html", path=VENDORS, times=3))
    company = sandbox.state.records("companies")[0]["id"]
    result = place.run(["vendors"], config={"companies": [company]}, retry_policy=dg.RetryPolicy(max_retries=1))
    assert result.success
    assert len([event for event in result.all_events if event.event_type_value == "STEP_UP_FOR_RETRY"]) == 1


def test_a_failure_shows_a_sentence_and_no_trace_of_our_insides(place: Place, sandbox: RunningSandbox) -> None:
    sandbox.state.set_faults(Fault("status", path=VENDORS, status=403))
    result = place.run(["vendors"])
    assert description_of(result).startswith("1 stream failed. vendors: "), "there were no others"
    error = failure(result).error
    assert "Traceback" not in error.message
    assert error.cause is None or error.cause.cause is None


def test_a_warehouse_that_is_none_fails_the_whole_run_and_is_left_alone(place: Place) -> None:
    (place.folder / "w.duckdb").write_bytes(b"this is not a database, and is left as it is" * 100)
    result = place.run(["vendors"])
    assert not result.success
    assert str(place.folder / "w.duckdb") in description_of(result)
    assert (place.folder / "w.duckdb").read_bytes().startswith(b"this is not a database")


@pytest.mark.parametrize("path", [VENDORS, "/v1/companies"])
def test_a_long_pause_is_not_waited_out_in_the_step_but_asked_of_dagster(place: Place, sandbox: RunningSandbox, path: str) -> None:
    # Called directly: a run in this process would sleep until Dagster's retry is due.
    sandbox.state.set_faults(Fault("status", path=path, status=429, retry_after=300))
    with environment(place.environment), dg.DagsterInstance.ephemeral() as instance:
        definitions = build_pleo_definitions()
        assets, *_ = definitions.assets or ()
        assert isinstance(assets, dg.AssetsDefinition)
        context = dg.build_asset_context(resources=dict(definitions.resources or {}), instance=instance)
        results: Any = assets(context, PleoSyncConfig())
        with pytest.raises(dg.RetryRequested) as wanted:
            list(results)
    assert wanted.value.seconds_to_wait is not None
    assert 290 < wanted.value.seconds_to_wait <= 300


def test_the_longest_of_the_pauses_counts() -> None:
    wanted = failures.some_streams({"a": RateLimited("Slow.", 90.0), "b": RateLimited("Slower.", 300.0)})
    assert isinstance(wanted, dg.RetryRequested)
    assert wanted.seconds_to_wait == 300.0


@pytest.mark.parametrize(
    "others",
    [{"b": Forbidden("No.")}, {"b": RateLimited("Slow, who knows how long.")}],
)
def test_a_pause_does_not_help_when_something_else_failed_too(others: dict[str, PleoError]) -> None:
    wanted = failures.some_streams({"a": RateLimited("Slow.", 90.0)} | others)
    assert isinstance(wanted, dg.Failure)
    assert wanted.description is not None
    assert "2 streams failed" in wanted.description
    assert "Slow." in wanted.description


@pytest.mark.parametrize(
    ("error", "retries", "kind", "remedy"),
    [
        (ReauthRequired("The grant is gone."), False, "re-authorisation", "pleo-connector connect"),
        (ConfigurationError("PLEO_API_URL is wrong."), False, "configuration", "pleo-connector doctor"),
        (ClientRejected("Pleo refused the client."), False, "re-authorisation", "pleo-connector connect"),
        (Forbidden("No."), False, "access", "PLEO_SCOPES"),
        (Forbidden("No.", of_key=True), False, "access", "Make a key in Pleo"),
        (RefreshUnavailable("Not now."), True, "transient", "Re-execute from failure"),
        (WarehouseLocked("Held by pid 1."), True, "transient", "Re-execute from failure"),
        (PleoUnavailable("Down."), True, "transient", "Re-execute from failure"),
        (RateLimited("Slow.", 30.0), True, "transient", "goes on where this one stopped"),
        (BadAnswer("Not JSON."), True, "Pleo", "report it"),
        (WarehouseUnwritable("Full."), True, "warehouse", "writable"),
        (DriftError("Unknown fields."), False, "drift", "evolve"),
        (MassDeleteRefused("20 of 21 rows."), False, "deletion", "allow_mass_delete"),
        (PleoError("Of no kind that is known."), False, "unexpected", "Report this"),
    ],
)
def test_a_failure_is_of_one_kind_and_says_what_to_do(error: PleoError, retries: bool, kind: str, remedy: str) -> None:  # noqa: FBT001
    wanted: Any = failures.whole_run(error)
    assert wanted.allow_retries is retries
    assert wanted.metadata["failure"].value == kind and remedy in wanted.metadata["remedy"].value
    assert str(error).rstrip(".") in wanted.description
    assert ("pleo-connector connect" in wanted.description) == isinstance(error, ReauthRequired)
    one = failures.some_streams({"vendors": error})
    assert isinstance(one, dg.Failure)
    assert one.allow_retries is retries


def test_the_remedy_names_the_connection_that_the_message_names() -> None:
    acme, beta = (ReauthRequired(f"The grant is gone; run `pleo-connector connect --connection {label}`.") for label in ("acme", "beta"))
    wanted: Any = failures.whole_run(acme)
    assert "A person runs `pleo-connector connect --connection acme`;" in wanted.metadata["remedy"].value
    both: Any = failures.some_streams({"vendors": acme, "tags": beta})
    assert both.metadata["failure"].value == "re-authorisation"
    assert "--connection acme`" in both.metadata["remedy"].value and "--connection beta`" in both.metadata["remedy"].value


@pytest.mark.parametrize("bug", [KeyError("splitItems"), TypeError("none of ours")])
def test_an_error_that_nobody_foresaw_is_reported_and_not_tried_again(
    place: Place, monkeypatch: pytest.MonkeyPatch, bug: Exception
) -> None:
    def broken(*_arguments: object, **_options: object) -> None:
        raise bug

    monkeypatch.setattr("pleo_connector.orchestration.step.run", broken)
    result = place.run(["vendors"], retry_policy=dg.RetryPolicy(max_retries=3))
    assert not result.success and not [event for event in result.all_events if event.event_type_value == "STEP_UP_FOR_RETRY"]
    metadata = {name: value.value for name, value in failure(result).user_failure_data.metadata.items()}
    assert (metadata["failure"], metadata["error"]) == ("unexpected", type(bug).__name__) and "Report this" in str(metadata["remedy"])
    assert type(bug).__name__ in str(failure(result).error), "the trace is there to be sent"


def test_a_refused_mass_deletion_is_not_retried() -> None:
    wanted = failures.some_streams({"vendors": MassDeleteRefused("20 of 21 rows are gone.")})
    assert isinstance(wanted, dg.Failure)
    assert not wanted.allow_retries
