from __future__ import annotations

import httpx

from pleo_connector.sandbox import API_KEY, Fault, RunningSandbox, SandboxConfig, running
from tests.sandbox.signing_in import Clock, bearer, client_of, refreshed, signed_in


def burst(client: httpx.Client, count: int) -> list[httpx.Response]:
    return [client.get("/v1/companies") for _ in range(count)]


def test_a_budget_of_any_60_seconds_per_grant(clock: Clock) -> None:
    with running(SandboxConfig(port=0, requests_per_minute=5), clock=clock) as sandbox:
        first, other = signed_in(sandbox), signed_in(sandbox)
        with bearer(sandbox, first["access_token"]) as client, bearer(sandbox, other["access_token"]) as neighbour:
            assert [answer.status_code for answer in burst(client, 3)] == [200] * 3
            clock.now += 20
            assert [answer.status_code for answer in burst(client, 3)] == [200, 200, 429]
            refused = client.get("/v1/companies")
            assert refused.headers["retry-after"] == "40"
            assert refused.json()["type"] == "TOO_MANY_REQUESTS"
            assert neighbour.get("/v1/companies").status_code == 200
            clock.now += 39.5
            assert client.get("/v1/companies").headers["retry-after"] == "1"
            clock.now += 1
            assert [answer.status_code for answer in burst(client, 4)] == [200, 200, 200, 429]
        counters = sandbox.counters()
        assert counters["responses_429"] == 4
        assert counters["sent_before_retry_after"] == 2


def test_the_budget_stays_with_the_grant_over_a_refresh(clock: Clock) -> None:
    with running(SandboxConfig(port=0, requests_per_minute=1), clock=clock) as sandbox:
        pair = signed_in(sandbox)
        with bearer(sandbox, pair["access_token"]) as client:
            assert client.get("/v1/companies").status_code == 200
        pair = refreshed(sandbox, pair["refresh_token"]).json()
        with bearer(sandbox, pair["access_token"]) as client:
            assert client.get("/v1/companies").status_code == 429


def test_waiting_is_enough_and_patience_is_not_counted(clock: Clock) -> None:
    with running(SandboxConfig(port=0, requests_per_minute=2), clock=clock) as sandbox, client_of(sandbox, auth=(API_KEY, "")) as client:
        answers = burst(client, 3)
        clock.now += int(answers[-1].headers["retry-after"])
        assert client.get("/v1/companies").status_code == 200
        assert sandbox.counters()["sent_before_retry_after"] == 0


def test_no_limit_when_switched_off(clock: Clock) -> None:
    with running(SandboxConfig(port=0, requests_per_minute=0), clock=clock) as sandbox, client_of(sandbox, auth=(API_KEY, "")) as client:
        assert {answer.status_code for answer in burst(client, 20)} == {200}


def test_a_faults_retry_after_is_watched_too(sandbox: RunningSandbox, own_api: httpx.Client, clock: Clock) -> None:
    sandbox.state.set_faults(Fault("status", status=429, retry_after=30, path="/v1/companies", times=1))
    assert own_api.get("/v1/companies").headers["retry-after"] == "30"
    clock.now += 29
    assert own_api.get("/v1/companies").status_code == 200
    assert sandbox.counters()["sent_before_retry_after"] == 1
    clock.now += 1
    own_api.get("/v1/companies")
    assert sandbox.counters()["sent_before_retry_after"] == 1


def test_so_is_the_token_endpoints(sandbox: RunningSandbox, clock: Clock) -> None:
    pair = signed_in(sandbox)
    sandbox.state.set_faults(Fault("status", status=429, retry_after=10, path="/oauth/token", times=1))
    answer = refreshed(sandbox, pair["refresh_token"])
    assert (answer.status_code, "error" in answer.json()) == (429, False)
    assert refreshed(sandbox, pair["refresh_token"]).status_code == 200
    assert sandbox.counters()["sent_before_retry_after"] == 1
