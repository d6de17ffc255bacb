from __future__ import annotations

import base64
from urllib.parse import quote_plus

import httpx
import pytest

from pleo_connector.errors import ConfigurationError, PleoError
from pleo_connector.sandbox import CLIENT_ID, CLIENT_SECRET, PUBLIC_CLIENT_ID, RunningSandbox, SandboxConfig, consent, running
from tests.sandbox.signing_in import BASIC, REDIRECT, SCOPES, Clock, Login, bearer, get, post, refreshed, signed_in, token


def alive(sandbox: RunningSandbox, access_token: str) -> bool:
    with bearer(sandbox, access_token) as client:
        return client.get("/v1/introspect").status_code == 200


def test_a_login_gives_a_pair_that_opens_the_api(sandbox: RunningSandbox) -> None:
    pair = signed_in(sandbox)
    assert pair["token_type"] == "Bearer"
    assert pair["expires_in"] == 900
    assert pair["scope"] == SCOPES
    assert alive(sandbox, pair["access_token"])
    assert not alive(sandbox, pair["refresh_token"])
    assert not alive(sandbox, "made up")


def test_the_consent_page_names_client_company_and_scopes_in_words(sandbox: RunningSandbox) -> None:
    page = get(Login(sandbox).authorize_url)
    assert page.status_code == 200
    assert "asks to read your Pleo data" in page.text
    assert "Nordlys Design ApS" in page.text
    assert "every accounting entry" in page.text
    assert page.headers["cache-control"] == "no-store"


def test_the_state_comes_back(sandbox: RunningSandbox) -> None:
    assert Login(sandbox, {"state": "x y&z=é"}).redirected()["state"] == "x y&z=é"


def test_a_user_may_decline(sandbox: RunningSandbox) -> None:
    answer = Login(sandbox).redirected(allow=False)
    assert answer["error"] == "access_denied"
    assert answer["state"] == "a state"
    assert "code" not in answer


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"response_type": "token"}, "unsupported_response_type"),
        ({"code_challenge": None}, "invalid_request"),
        ({"code_challenge": "tooshort"}, "invalid_request"),
        ({"code_challenge_method": "plain"}, "invalid_request"),
        ({"code_challenge_method": None}, "invalid_request"),
        ({"scope": "companies:read expenses:write"}, "invalid_scope"),
        ({"scope": None}, "invalid_scope"),
        ({"urn_pleo_params_oauth_subject": "urn:pleo:company:11111111-1111-4111-8111-111111111111"}, "invalid_request"),
    ],
)
def test_a_wrong_authorise_request_redirects_with_an_error(sandbox: RunningSandbox, changes: dict[str, str | None], error: str) -> None:
    answer = Login(sandbox, changes).redirected()
    assert answer["error"] == error
    assert answer["error_description"]
    assert answer["state"] == "a state"


def test_a_missing_state_is_refused(sandbox: RunningSandbox) -> None:
    assert Login(sandbox, {"state": None}).redirected()["error"] == "invalid_request"


@pytest.mark.parametrize(
    "changes",
    [
        {"client_id": "nobody"},
        {"redirect_uri": REDIRECT + "/"},
        {"redirect_uri": REDIRECT + "?a=b"},
        {"redirect_uri": "http://localhost:8765/callback"},
        {"redirect_uri": None},
    ],
)
def test_an_untrusted_address_is_never_redirected_to(sandbox: RunningSandbox, changes: dict[str, str | None]) -> None:
    url = Login(sandbox, changes).authorize_url
    assert get(url).status_code == 400
    with pytest.raises(PleoError, match="400"):
        consent(url)


def test_consent_is_given_only_to_a_sandbox() -> None:
    with pytest.raises(ConfigurationError, match="real authorise address"):
        consent("https://auth.pleo.io/oauth/authorize?client_id=x")


def test_a_consent_page_can_be_answered_once(sandbox: RunningSandbox) -> None:
    page = get(Login(sandbox).authorize_url).text
    ticket = page.split('name="ticket" value="')[1].split('"')[0]
    form = {"ticket": ticket, "decision": "allow"}
    assert post(f"{sandbox.url}/oauth/authorize", data=form).status_code == 302
    assert post(f"{sandbox.url}/oauth/authorize", data=form).status_code == 400


def test_a_second_use_of_a_code_voids_what_the_first_got(sandbox: RunningSandbox) -> None:
    form = (login := Login(sandbox)).code_form()
    pair = token(sandbox, form).json()
    again = token(sandbox, form)
    assert (again.status_code, again.json()["error"]) == (400, "invalid_grant")
    assert not alive(sandbox, pair["access_token"])
    assert login.verifier


def test_a_code_is_short_lived(sandbox: RunningSandbox, clock: Clock) -> None:
    form = Login(sandbox).code_form()
    clock.now += 60
    assert token(sandbox, form).json()["error"] == "invalid_grant"


@pytest.mark.parametrize(
    ("name", "value", "error"),
    [
        ("code_verifier", "x" * 42, "invalid_request"),
        ("code_verifier", "x" * 129, "invalid_request"),
        ("code_verifier", "x" * 42 + "!", "invalid_request"),
        ("code_verifier", "x" * 43, "invalid_grant"),
        ("redirect_uri", REDIRECT + "/", "invalid_grant"),
        ("code", "unknown", "invalid_grant"),
        ("grant_type", "client_credentials", "unsupported_grant_type"),
        ("grant_type", "", "unsupported_grant_type"),
    ],
)
def test_a_wrong_exchange_is_refused(sandbox: RunningSandbox, name: str, value: str, error: str) -> None:
    answer = token(sandbox, {**Login(sandbox).code_form(), name: value})
    assert answer.status_code == 400
    assert answer.json()["error"] == error


def test_verifiers_of_43_and_128_characters_are_accepted(sandbox: RunningSandbox) -> None:
    for verifier in ("a" * 43, "Az09-._~" * 16):
        assert token(sandbox, Login(sandbox, verifier=verifier).code_form()).status_code == 200


def test_the_client_may_authenticate_by_basic_by_post_or_be_public(sandbox: RunningSandbox) -> None:
    assert token(sandbox, Login(sandbox).code_form(), BASIC).status_code == 200
    post = {"client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}
    assert token(sandbox, {**Login(sandbox).code_form(), **post}, None).status_code == 200
    public = Login(sandbox, {"client_id": PUBLIC_CLIENT_ID})
    assert token(sandbox, {**public.code_form(), "client_id": PUBLIC_CLIENT_ID}, None).status_code == 200


@pytest.mark.parametrize(
    ("auth", "form", "status"),
    [
        ((CLIENT_ID, "wrong"), {}, 401),
        (("nobody", CLIENT_SECRET), {}, 401),
        ((PUBLIC_CLIENT_ID, ""), {}, 401),
        (None, {}, 401),
        (None, {"client_id": CLIENT_ID}, 401),
        (None, {"client_id": CLIENT_ID, "client_secret": "wrong"}, 401),
        (None, {"client_id": PUBLIC_CLIENT_ID, "client_secret": "any"}, 401),
        (BASIC, {"client_secret": CLIENT_SECRET}, 400),
        (BASIC, {"client_id": PUBLIC_CLIENT_ID}, 400),
    ],
)
def test_wrong_client_authentication_is_refused(
    sandbox: RunningSandbox, auth: tuple[str, str] | None, form: dict[str, str], status: int
) -> None:
    answer = token(sandbox, {**Login(sandbox).code_form(), **form}, auth)
    assert answer.status_code == status
    assert answer.json()["error"] == ("invalid_client" if status == 401 else "invalid_request")
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Basic")


def test_basic_takes_the_secret_raw_and_form_encoded(clock: Clock) -> None:
    secret = "a+b %c:/é"
    with running(SandboxConfig(port=0, client_secret=secret), clock=clock) as sandbox:
        for shown in (secret, quote_plus(secret)):
            header = "Basic " + base64.b64encode(f"{CLIENT_ID}:{shown}".encode()).decode()
            assert token(sandbox, Login(sandbox).code_form(), None, Authorization=header).status_code == 200
        header = "Basic " + base64.b64encode(f"{CLIENT_ID}:{quote_plus(secret)}x".encode()).decode()
        assert token(sandbox, Login(sandbox).code_form(), None, Authorization=header).status_code == 401


def test_token_requests_must_be_forms_without_repeats(sandbox: RunningSandbox) -> None:
    url = f"{sandbox.url}/oauth/token"
    assert post(url, json={"grant_type": "refresh_token"}, auth=BASIC).json()["error"] == "invalid_request"
    twice = post(url, data={"grant_type": ["refresh_token", "refresh_token"]}, auth=BASIC)
    assert twice.json()["error"] == "invalid_request"


def test_a_refresh_voids_both_earlier_tokens_at_once(sandbox: RunningSandbox) -> None:
    first = signed_in(sandbox)
    second = refreshed(sandbox, first["refresh_token"]).json()
    assert second["access_token"] != first["access_token"]
    assert second["refresh_token"] != first["refresh_token"]
    assert not alive(sandbox, first["access_token"])
    assert alive(sandbox, second["access_token"])
    assert sandbox.counters()["refreshes"] == 1
    assert sandbox.counters()["live_tokens"] == 1


def test_reuse_of_a_rotated_refresh_token_voids_the_grant(sandbox: RunningSandbox) -> None:
    first = signed_in(sandbox)
    second = refreshed(sandbox, first["refresh_token"]).json()
    answer = refreshed(sandbox, first["refresh_token"])
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")
    assert not alive(sandbox, second["access_token"])
    assert refreshed(sandbox, second["refresh_token"]).json()["error"] == "invalid_grant"
    counters = sandbox.counters()
    assert (counters["reuse"], counters["revoked_grants"], counters["live_grants"], counters["token_requests"]) == (1, 1, 0, 4)


def test_use_of_an_expired_refresh_token_voids_the_grant(clock: Clock) -> None:
    config = SandboxConfig(port=0, access_token_lifetime=1000, refresh_token_lifetime=100)
    with running(config, clock=clock) as sandbox:
        pair = signed_in(sandbox)
        clock.now += 100
        assert alive(sandbox, pair["access_token"])
        assert refreshed(sandbox, pair["refresh_token"]).json()["error"] == "invalid_grant"
        assert not alive(sandbox, pair["access_token"])
        assert sandbox.counters()["reuse"] == 1


def test_one_grant_does_not_touch_another(sandbox: RunningSandbox) -> None:
    one, other = signed_in(sandbox), signed_in(sandbox)
    refreshed(sandbox, one["refresh_token"])
    refreshed(sandbox, one["refresh_token"])
    assert alive(sandbox, other["access_token"])


def test_an_access_token_is_no_refresh_token_and_belongs_to_its_client(sandbox: RunningSandbox) -> None:
    pair = signed_in(sandbox)
    assert refreshed(sandbox, pair["access_token"]).json()["error"] == "invalid_grant"
    stolen = token(sandbox, {"grant_type": "refresh_token", "refresh_token": pair["refresh_token"], "client_id": PUBLIC_CLIENT_ID}, None)
    assert stolen.json()["error"] == "invalid_grant"
    assert alive(sandbox, pair["access_token"])
    assert sandbox.counters()["reuse"] == 0


def test_an_access_token_ends_on_time(sandbox: RunningSandbox, clock: Clock) -> None:
    pair = signed_in(sandbox)
    clock.now += 899
    assert alive(sandbox, pair["access_token"])
    clock.now += 1
    assert not alive(sandbox, pair["access_token"])
    assert refreshed(sandbox, pair["refresh_token"]).status_code == 200


def test_a_refresh_cannot_widen_the_scope(sandbox: RunningSandbox) -> None:
    pair = signed_in(sandbox, scope="companies:read")
    answer = refreshed(sandbox, pair["refresh_token"], scope="companies:read users:read")
    assert answer.json()["error"] == "invalid_scope"
    assert refreshed(sandbox, pair["refresh_token"], scope="companies:read").status_code == 200


def test_grants_can_be_revoked_and_access_tokens_expired_from_outside(sandbox: RunningSandbox) -> None:
    pair = signed_in(sandbox)
    assert sandbox.state.expire_access_tokens() == 1
    assert not alive(sandbox, pair["access_token"])
    pair = refreshed(sandbox, pair["refresh_token"]).json()
    assert sandbox.state.revoke_grants() == 1
    assert not alive(sandbox, pair["access_token"])
    assert refreshed(sandbox, pair["refresh_token"]).json()["error"] == "invalid_grant"
    assert sandbox.counters()["reuse"] == 0


def introspected(sandbox: RunningSandbox, shown: str, auth: tuple[str, str] = BASIC) -> httpx.Response:
    return post(f"{sandbox.url}/oauth/token/introspect", data={"token": shown}, auth=auth)


def test_introspection_tells_the_own_client_and_nobody_else(sandbox: RunningSandbox) -> None:
    first = signed_in(sandbox)
    live = introspected(sandbox, first["access_token"]).json()
    assert live["active"] is True
    assert live["client_id"] == CLIENT_ID
    assert live["urn:pleo:params:oauth:subject_urn"] == f"urn:pleo:organisation:{sandbox.state.organisation_id}"
    assert live["exp"] - live["iat"] == 900
    assert introspected(sandbox, first["refresh_token"]).json()["active"] is True
    assert introspected(sandbox, "unknown").json() == {"active": False}
    assert introspected(sandbox, first["access_token"], (CLIENT_ID, "wrong")).status_code == 401
    foreign = {"token": first["access_token"], "client_id": PUBLIC_CLIENT_ID}
    assert post(f"{sandbox.url}/oauth/token/introspect", data=foreign).json() == {"active": False}


def test_introspecting_an_old_refresh_token_is_no_reuse(sandbox: RunningSandbox) -> None:
    first = signed_in(sandbox)
    second = refreshed(sandbox, first["refresh_token"]).json()
    assert introspected(sandbox, first["refresh_token"]).json() == {"active": False}
    assert alive(sandbox, second["access_token"])
    assert sandbox.counters()["reuse"] == 0


def test_the_api_introspects_tokens_and_keys(sandbox: RunningSandbox, own_api: httpx.Client) -> None:
    pair = signed_in(sandbox, scope="companies:read users:read")
    with bearer(sandbox, pair["access_token"]) as client:
        data = client.get("/v1/introspect").json()["data"]
        installation = client.get("/v1/installations/me").json()
    assert data["clientId"] == CLIENT_ID
    assert (data["authMethod"], data["scope"]) == ("OAUTH2", "companies:read users:read")
    assert installation["status"] == "ACTIVATED"
    assert installation["resource"] == data["subjectURN"] == f"urn:pleo:organisation:{sandbox.state.organisation_id}"
    assert own_api.get("/v1/introspect").json()["data"]["authMethod"] == "API_KEY"


def test_api_keys_are_user_names_with_an_empty_password(sandbox: RunningSandbox) -> None:
    for auth, status in ((("sandbox-api-key", ""), 200), (("sandbox-api-key", "x"), 401), (("", "sandbox-api-key"), 401)):
        assert get(f"{sandbox.url}/v1/companies", auth=auth).status_code == status
    raw = {"Authorization": "Basic sandbox-api-key"}
    assert get(f"{sandbox.url}/v1/companies", headers=raw).status_code == 401
    assert get(f"{sandbox.url}/v1/companies").status_code == 401


def test_a_route_needs_its_scope_in_one_of_its_spellings(sandbox: RunningSandbox) -> None:
    company = {"company_id": next(iter(sandbox.state.store.companies()))}
    for scope, groups in (("tag-groups:read", 200), ("tag-group:read", 200), ("vendors:read", 403)):
        with bearer(sandbox, signed_in(sandbox, scope=scope)["access_token"]) as client:
            assert client.get("/v0/tag-groups", params=company).status_code == groups
            assert client.get("/v1/companies").status_code == 403


def test_a_grant_may_cover_one_company(clock: Clock, companies: dict[str, str]) -> None:
    danish, german = companies["DK"], companies["DE"]
    with (
        running(SandboxConfig(port=0, company=danish), clock=clock) as sandbox,
        bearer(sandbox, signed_in(sandbox)["access_token"]) as client,
    ):
        assert client.get("/v1/introspect").json()["data"]["subjectURN"] == f"urn:pleo:company:{danish}"
        assert [record["id"] for record in client.get("/v1/companies").json()["data"]] == [danish]
        assert client.get(f"/v1/companies/{danish}").json()["data"]["name"] == "Nordlys Design ApS"
        assert client.get(f"/v1/companies/{german}").status_code == 403
        assert client.get("/v0/tag-groups", params={"company_id": german}).status_code == 403
        assert client.get("/v0/tag-groups", params={"organization_id": sandbox.state.organisation_id}).status_code == 403
        assert {record["companyId"] for record in client.get("/v2/employees").json()["data"]} == {danish}
    config = SandboxConfig(port=0, company=danish, company_may_list=False)
    with running(config, clock=clock) as sandbox, bearer(sandbox, signed_in(sandbox)["access_token"]) as client:
        assert client.get("/v1/companies").status_code == 403


def test_a_client_may_ask_for_one_company(sandbox: RunningSandbox, companies: dict[str, str]) -> None:
    pair = signed_in(sandbox, urn_pleo_params_oauth_subject=f"urn:pleo:company:{companies['SE']}")
    with bearer(sandbox, pair["access_token"]) as client:
        assert [record["id"] for record in client.get("/v1/companies").json()["data"]] == [companies["SE"]]
