import base64
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import dagster as dg
import pytest

from pleo_connector import auth
from pleo_connector.cli.demo_place import free_port
from pleo_connector.cli.local_pleo import log_in
from pleo_connector.errors import ConfigurationError
from pleo_connector.orchestration import PleoResource, WarehouseResource, build_pleo_definitions
from pleo_connector.orchestration.keeping_secrets import keeping_secrets
from pleo_connector.sandbox import API_KEY, CLIENT_ID, SandboxConfig, running
from pleo_connector.settings import Settings, load
from tests.orchestration.careless import INNOCENT, forms_of
from tests.orchestration.place import Place, environment

SECRET = "s3cret-value-of-a-test"
CLIENT_SECRET = "canary-client-secret/with+odd=chars"
CARELESS_API_KEY = "canary-api-key/with+odd=chars"
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
    message = str([event.event_specific_data for event in result.all_events if event.is_failure])
    assert "api_key was typed into this run" in message
    assert not (place.folder / "w.duckdb").exists()


@dataclass(frozen=True)
class Careless:
    """A place with a real grant, and what must not be found anywhere."""

    home: Path
    environment: dict[str, str]

    def secrets(self) -> list[str]:
        with environment(self.environment):
            tokens = auth.build_manager(load(self.environment, None)).tokens()
        (key,) = (Path(self.environment["PLEO_TOKEN_STORE"]).parent).glob("*.key")
        return [tokens.access.reveal(), tokens.refresh.reveal(), key.read_text().strip(), CLIENT_SECRET, CARELESS_API_KEY]

    def found(self, text: bytes) -> list[str]:
        """Forms of secrets that are in a text."""
        basic = base64.b64encode(f"{quote_plus(CLIENT_ID)}:{quote_plus(CLIENT_SECRET)}".encode()).decode()
        forms = [basic, *(form for secret in self.secrets() for form in forms_of(secret))]
        return [form for form in forms if form.encode() in text]


@pytest.fixture
def careless(tmp_path: Path) -> Iterator[Careless]:
    uri = f"http://127.0.0.1:{free_port(0)}/callback"
    with running(SandboxConfig(port=0, requests_per_minute=0, redirect_uris=(uri,), client_secret=CLIENT_SECRET)) as sandbox:
        home = tmp_path / "home"
        home.mkdir()
        (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
        variables = {
            "PLEO_API_URL": sandbox.url,
            "PLEO_AUTH_URL": sandbox.url,
            "PLEO_REDIRECT_URI": uri,
            "PLEO_CLIENT_SECRET": CLIENT_SECRET,
            "PLEO_TOKEN_STORE": str(tmp_path / "state" / "tokens.sqlite"),
            "PLEO_REQUESTS_PER_MINUTE": "100000",
        }
        log_in(load(variables, None))
        yield Careless(home, variables)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("executor", ["in_process", pytest.param("multiprocess", marks=pytest.mark.slow)])
def test_whatever_a_careless_step_says_dagster_keeps_no_secret(careless: Careless, executor: str) -> None:
    """Searched: every file beneath DAGSTER_HOME (event log, compute logs, outputs), and what the processes print."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.orchestration.careless", executor],
        env={**os.environ, **careless.environment, "DAGSTER_HOME": str(careless.home), "CARELESS_API_KEY": CARELESS_API_KEY},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        timeout=800,
        check=False,
    )
    message = done.stdout + done.stderr
    assert done.returncode == 0, message.decode()
    kept = {file: file.read_bytes() for file in careless.home.rglob("*") if file.is_file()}
    with dg.DagsterInstance.from_config(str(careless.home)) as instance:
        (run,) = instance.get_runs()
        entries = instance.all_logs(run.run_id)
    events = [entry.dagster_event for entry in entries if entry.dagster_event]
    failed = {event.step_key: event for event in events if event.event_type_value == "STEP_FAILURE"}
    assert set(failed) == {"fail", "fail_stubbornly", "fail_on_purpose", "fail_twice"}
    # What is innocent stays, and what was said is there without the secrets: the search looks at the right places.
    assert f"failed with {' '.join(['***'] * 5)}" in str(failed["fail"].step_failure_data.error)
    assert any(entry.user_message == INNOCENT for entry in entries)
    assert any("a hook was told: failed with ***" in entry.user_message for entry in entries)
    printed = b"".join(text for file, text in kept.items() if file.suffix in (".out", ".err"))
    assert f"printed {INNOCENT}".encode() in printed
    assert printed.count(b"printed ***") == 5 * 4
    assert b"send_request_headers" in printed and printed.count(b"late ***") >= 5 * 4
    assert {str(file.relative_to(careless.home)): careless.found(text) for file, text in kept.items() if careless.found(text)} == {}
    assert careless.found(message) == []


def test_a_run_in_this_process_leaves_nothing_of_ours_behind(careless: Careless) -> None:
    before = (sys.stdout, sys.stderr, logging.Logger.handle, dg.DagsterEvent.__dict__["__new__"])
    seen: list[Any] = []

    @dg.asset
    def outer(context: dg.AssetExecutionContext, pleo: PleoResource) -> None:
        seen.extend((sys.stdout, sys.stderr, logging.Logger.handle, dg.DagsterEvent.__dict__["__new__"]))
        with environment(careless.environment):
            tokens = auth.build_manager(pleo.settings()).tokens()
        raise ValueError(tokens.access.reveal())

    with (
        environment(careless.environment),
        dg.DagsterInstance.local_temp(str(careless.home)) as instance,
        pytest.raises(ValueError, match=r"^\*\*\*$"),
    ):
        dg.materialize([outer], instance=instance, resources={"pleo": PleoResource()})
    assert all(one is not other for one, other in zip(before, seen, strict=True)), "while the step ran they were ours"
    after = (sys.stdout, sys.stderr, logging.Logger.handle, dg.DagsterEvent.__dict__["__new__"])
    assert all(one is other for one, other in zip(before, after, strict=True))
    assert careless.found(everything_in(careless.home)) == []


def test_two_runs_at_once_are_both_kept_clean_until_the_last_one_ends() -> None:
    before = (sys.stdout, logging.Logger.handle)
    first, second = keeping_secrets(), keeping_secrets()
    first.__enter__()
    second.__enter__()
    ours = (sys.stdout, logging.Logger.handle)
    first.__exit__(None, None, None)
    assert (sys.stdout, logging.Logger.handle) == ours
    second.__exit__(None, None, None)
    assert (sys.stdout, logging.Logger.handle) == before != ours


def everything_in(folder: Path) -> bytes:
    return b"".join(file.read_bytes() for file in folder.rglob("*") if file.is_file())
