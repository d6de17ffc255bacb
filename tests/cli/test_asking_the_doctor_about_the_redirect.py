from __future__ import annotations

import socket

import pytest

from pleo_connector.cli.demo_place import free_port
from pleo_connector.cli.doctor_redirect import check_redirect
from pleo_connector.cli.findings import Finding
from pleo_connector.settings import load


def found(**environ: str) -> list[Finding]:
    return list(check_redirect(load({f"PLEO_{name}": value for name, value in environ.items()}, None)))


def test_a_free_port_is_fine_and_stays_free() -> None:
    port = free_port(0)
    (told,) = found(REDIRECT_URI=f"http://127.0.0.1:{port}/callback")
    assert told.verdict == "ok"
    assert told.found.endswith("its port is free")
    with socket.create_server(("127.0.0.1", port)):
        pass


def test_a_port_that_another_program_holds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as held:
        port = held.getsockname()[1]
        (told,) = found(REDIRECT_URI=f"http://127.0.0.1:{port}/callback")
    assert told.verdict == "warn"
    assert f"Port {port} of PLEO_REDIRECT_URI cannot be listened on" in told.found


@pytest.mark.parametrize(
    ("environ", "verdict", "said"),
    [
        ({"REDIRECT_URI": "https://data.example/callback"}, "ok", "paste"),
        ({"REDIRECT_URI": "https://data.example/callback", "ENVIRONMENT": "production"}, "ok", "must be registered"),
        ({"REDIRECT_URI": "http://127.0.0.1:8765/callback", "ENVIRONMENT": "production"}, "warn", "for development only"),
    ],
)
def test_what_pleo_and_connect_take(environ: dict[str, str], verdict: str, said: str) -> None:
    (told,) = found(CLIENT_ID="acme", CLIENT_SECRET="x", **environ)
    assert told.verdict == verdict
    assert said in told.found


def test_an_api_key_needs_none() -> None:
    assert found(API_KEY="sandbox-api-key") == []
