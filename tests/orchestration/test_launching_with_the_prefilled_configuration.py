"""The launchpad of Dagster's UI prefills a run's configuration, with ******** for each secret. Launched untouched, it works."""

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from dagster._core.snap import JobSnap
from dagster._core.snap.snap_to_yaml import default_values_yaml_from_type_snap

from pleo_connector.orchestration import PleoResource, WarehouseResource, build_pleo_definitions
from pleo_connector.orchestration.component import PleoComponent
from pleo_connector.orchestration.resources import MASK
from pleo_connector.sandbox import API_KEY
from pleo_connector.settings import variable_of
from tests.orchestration.place import Place, environment, failure, materialized
from tests.orchestration.test_what_the_ui_launches import SELECTOR, served

VENDORS = dg.AssetKey(["pleo", "vendors"])
SECRETS = [
    (resource, name)
    for resource in (PleoResource, WarehouseResource)
    for name, field in resource.model_fields.items()
    if isinstance(field.json_schema_extra, dict) and field.json_schema_extra.get("dagster__is_secret")
]


def prefilled(job: dg.JobDefinition) -> dict[str, Any]:
    """What Dagster's GraphQL answers as `rootDefaultYaml` of a job."""
    snap = JobSnap.from_job_def(job)
    root = snap.config_schema_snapshot.get_config_snap(str(snap.mode_def_snaps[0].root_config_key))
    config: dict[str, Any] = yaml.safe_load(default_values_yaml_from_type_snap(snap.config_schema_snapshot, root))
    return config


def launched(definitions: dg.Definitions, *keys: dg.AssetKey, job: str = "pleo_sync", **chosen: Any) -> dg.ExecuteInProcessResult:
    """The job, or a selection of its assets, run with the prefilled configuration and these choices of its step."""
    found = definitions.resolve_job_def(job)
    config = prefilled(found.get_subset(asset_selection=frozenset(keys)) if keys else found)
    for step in config["ops"].values():
        step["config"] |= chosen
    with dg.DagsterInstance.ephemeral() as instance:
        return found.execute_in_process(instance=instance, run_config=config, asset_selection=list(keys) or None, raise_on_error=False)


@pytest.mark.parametrize("job", ["pleo_sync", "__ASSET_JOB"])
def test_an_untouched_launchpad_of_a_job_and_of_assets_syncs(place: Place, job: str) -> None:
    with environment(place.environment):
        result = launched(build_pleo_definitions(streams=["vendors"]), *([VENDORS] if job == "__ASSET_JOB" else []), job=job)
    assert result.success
    assert materialized(result)["vendors"]["dagster/row_count"] > 0


def test_what_is_chosen_beside_the_masks_counts(place: Place) -> None:
    with environment(place.environment):
        result = launched(build_pleo_definitions(streams=["vendors"]), companies=["Nobody Ltd"])
    assert "Company 'Nobody Ltd' is not covered" in str(failure(result).user_failure_data.description)


def test_resources_without_any_field_launch_too(place: Place) -> None:
    with environment(place.environment):
        built = build_pleo_definitions(streams=["vendors"], pleo=PleoResource(), warehouse=WarehouseResource())
        assert launched(built).success


def test_a_url_with_a_password_stays_the_name_of_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_WAREHOUSE", "postgresql://me:a-password-of-a-test@127.0.0.1:9/db")
    with environment({}):
        built = build_pleo_definitions(streams=["vendors"], warehouse=WarehouseResource(warehouse=dg.EnvVar("MY_WAREHOUSE")))
        config = prefilled(built.resolve_job_def("pleo_sync"))
    assert config["resources"]["pleo_warehouse"]["config"]["warehouse"] == {"env": "MY_WAREHOUSE"}


@pytest.mark.parametrize(("resource", "name"), SECRETS)
def test_the_mask_of_every_secret_means_not_given(resource: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIVEN_BY_A_TEST", "the-value-of-the-definitions")
    seen = {}

    def values(made: Any) -> str:
        @dg.op(required_resource_keys={"one"})
        def look(context: dg.OpExecutionContext) -> None:
            seen["value"] = getattr(context.resources.one.settings(), name).get_secret_value()

        job = dg.JobDefinition(
            graph_def=dg.GraphDefinition("looking", node_defs=[look]), resource_defs={"one": made.get_resource_definition()}
        )
        config = prefilled(job)
        config["resources"]["one"]["config"][name] = MASK  # Dagster 1.12 shows the variable's name instead
        assert job.execute_in_process(run_config=config).success
        return str(seen["value"])

    with environment({"PLEO_ENVIRONMENT": "sandbox", variable_of(name): "the-value-of-the-environment"}):
        assert values(resource()) == "the-value-of-the-environment"
        assert values(resource(**{name: dg.EnvVar("GIVEN_BY_A_TEST")})) == "the-value-of-the-definitions"


def test_another_secret_typed_in_is_still_refused(place: Place) -> None:
    with environment(place.environment):
        job = build_pleo_definitions(streams=["vendors"]).resolve_job_def("pleo_sync")
        config = prefilled(job)
        config["resources"]["pleo"]["config"]["api_key"] = "typed"
        with dg.DagsterInstance.ephemeral() as instance:
            result = job.execute_in_process(instance=instance, run_config=config, raise_on_error=False)
    assert not result.success
    assert "api_key was typed into this run" in str([event.event_specific_data for event in result.all_events if event.is_failure])


@pytest.mark.filterwarnings("ignore:`parse_obj_as` is deprecated")
def test_a_component_launches_untouched(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACME_PLEO_KEY", API_KEY)
    attributes = f"{{name: acme, environment: sandbox, api_url: '{place.url}', api_key_env: ACME_PLEO_KEY, streams: [vendors], "
    attributes += f"warehouse: '{place.environment['PLEO_WAREHOUSE']}', marts: false}}"
    context: Any = None
    with environment({}):
        built = PleoComponent.resolve_from_yaml(attributes).build_defs(context)
        assert launched(built, job="acme_sync").success


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("keys", [[], [["pleo", "vendors"]]])
def test_what_dagsters_server_prefills_is_what_it_takes(place: Place, tmp_path: Path, keys: list[list[str]]) -> None:
    location = 'from pleo_connector import build_pleo_definitions\n\ndefs = build_pleo_definitions(streams=["vendors"])\n'
    request: dict[str, Any] = {**SELECTOR, "pipelineName": "__ASSET_JOB" if keys else "pleo_sync"}
    request |= {"assetSelection": [{"path": key} for key in keys]} if keys else {}
    with served(tmp_path, place.environment, location) as ui:
        schema = ui.ask(
            "query ($of: PipelineSelector!) { runConfigSchemaOrError(selector: $of) { ... on RunConfigSchema { rootDefaultYaml } } }",
            of=request,
        )
        assert schema["rootDefaultYaml"].count(MASK) in (len(SECRETS), 0), "Dagster 1.12 masks none, and shows names of variables"
        run = ui.ask(
            "mutation ($params: ExecutionParams!) { launchRun(executionParams: $params) "
            "{ __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }",
            params={"selector": request, "runConfigData": schema["rootDefaultYaml"]},
        )
        assert ui.finished(run["run"]["runId"]).is_success


def test_no_prefilled_value_is_a_word_that_the_page_turns_into_true_or_false(place: Place) -> None:
    # The page writes the configuration anew, by a later YAML in which off needs no quotes.
    changed = place.environment | {"PLEO_CONNECTION": "no", "PLEO_SCHEMA": "on", "PLEO_RAW": "off"}
    with environment(changed):
        built = build_pleo_definitions(streams=["vendors"])
        resources = prefilled(built.resolve_job_def("pleo_sync"))["resources"]
        settings = (built.resources or {})["pleo_warehouse"].settings()
    values = [value for one in resources.values() for value in one["config"].values()]
    assert not {"on", "off", "yes", "no"} & {value for value in values if isinstance(value, str)}
    assert (settings.schema_name, settings.raw, settings.snapshot) == ("on", "off", "off")
    assert resources["pleo"]["config"]["connection_label"] == {"env": "PLEO_CONNECTION"}


@pytest.mark.parametrize(
    ("given", "shown"),
    [({"raw": "off"}, "none"), ({"snapshot": "on"}, "beside"), ({"snapshot": "off"}, "none"), ({"raw": "./raw"}, "./raw")],
)
def test_a_switch_of_a_warehouse_is_shown_by_a_word_that_stays_text(given: dict[str, Any], shown: str) -> None:
    with environment({}):
        made = WarehouseResource(**given)
        job = build_pleo_definitions(streams=["vendors"], warehouse=made).resolve_job_def("pleo_sync")
        (name, value), config = *given.items(), prefilled(job)["resources"]["pleo_warehouse"]["config"]
        assert config[name] == shown
        assert getattr(made.settings(), name).endswith(value.removeprefix("./"))
