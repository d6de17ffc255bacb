from __future__ import annotations

import json
import time
from typing import Any

import httpx
import pytest

from pleo_connector.errors import ConfigurationError
from pleo_connector.sandbox import API_KEY, Fault, RunningSandbox, SandboxConfig, running
from pleo_connector.sandbox.faults import FaultPlan
from tests.sandbox.signing_in import bearer, client_of, refreshed, signed_in


@pytest.mark.parametrize("status", [401, 403, 429, 500, 502, 503])
def test_a_status_for_a_number_of_times_on_one_path(sandbox: RunningSandbox, own_api: httpx.Client, status: int) -> None:
    sandbox.state.set_faults(Fault("status", status=status, path="/v1/companies", times=2))
    assert own_api.get("/v2/employees").status_code == 200
    assert [own_api.get("/v1/companies").status_code for _ in range(3)] == [status, status, 200]
    counters = sandbox.counters()
    assert counters["faults"] == {"status": 2}
    assert counters["by_status"] == {"200": 2, str(status): 2}


def test_html_truncated_and_cut_bodies(sandbox: RunningSandbox, own_api: httpx.Client) -> None:
    sandbox.state.set_faults(Fault("html", times=1), Fault("truncated", times=1), Fault("cut", times=1))
    html = own_api.get("/v1/companies")
    assert html.status_code == 200
    assert html.headers["content-type"].startswith("text/html")
    truncated = own_api.get("/v1/companies")
    assert truncated.status_code == 200
    assert truncated.content.startswith(b'{"data":[{"id"')
    with pytest.raises(json.JSONDecodeError):
        truncated.json()
    with pytest.raises(httpx.RemoteProtocolError, match=r"received \d+ bytes, expected \d+"):
        own_api.get("/v1/companies")
    assert own_api.get("/v1/companies").status_code == 200
    assert sandbox.counters()["faults"] == {"html": 1, "truncated": 1, "cut": 1}


def test_a_reset_connection(sandbox: RunningSandbox, own_api: httpx.Client) -> None:
    sandbox.state.set_faults(Fault("reset", times=1))
    with pytest.raises(httpx.ReadError):  # an orderly end would be a RemoteProtocolError
        own_api.get("/v1/companies")
    assert own_api.get("/v1/companies").status_code == 200


def test_hangs_end_with_the_client_or_the_sandbox() -> None:
    with running(SandboxConfig(port=0, faults=(Fault("hang"),))) as sandbox, client_of(sandbox, auth=(API_KEY, ""), timeout=0.2) as client:
        with pytest.raises(httpx.ReadTimeout):
            client.get("/v1/companies")
        assert sandbox.counters()["faults"] == {"hang": 1}
        with pytest.raises(httpx.ReadTimeout):
            client.get("/v1/companies")
        started = time.monotonic()
    assert time.monotonic() - started < 3


def test_delays_and_latency() -> None:
    with running(SandboxConfig(port=0, latency_ms=50)) as sandbox, client_of(sandbox, auth=(API_KEY, "")) as client:
        for fault, least in ((None, 0.05), (Fault("delay_before", seconds=0.1), 0.15), (Fault("delay_after", seconds=0.1), 0.15)):
            sandbox.state.set_faults(*([fault] if fault else []))
            started = time.monotonic()
            assert client.get("/v1/companies").status_code == 200
            assert time.monotonic() - started >= least


def test_a_long_delay_does_not_hold_up_the_end() -> None:
    started = time.monotonic()
    config = SandboxConfig(port=0, faults=(Fault("delay_before", seconds=60),))
    with running(config) as sandbox, client_of(sandbox, timeout=0.1) as client, pytest.raises(httpx.ReadTimeout):
        client.get("/v1/companies")
    assert time.monotonic() - started < 4


@pytest.mark.parametrize(
    "fault",
    [
        Fault("reset", path="/oauth/token", times=1, after_effect=True),
        Fault("cut", path="/oauth/token", times=1),
        Fault("truncated", path="/oauth/token", times=1),
        Fault("status", status=502, path="/oauth/token", times=1, after_effect=True),
        Fault("html", path="/oauth/token", times=1, after_effect=True),
    ],
)
def test_a_rotation_can_be_committed_and_its_answer_lost(sandbox: RunningSandbox, fault: Fault) -> None:
    pair = signed_in(sandbox)
    sandbox.state.set_faults(fault)
    try:
        lost = refreshed(sandbox, pair["refresh_token"])
    except httpx.TransportError:
        lost = None
    assert lost is None or lost.status_code == 502 or b'"access_token"' not in lost.content or not lost.content.endswith(b"}")
    counters = sandbox.counters()
    assert (counters["refreshes"], counters["reuse"], counters["live_tokens"]) == (1, 0, 1)
    with bearer(sandbox, pair["access_token"]) as client:
        assert client.get("/v1/introspect").status_code == 401
    assert refreshed(sandbox, pair["refresh_token"]).json()["error"] == "invalid_grant"
    assert sandbox.counters()["reuse"] == 1


def test_without_after_effect_nothing_was_rotated(sandbox: RunningSandbox) -> None:
    pair = signed_in(sandbox)
    sandbox.state.set_faults(Fault("reset", path="/oauth/token", times=1), Fault("status", status=500, path="/oauth/token", times=1))
    with pytest.raises(httpx.TransportError):
        refreshed(sandbox, pair["refresh_token"])
    assert refreshed(sandbox, pair["refresh_token"]).status_code == 500
    assert sandbox.counters()["refreshes"] == 0
    assert refreshed(sandbox, pair["refresh_token"]).status_code == 200


def test_a_path_may_be_a_prefix_or_exact(sandbox: RunningSandbox) -> None:
    plan = FaultPlan([Fault("reset", path="/oauth/token$"), Fault("hang", path="/v1/")], 1)
    kinds = [
        fault and fault.kind for fault in map(plan.draw, ("/oauth/token", "/oauth/token/introspect", "/v1/companies", "/v2/employees"))
    ]
    assert kinds == ["reset", None, "hang", None]


def test_a_fault_may_carry_an_oauth_error(sandbox: RunningSandbox) -> None:
    sandbox.state.set_faults(Fault("status", status=400, error="invalid_client", path="/oauth/token"))
    assert refreshed(sandbox, "any").json() == {"error": "invalid_client"}


def test_probability_follows_the_seed() -> None:
    def hits(seed: int) -> list[bool]:
        plan = FaultPlan([Fault("status", probability=0.5)], seed)
        return [plan.draw("/v1/companies") is not None for _ in range(40)]

    assert hits(1) == hits(1)
    assert hits(1) != hits(2)
    assert 8 < hits(1).count(True) < 32


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("reset", Fault("reset")),
        (
            "status,status=503,path=/v1/companies,times=2,retry_after=7",
            Fault("status", status=503, path="/v1/companies", times=2, retry_after=7),
        ),
        ("delay_after,seconds=1.5,probability=0.25", Fault("delay_after", seconds=1.5, probability=0.25)),
        ("html, after_effect=true", Fault("html", after_effect=True)),
    ],
)
def test_faults_are_read_from_a_command_line(text: str, fault: Fault) -> None:
    assert Fault.from_text(text) == fault
    assert Fault.from_mapping(fault.to_mapping()) == fault


@pytest.mark.parametrize(
    "text",
    [
        "explode",
        "status,status=abc",
        "status,status=200",
        "status,color=red",
        "reset,times=-1",
        "reset,times",
        "hang,path=v1",
        "reset,probability=2",
        "",
    ],
)
def test_a_wrong_fault_is_refused_with_a_sentence(text: str) -> None:
    with pytest.raises(ConfigurationError, match="fault"):
        Fault.from_text(text)


@pytest.mark.parametrize(
    "given", [{}, {"kind": 5}, {"kind": "reset", "times": "two"}, {"kind": "reset", "after_effect": 1}, {"kind": "status", "status": True}]
)
def test_a_wrong_fault_in_json_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match="fault"):
        Fault.from_mapping(given)
