from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from pleo_connector.errors import ConfigurationError
from pleo_connector.settings import (
    DEFAULT_SCOPES,
    SWITCHES,
    VARIABLES,
    ClientAuth,
    Environment,
    Settings,
    load,
    unknown_variables,
    variable_of,
)

LIVE = {"PLEO_ENVIRONMENT": "production", "PLEO_CLIENT_ID": "client-1", "PLEO_CLIENT_SECRET": "hush-secret"}


def from_environment(**variables: str) -> Settings:
    return load(variables, env_file=None)


def refusal(**variables: str) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load(variables, env_file=None)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__, "the traceback would show pydantic's error, with the values"
    return str(caught.value)


def test_with_nothing_set_the_sandbox_is_meant() -> None:
    settings = from_environment()
    assert settings.environment is Environment.SANDBOX
    assert settings.api_url == settings.auth_url == "http://127.0.0.1:8764"
    assert settings.client_id == "sandbox-client"
    assert settings.client_secret.get_secret_value() == "sandbox-secret"
    assert settings.client_auth is ClientAuth.BASIC
    assert settings.redirect_uri == "http://127.0.0.1:8765/callback"
    assert settings.scopes == DEFAULT_SCOPES
    assert settings.api_key.get_secret_value() == settings.token_keys.get_secret_value() == ""
    assert settings.token_store.endswith("tokens.sqlite")
    assert settings.warehouse == "duckdb:///spend.duckdb"
    assert from_environment(PLEO_WAREHOUSE="md:spend").warehouse == "md:spend"
    assert settings.schema_name == "pleo"
    assert settings.requests_per_minute == 500
    assert settings.concurrency == 8
    assert not settings.uses_api_key


@pytest.mark.parametrize(
    ("environment", "api", "auth"),
    [
        ("production", "https://external.pleo.io", "https://auth.pleo.io"),
        ("staging", "https://external.staging.pleo.io", "https://auth.staging.pleo.io"),
    ],
)
def test_presets_of_the_real_environments(environment: str, api: str, auth: str) -> None:
    settings = from_environment(PLEO_ENVIRONMENT=environment)
    assert (settings.api_url, settings.auth_url) == (api, auth)
    assert settings.client_id == settings.client_secret.get_secret_value() == "", "the sandbox's client is the sandbox's alone"


def test_every_variable_is_read() -> None:
    given = {
        "PLEO_ENVIRONMENT": "staging",
        "PLEO_API_URL": "https://api.example.com/",
        "PLEO_AUTH_URL": "http://localhost:9000",
        "PLEO_ISSUER": "https://id.example.com",
        "PLEO_PROXY": "http://me:hush-hush@proxy.example.com:3128",
        "PLEO_CLIENT_ID": "client-1",
        "PLEO_CLIENT_SECRET": "s3cret",
        "PLEO_CLIENT_AUTH": "post",
        "PLEO_REDIRECT_URI": "https://etl.example.com/callback",
        "PLEO_SCOPES": " companies:read   users:read ",
        "PLEO_TOKEN_STORE": "~/tokens.sqlite",
        "PLEO_TOKEN_KEYS": "k1,k2",
        "PLEO_HOST_MARKS": "/var/lib/pleo-host",
        "PLEO_KEY_PROVIDER": "keyring",
        "PLEO_CONNECTION": "acme",
        "PLEO_CONFIG": "conf/pleo.toml",
        "PLEO_WAREHOUSE": "duckdb:////data/spend.duckdb",
        "PLEO_SCHEMA": "spend",
        "PLEO_PORTAL_URL": "https://connect.example.com/pleo/",
        "PLEO_PORTAL_SECRET": "s" * 32,
        "PLEO_PORTAL_PASSWORD": "p" * 16,
        "PLEO_PORTAL_NAME": "Northwind Data",
        "PLEO_PORTAL_PROXIES": "127.0.0.1,  10.0.0.0/8",
        "PLEO_SNAPSHOT": "on",
        "PLEO_STORAGE_VERSION": "1.5.0",
        "PLEO_REQUESTS_PER_MINUTE": "120",
        "PLEO_BUDGET_SCOPE": "process",
        "PLEO_CONCURRENCY": "4",
        "PLEO_RAW": "./raw",
        "PLEO_RAW_DAYS": "30",
        "PLEO_HASH_KEY": "h" * 32,
        "PLEO_MARTS": "off",
        "PLEO_CATEGORIES": "categories.csv",
    }
    settings = from_environment(**given)
    assert settings.environment is Environment.STAGING
    assert settings.api_url == "https://api.example.com"
    assert settings.auth_url == "http://localhost:9000"
    assert settings.proxy == "http://me:hush-hush@proxy.example.com:3128" and "hush-hush" not in repr(settings)
    assert settings.issuer == "https://id.example.com"
    assert settings.client_id == "client-1"
    assert settings.client_secret.get_secret_value() == "s3cret"
    assert settings.client_auth is ClientAuth.POST
    assert settings.redirect_uri == "https://etl.example.com/callback"
    assert settings.scopes == "companies:read users:read"
    assert settings.token_store == str(Path.home() / "tokens.sqlite")
    assert settings.host_marks == "/var/lib/pleo-host"
    assert settings.token_keys.get_secret_value() == "k1,k2"
    assert settings.warehouse == "duckdb:////data/spend.duckdb"
    assert (settings.schema_name, settings.snapshot, settings.storage_version) == ("spend", "on", "v1.5.0")
    assert settings.requests_per_minute == 120
    assert not settings.shares_budget
    assert settings.concurrency == 4
    assert (settings.raw, settings.raw_days) == ("./raw", 30)
    assert settings.hash_key.get_secret_value() == "h" * 32
    assert not settings.marts
    assert settings.categories == "categories.csv"
    assert settings.key_provider == "keyring"
    assert settings.config == "conf/pleo.toml"
    assert settings.connection == "staging/client-1/acme"
    assert settings.portal_url == "https://connect.example.com/pleo"
    assert settings.portal_secret.get_secret_value() == "s" * 32
    assert settings.portal_password.get_secret_value() == "p" * 16
    assert settings.portal_name == "Northwind Data"
    assert settings.portal_proxies == "127.0.0.1 10.0.0.0/8"
    assert from_environment(PLEO_API_KEY="key").uses_api_key
    assert set(given) | {"PLEO_API_KEY"} == set(VARIABLES), "a new variable needs its line here"


def test_the_field_of_each_variable() -> None:
    assert variable_of("api_url") == "PLEO_API_URL"
    assert variable_of("schema_name") == "PLEO_SCHEMA"


@pytest.mark.parametrize("variable", VARIABLES)
def test_an_empty_variable_is_unset(variable: str) -> None:
    assert load({variable: ""}, env_file=None) == load({variable: "  "}, env_file=None) == load({}, env_file=None)


@pytest.mark.parametrize(
    ("variable", "value", "says"),
    [
        ("PLEO_ENVIRONMENT", "prod", "'production', 'staging' or 'sandbox'"),
        ("PLEO_RAW", "on", "must be warehouse, off, or a folder such as ./raw"),
        ("PLEO_RAW_DAYS", "-1", "greater than or equal to 0"),
        ("PLEO_API_URL", "external.pleo.io", "must be a URL such as https://external.pleo.io"),
        ("PLEO_API_URL", "ftp://external.pleo.io", "must be a URL"),
        ("PLEO_API_URL", "http://external.pleo.io", "must use https (http is allowed only for 127.0.0.1, ::1 and localhost)"),
        ("PLEO_AUTH_URL", "http://127.0.0.1.evil.example", "must use https"),
        ("PLEO_AUTH_URL", "http://localhost@evil.example", "must not contain a user name"),
        ("PLEO_AUTH_URL", "https://user:hush-secret@auth.pleo.io", "must not contain a user name or password"),
        ("PLEO_AUTH_URL", "https://auth.pleo.io?x=1", "must not contain a query"),
        ("PLEO_API_URL", "https://external.pleo.io:99999", "must have a port between 0 and 65535"),
        ("PLEO_CLIENT_AUTH", "jwt", "'basic', 'post' or 'none'"),
        ("PLEO_REDIRECT_URI", "callback", "must be a URL such as http://127.0.0.1:8765/callback"),
        ("PLEO_REDIRECT_URI", "http://127.0.0.1/callback", "must name a fixed port"),
        ("PLEO_REDIRECT_URI", "http://127.0.0.1:0/callback", "must name a fixed port"),
        ("PLEO_REDIRECT_URI", "http://etl.example.com:80/callback", "must use https"),
        ("PLEO_REDIRECT_URI", "http://127.0.0.1:8765/callback#x", "must not contain a query or fragment"),
        ("PLEO_SCOPES", "companies:read,users:read", "separated by spaces"),
        ("PLEO_WAREHOUSE", "spend.duckdb", "must be a URL such as duckdb:///spend.duckdb"),
        ("PLEO_SCHEMA", 'pleo"; DROP SCHEMA', "must be a plain name"),
        ("PLEO_SCHEMA", "p" * 64, "at most 63"),
        ("PLEO_PORTAL_URL", "http://connect.example.com", "must use https"),
        ("PLEO_PORTAL_URL", "https://connect.example.com/a/../b", "must have a plain path"),
        ("PLEO_PORTAL_URL", "https://connect.example.com/a?x=1", "must not contain a query"),
        ("PLEO_PORTAL_SECRET", "hush-secret", "at least 32 characters"),
        ("PLEO_PORTAL_PASSWORD", "hush-secret", "at least 16 characters"),
        ("PLEO_PORTAL_PROXIES", "proxy.internal", "must be addresses or networks"),
        ("PLEO_REQUESTS_PER_MINUTE", "many", "valid integer"),
        ("PLEO_REQUESTS_PER_MINUTE", "0", "greater than or equal to 1"),
        ("PLEO_CONCURRENCY", "65", "less than or equal to 64"),
    ],
)
def test_a_wrong_value_is_refused_by_the_name_of_its_variable(variable: str, value: str, says: str) -> None:
    message = refusal(**{variable: value})
    assert message.startswith(f"Settings are wrong: {variable}: ")
    assert says in message
    assert "hush-secret" not in message
    assert message.count("PLEO_") == 1, "nothing else is wrong"


def test_all_wrong_values_are_named_at_once() -> None:
    message = refusal(PLEO_CONCURRENCY="x", PLEO_SCHEMA="1")
    assert "PLEO_CONCURRENCY: " in message
    assert "PLEO_SCHEMA: " in message


@pytest.mark.parametrize("host", ["127.0.0.1:8764", "localhost:8764", "[::1]:8764"])
def test_plain_http_is_for_loopback(host: str) -> None:
    assert from_environment(PLEO_API_URL=f"http://{host}").api_url == f"http://{host}"


def test_the_environment_wins_over_the_file_and_the_file_over_presets(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("# ours\nPLEO_ENVIRONMENT=staging\nexport PLEO_SCHEMA='from_file'\nPLEO_CONCURRENCY=2\nOTHER=1\n", encoding="utf-8")
    settings = load({"PLEO_SCHEMA": "from_environment", "PLEO_CONCURRENCY": ""}, env_file=file)
    assert settings.environment is Environment.STAGING
    assert settings.schema_name == "from_environment"
    assert settings.concurrency == 2, "an empty variable is unset, so the file speaks"


def test_a_secret_in_the_file_is_taken_as_it_stands(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text('PLEO_CLIENT_SECRET="a${HOME}b#c"\n', encoding="utf-8")
    assert load({}, env_file=file).client_secret.get_secret_value() == "a${HOME}b#c"


def test_a_missing_file_is_no_fault_and_an_unreadable_one_is(tmp_path: Path) -> None:
    assert load({}, env_file=tmp_path / "none.env").environment is Environment.SANDBOX
    broken = tmp_path / "broken.env"
    broken.write_bytes(b"PLEO_SCHEMA=\xff\xfe\n")
    with pytest.raises(ConfigurationError, match=r"settings file .*broken\.env cannot be read: it is not UTF-8 text"):
        load({}, env_file=broken)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("PLEO_CLIENTID", "did you mean PLEO_CLIENT_ID?"),
        ("PLEO_ENVIROMENT", "did you mean PLEO_ENVIRONMENT?"),
        ("PLEO_SCHEMA_NAME", "did you mean PLEO_SCHEMA?"),
        ("PLEO_DEBUGG", "did you mean PLEO_DEBUG?"),
        ("PLEO_QQQ", "known names: PLEO_ENVIRONMENT, PLEO_API_URL"),
    ],
)
def test_an_unknown_variable_is_warned_about_with_the_nearest_name(name: str, hint: str) -> None:
    (warning,) = unknown_variables({name: "hush-secret", "PATH": "/bin", "PLEO_SCHEMA": "pleo"}, env_file=None)
    assert warning.startswith(f"{name} is not a setting of pleo-connector and is ignored; ")
    assert hint in warning
    assert "hush-secret" not in warning
    load({name: "hush-secret"}, env_file=None)


def test_known_variables_are_not_warned_about(tmp_path: Path) -> None:
    file = tmp_path / ".env"
    file.write_text("PLEO_SHEMA=x\n", encoding="utf-8")
    assert unknown_variables(dict.fromkeys((*VARIABLES, *SWITCHES), "x"), env_file=None) == []
    assert len(unknown_variables({}, env_file=file)) == 1


def test_no_secret_in_any_repr() -> None:
    settings = from_environment(
        **LIVE,
        PLEO_TOKEN_KEYS="hush-keys",
        PLEO_PORTAL_SECRET="hush" * 8,
        PLEO_PORTAL_PASSWORD="hush" * 4,
        PLEO_WAREHOUSE="postgresql://me:hush-password@db/pleo",
        PLEO_TOKEN_STORE="postgresql://me:hush-2@db",
    )
    key = from_environment(PLEO_API_KEY="hush-key")
    assert "hush" not in f"{settings!r} {settings} {key!r} {key}"


def test_an_api_key_and_a_client_are_not_both_set() -> None:
    message = refusal(**LIVE, PLEO_API_KEY="hush-key")
    assert "PLEO_API_KEY and PLEO_CLIENT_ID are both set" in message
    assert "hush" not in message


def test_credentials_are_asked_for_when_needed_not_at_load() -> None:
    settings = from_environment(PLEO_ENVIRONMENT="production")
    with pytest.raises(ConfigurationError, match=r"no credentials for Pleo \(production\): set PLEO_CLIENT_ID .* or PLEO_API_KEY"):
        settings.require_credentials()


def test_a_client_without_a_secret_must_be_a_public_one() -> None:
    with pytest.raises(ConfigurationError, match="set the secret, or PLEO_CLIENT_AUTH=none"):
        from_environment(PLEO_ENVIRONMENT="production", PLEO_CLIENT_ID="client-1").require_credentials()
    from_environment(PLEO_ENVIRONMENT="production", PLEO_CLIENT_ID="client-1", PLEO_CLIENT_AUTH="none").require_credentials()


def test_a_client_an_api_key_and_the_sandbox_are_credentials() -> None:
    from_environment(**LIVE).require_credentials()
    from_environment(PLEO_ENVIRONMENT="production", PLEO_API_KEY="key").require_credentials()
    from_environment().require_credentials()


def test_settings_are_frozen_and_know_no_other_field() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        from_environment().concurrency = 3  # type: ignore[misc]
    with pytest.raises(ValidationError, match="Extra inputs"):
        Settings(concurency=3)  # type: ignore[call-arg]
