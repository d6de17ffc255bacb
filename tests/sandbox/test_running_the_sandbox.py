from __future__ import annotations

import dataclasses
import signal
import socket
import subprocess
import sys
import threading
import time

import httpx
import pytest

from pleo_connector.catalogue import CATALOGUE, Catalogue
from pleo_connector.errors import ConfigurationError
from pleo_connector.sandbox import API_KEY, CLIENT_SECRET, Fault, RunningSandbox, SandboxConfig, running
from tests.sandbox.signing_in import client_of, get, ids, post, signed_in


def test_a_sandbox_leaves_no_thread_and_no_listener() -> None:
    before = threading.active_count()
    with running(SandboxConfig(port=0)) as sandbox:
        assert get(f"{sandbox.url}/v1/companies", auth=(API_KEY, "")).status_code == 200
        assert sandbox.url.startswith("http://127.0.0.1:")
    assert threading.active_count() == before
    with pytest.raises(httpx.ConnectError):
        get(f"{sandbox.url}/v1/companies")


def test_an_error_in_the_block_ends_the_sandbox_too() -> None:
    before = threading.active_count()
    with pytest.raises(ZeroDivisionError), running(SandboxConfig(port=0)):
        raise ZeroDivisionError
    assert threading.active_count() == before


def test_it_starts_again_at_once_on_the_same_port() -> None:
    with running(SandboxConfig(port=0)) as sandbox:
        port = int(sandbox.url.rpartition(":")[2])
        with client_of(sandbox, auth=(API_KEY, "")) as client:
            client.get("/v1/companies")
    with running(SandboxConfig(port=port)) as sandbox:
        assert sandbox.url.endswith(f":{port}")


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigurationError, match=f"port {port}"), running(SandboxConfig(port=port)):
            pass


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "pleo.io", "", "::"])
def test_only_loopback_is_listened_on(host: str) -> None:
    with pytest.raises(ConfigurationError, match="loopback"):
        SandboxConfig(host=host)


def test_loopback_has_many_names() -> None:
    for host in ("127.0.0.1", "localhost", "::1", "127.8.8.8"):
        assert SandboxConfig(host=host).host == host


def test_wrong_settings_are_sentences() -> None:
    for wrong in ({"port": 70_000}, {"latency_ms": -1.0}, {"requests_per_minute": -1}, {"access_token_lifetime": 0.0}):
        with pytest.raises(ConfigurationError):
            SandboxConfig(**wrong)
    with pytest.raises(ConfigurationError, match="no company"), running(SandboxConfig(port=0, company="nobody")):
        pass


def test_reprs_hold_no_secrets(sandbox: RunningSandbox) -> None:
    pair = signed_in(sandbox)
    shown = repr(sandbox) + repr(sandbox.state.config) + repr(sandbox.state.clients) + repr(sandbox.state.oauth._grants)
    assert not [secret for secret in (CLIENT_SECRET, API_KEY, pair["access_token"], pair["refresh_token"]) if secret in shown]


SERVE = """
from pleo_connector.sandbox import SandboxConfig, serve
serve(SandboxConfig(port=0), on_ready=lambda sandbox: print(sandbox.url, flush=True))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_serve_with_exit_0(number: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-W", "error", "-c", SERVE], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        assert get(f"{url}/v1/companies", auth=(API_KEY, "")).status_code == 200
        process.send_signal(number)
        _, errors = process.communicate(timeout=20)
    assert (process.returncode, errors) == (0, "")


def test_every_stream_of_the_catalogue_is_a_route_and_a_new_one_becomes_one() -> None:
    teams = dataclasses.replace(
        CATALOGUE.stream("employees"), name="teams", record="team", operation="searchTeams", path="/v9/teams", scope="teams:read"
    )
    with (
        running(SandboxConfig(port=0), catalogue=Catalogue(*CATALOGUE, teams)) as sandbox,
        client_of(sandbox, auth=(API_KEY, "")) as client,
    ):
        for stream in CATALOGUE:
            other = "POST" if stream.method == "GET" else "GET"
            # A path with a place for a parent is a route too, and finds no such parent.
            expected = (200, 400) if "{" not in stream.path else (404,)
            assert client.request(stream.method, stream.path).status_code in expected, stream.name
            assert client.request(other, stream.path).status_code == 405, stream.name
        assert client.get("/v9/teams").json()["data"] == []
        company = next(iter(sandbox.state.store.companies()))
        sandbox.state.put("teams", {"id": "t1", "companyId": company, "name": "Studio"})
        assert ids(client.get("/v9/teams", params={"companyId": company})) == ["t1"]
        assert "teams:read" in sandbox.state.scopes
    with running(SandboxConfig(port=0)) as sandbox:
        missing = get(f"{sandbox.url}/v9/teams", auth=(API_KEY, ""))
        assert missing.status_code == 404
        assert missing.json()["type"] == "NOT_FOUND"


def test_records_change_over_http_and_in_process(sandbox: RunningSandbox, own_api: httpx.Client) -> None:
    control = f"{sandbox.url}/_sandbox/records"
    employee = sandbox.state.records("employees")[0]
    company = employee["companyId"]

    def served() -> dict[str, str]:
        found = own_api.get("/v2/employees", params={"companyId": company, "limit": 100}).json()["data"]
        return {record["id"]: record["lastName"] for record in found}

    count = len(served())
    assert own_api.post("/_sandbox/records/employees", json={**employee, "lastName": "Changed"}).status_code == 200
    assert served()[employee["id"]] == "Changed"
    assert get(f"{control}/employees/{employee['id']}").json()["lastName"] == "Changed"
    added = {**employee, "id": "aaaaaaaa-0000-4000-8000-000000000001"}
    sandbox.state.put("employees", added)
    assert len(served()) == count + 1
    assert own_api.delete(f"/_sandbox/records/employees/{added['id']}").json() == {"removed": True}
    assert own_api.delete(f"/_sandbox/records/employees/{added['id']}").status_code == 404
    assert get(f"{control}/employees/{added['id']}").status_code == 404
    assert sandbox.state.remove("employees", employee["id"])
    assert employee["id"] not in served()
    assert len(served()) == count - 1
    for body in ({"companyId": company}, {"id": "x"}):
        assert own_api.post("/_sandbox/records/employees", json=body).status_code == 400
    assert (
        own_api.post("/_sandbox/records/employes", json=added).json()["message"]
        == "There is no stream 'employes'; did you mean 'employees'?"
    )
    assert own_api.post("/_sandbox/records/employees", content=b"[").status_code == 400


def test_a_copy_does_not_change_the_record(sandbox: RunningSandbox) -> None:
    record = sandbox.state.records("employees")[0]
    record["lastName"] = "Elsewhere"
    assert sandbox.state.get("employees", record["id"]) != record


def test_a_new_company_is_covered_by_the_organisations_grant(sandbox: RunningSandbox, own_api: httpx.Client) -> None:
    company = {
        "id": "aaaaaaaa-0000-4000-8000-000000000002",
        "name": "Ny ApS",
        "organizationId": sandbox.state.organisation_id,
        "address": {},
    }
    sandbox.state.put("companies", company)
    assert company["id"] in ids(own_api.get("/v1/companies"))
    assert own_api.get(f"/v1/companies/{company['id']}").json() == {"data": company}
    sandbox.state.put("companies", {**company, "organizationId": "aaaaaaaa-0000-4000-8000-000000000003"})
    assert own_api.get(f"/v1/companies/{company['id']}").status_code == 403


def test_counters_over_http_count_everything_but_the_control_itself(sandbox: RunningSandbox, own_api: httpx.Client) -> None:
    signed_in(sandbox)
    own_api.get("/v1/companies")
    own_api.get("/v1/companies", auth=("wrong key", ""))
    counters = get(f"{sandbox.url}/_sandbox/counters").json()
    assert counters == sandbox.counters()
    assert counters["requests"] == 5
    assert counters["by_path"] == {"/oauth/authorize": 2, "/oauth/token": 1, "/v1/companies": 2}
    assert counters["by_status"] == {"200": 3, "302": 1, "401": 1}
    assert (counters["token_requests"], counters["logins"], counters["live_tokens"]) == (1, 1, 1)
    assert counters["records_served"] == len(sandbox.state.records("companies"))
    assert post(f"{sandbox.url}/_sandbox/reset").status_code == 200
    assert (sandbox.counters()["requests"], sandbox.counters()["live_tokens"]) == (0, 1)


def test_starting_over_undoes_everything(sandbox: RunningSandbox, own_api: httpx.Client) -> None:
    pair = signed_in(sandbox)
    employee = sandbox.state.records("employees")[0]
    sandbox.state.remove("employees", employee["id"])
    sandbox.state.set_faults(Fault("status", path="/v2"))
    assert own_api.post("/_sandbox/start-over").status_code == 200
    assert sandbox.state.get("employees", employee["id"]) == employee
    assert own_api.get("/v2/employees").status_code == 200
    assert (sandbox.counters()["requests"], sandbox.counters()["live_tokens"]) == (1, 0)
    with client_of(sandbox, headers={"Authorization": f"Bearer {pair['access_token']}"}) as client:
        assert client.get("/v1/introspect").status_code == 401


def test_faults_and_grants_are_switched_over_http(sandbox: RunningSandbox, own_api: httpx.Client) -> None:
    signed_in(sandbox)
    assert own_api.put("/_sandbox/faults", json=[{"kind": "status", "status": 503, "times": 1}]).status_code == 200
    assert own_api.get("/_sandbox/faults").json()[0]["status"] == 503
    assert own_api.get("/v1/companies").status_code == 503
    assert own_api.put("/_sandbox/faults", json=[{"kind": "nope"}]).status_code == 400
    assert own_api.put("/_sandbox/faults", content=b"{").status_code == 400
    assert own_api.put("/_sandbox/faults", json=[]).json() == []
    assert own_api.post("/_sandbox/expire").json() == {"expired": 1}
    assert own_api.post("/_sandbox/revoke").json() == {"revoked": 1}


def test_many_clients_at_once(sandbox: RunningSandbox) -> None:
    answers: list[int] = []

    def work() -> None:
        with client_of(sandbox, auth=(API_KEY, "")) as client:
            answers.extend(client.get("/v1/companies").status_code for _ in range(10))

    threads = [threading.Thread(target=work) for _ in range(8)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers == [200] * 80
    assert sandbox.counters()["requests"] == 80
    assert time.monotonic() - started < 20
