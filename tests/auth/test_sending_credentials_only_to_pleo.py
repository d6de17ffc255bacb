from __future__ import annotations

import asyncio
import base64
from pathlib import Path

import httpx
import pytest

from pleo_connector import auth
from pleo_connector.auth.httpx_auth import Origins
from pleo_connector.errors import ClientRejected
from pleo_connector.sandbox import API_KEY
from tests.auth.harness import Pleo

ELSEWHERE = [
    "http://evil.example/v1/x",
    "http://127.0.0.1:1/v1/x",
    "https://127.0.0.1/v1/x",
    "http://localhost.evil.example/",
]


def headers_seen_by(auth_: httpx.Auth, url: str, **given: str) -> httpx.Headers:
    seen: list[httpx.Headers] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers)
        return httpx.Response(401)

    with httpx.Client(transport=httpx.MockTransport(handle), auth=auth_, headers=given) as client:
        client.get(url)
    assert len(seen) == 1, "a 401 from elsewhere must not be retried"
    return seen[0]


@pytest.mark.parametrize("url", ELSEWHERE)
def test_no_bearer_leaves_pleos_origin(connected: Pleo, url: str) -> None:
    headers = headers_seen_by(auth.build_auth(connected.settings), url, Authorization="Bearer left-over")
    assert "authorization" not in headers
    assert connected.counted("token_requests") == 0


def test_nor_with_a_user_name_in_the_url(connected: Pleo) -> None:
    url = connected.url.replace("http://", "http://user:word@")
    assert "Bearer" not in headers_seen_by(auth.build_auth(connected.settings), url).get("authorization", "")


@pytest.mark.parametrize("url", ELSEWHERE)
def test_no_api_key_leaves_pleos_origin(connected: Pleo, url: str) -> None:
    assert "authorization" not in headers_seen_by(auth.build_auth(connected.with_(PLEO_API_KEY="the-key")), url)


def test_an_absolute_next_link_elsewhere_gets_nothing(connected: Pleo) -> None:
    """As a page would name it: another port of the same host."""
    seen: list[httpx.Headers] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers)
        return httpx.Response(302, headers={"location": "http://127.0.0.1:9/next"}) if len(seen) == 1 else httpx.Response(200)

    with httpx.Client(transport=httpx.MockTransport(handle), auth=auth.build_auth(connected.settings), follow_redirects=True) as client:
        client.get(connected.url + "/v1/companies")
    assert "authorization" in seen[0] and "authorization" not in seen[1]


def test_plain_http_is_for_loopback_only() -> None:
    with pytest.raises(ValueError, match="https is needed"):
        Origins(["http://external.pleo.io"])
    assert Origins(["https://external.pleo.io"]).allow(httpx.Request("GET", "https://external.pleo.io:443/v1/x"))
    assert not Origins(["https://external.pleo.io"]).allow(httpx.Request("GET", "http://external.pleo.io/v1/x"))


def test_an_api_key_is_the_user_name_without_password_and_needs_no_files(unconnected: Pleo, tmp_path: Path) -> None:
    settings = unconnected.with_(PLEO_API_KEY=API_KEY)
    with unconnected.client(settings) as client:
        answer = client.get("/v1/introspect")
    assert answer.status_code == 200
    assert base64.b64decode(answer.request.headers["authorization"].removeprefix("Basic ")) == f"{API_KEY}:".encode()
    assert auth.status(settings).state == "api key"
    assert list(tmp_path.iterdir()) == [] and unconnected.counted("token_requests") == 0


def test_a_refused_api_key_names_its_variable(unconnected: Pleo) -> None:
    with (
        unconnected.client(unconnected.with_(PLEO_API_KEY="wrong-key")) as client,
        pytest.raises(ClientRejected, match="PLEO_API_KEY") as caught,
    ):
        client.get("/v1/introspect")
    assert "wrong-key" not in str(caught.value)


def test_the_async_client_goes_by_the_same_rules(connected: Pleo) -> None:
    async def go() -> tuple[int, int]:
        async with httpx.AsyncClient(auth=auth.build_auth(connected.settings), trust_env=False) as client:
            inside = await client.get(connected.url + "/v1/introspect")
        async with httpx.AsyncClient(
            auth=auth.build_auth(connected.settings),
            transport=httpx.MockTransport(lambda sent: httpx.Response(200 + ("authorization" in sent.headers))),
        ) as client:
            outside = await client.get("https://evil.example/")
        return inside.status_code, outside.status_code

    assert asyncio.run(go()) == (200, 200)
