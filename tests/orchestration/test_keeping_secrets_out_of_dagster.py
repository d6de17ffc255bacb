from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from pleo_connector.errors import ConfigurationError
from pleo_connector.orchestration import PleoResource, WarehouseResource, build_pleo_definitions
from pleo_connector.sandbox import API_KEY
from pleo_connector.settings import Settings, load
from tests.orchestration.place import Place, environment

SECRET = "s3cret-value-of-a-test"
REMOTE = {"PLEO_ENVIRONMENT": "production", "PLEO_CLIENT_ID": "me"}


@pytest.mark.parametrize("field", ["client_secret", "api_key", "token_keys"])
def test_a_secret_written_out_is_refused_when_definitions_are_built(field: str) -> None:
    given: Any = {field: SECRET}
    with environment({}), pytest.raises(ConfigurationError) as refused:
        dg.Definitions.validate_loadable(build_pleo_definitions(pleo=PleoResource(**given)))
    assert f'write {field}=dg.EnvVar("PLEO_{field.upper()}")' in str(refused.value)
    assert SECRET not in str(refused.value)


def test_a_password_in_the_warehouses_url_is_refused() -> None:
    with environment({}), pytest.raises(ConfigurationError, match=r'warehouse=dg.EnvVar\("PLEO_WAREHOUSE"\)'):
        WarehouseResource(warehouse=f"md:spend?motherduck_token={SECRET}").get_resource_definition()


def test_a_variable_is_accepted_and_shown_by_name_only() -> None:
    with environment({"PLEO_CLIENT_SECRET": SECRET}):
        resource = PleoResource(client_id="me", client_secret=dg.EnvVar("PLEO_CLIENT_SECRET"))
        dg.Definitions.validate_loadable(build_pleo_definitions(pleo=resource))
        assert resource.settings().client_secret.get_secret_value() == SECRET
    for shown in (repr(resource), str(resource), f"{resource}"):
        assert "EnvVar('PLEO_CLIENT_SECRET')" in shown
        assert SECRET not in shown


def test_even_a_refused_literal_is_not_in_the_repr() -> None:
    resource = PleoResource(client_secret=SECRET, token_store=f"postgresql://me:{SECRET}@host/db")
    assert SECRET not in repr(resource)
    assert SECRET not in str(resource)


def test_resources_made_from_settings_carry_names_of_variables_not_values() -> None:
    with environment(REMOTE | {"PLEO_CLIENT_SECRET": SECRET, "PLEO_TOKEN_KEYS": SECRET}):
        resource = PleoResource.from_settings(load(env_file=None))
        configured = resource.get_resource_definition().config_schema.default_value
    assert SECRET not in repr(resource)
    assert SECRET not in str(configured)
    assert configured["client_secret"] == {"env": "PLEO_CLIENT_SECRET"}
    assert configured["environment"] == "production"


def test_a_secret_that_a_run_could_not_find_again_is_refused() -> None:
    with environment({}), pytest.raises(ConfigurationError, match="PLEO_CLIENT_SECRET must be set in the environment"):
        PleoResource.from_settings(Settings(environment="production", client_id="me", client_secret=SECRET))


def test_fields_left_out_follow_the_environment_of_the_run_and_given_ones_win() -> None:
    with environment(REMOTE | {"PLEO_CLIENT_SECRET": SECRET, "PLEO_CONCURRENCY": "3"}):
        assert PleoResource().settings().concurrency == 3
        assert PleoResource(concurrency=5).settings().concurrency == 5
        assert PleoResource(client_id="another").settings().connection == "production/another"
    with environment({"PLEO_API_KEY": SECRET}):
        assert not PleoResource(api_key="").settings().uses_api_key, "empty means none, whatever the environment says"


def test_a_wrong_field_names_its_variable() -> None:
    with environment({}), pytest.raises(ConfigurationError, match="PLEO_API_URL: must use https"):
        PleoResource(environment="production", api_url="http://pleo.example").settings()


def test_nothing_that_a_run_leaves_behind_holds_the_secret(place: Place, tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("home")
    result = place.run(["vendors"], instance=dg.DagsterInstance.local_temp(str(home)))
    assert result.success
    left = everything_in(home)
    assert b"rows_unchanged" in left, "the search finds what is there"
    assert API_KEY.encode() not in left


def test_a_secret_typed_into_the_launchpad_is_refused(place: Place) -> None:
    with environment(place.environment), dg.DagsterInstance.ephemeral() as instance:
        result = (
            build_pleo_definitions()
            .resolve_job_def("pleo_sync")
            .execute_in_process(
                instance=instance,
                raise_on_error=False,
                run_config={"resources": {"pleo": {"config": {"api_key": API_KEY}}}},
            )
        )
    assert not result.success
    said = str([event.event_specific_data for event in result.all_events if event.is_failure])
    assert "api_key was typed into this run" in said
    assert not (place.folder / "w.duckdb").exists()


def everything_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
