"""Against scripted answers, for what no honest server sends."""

from __future__ import annotations

import base64
import gzip
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import unquote_plus

import httpx
import pytest

from pleo_connector.auth.answers import Answer, Granted, NotProcessed, Refused, Uncertain
from pleo_connector.auth.client_auth import ClientCredentials
from pleo_connector.auth.endpoint import PrivateClient, TokenEndpoint
from pleo_connector.auth.secret import Secret
from pleo_connector.settings import ClientAuth

GOOD = {"access_token": "new-access", "refresh_token": "new-refresh", "token_type": "Bearer", "expires_in": 900}
URL = "https://auth.example"


class Bomb(httpx.SyncByteStream):
    """50 MB of zeros, compressed to 50 kB."""

    def __iter__(self) -> Iterator[bytes]:
        yield gzip.compress(b"0" * 50_000_000)


def ask(
    answer: Callable[[httpx.Request], httpx.Response], *, method: ClientAuth = ClientAuth.BASIC, secret: str = "s"
) -> tuple[Answer, list[httpx.Request]]:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return answer(request)

    credentials = ClientCredentials("the id+1", Secret(secret), method)
    endpoint = TokenEndpoint(URL, credentials, PrivateClient(httpx.MockTransport(handle)))
    return endpoint.refresh(Secret("old refresh+token")), seen


def form(request: httpx.Request) -> dict[str, str]:
    return dict(httpx.QueryParams(request.content.decode()))


def test_a_good_answer_is_taken() -> None:
    answer, (request,) = ask(lambda _: httpx.Response(200, json=GOOD | {"scope": "a b"}))
    assert answer == Granted(Secret("new-access"), Secret("new-refresh"), 900.0, "a b")
    assert form(request) == {"grant_type": "refresh_token", "refresh_token": "old refresh+token"}
    assert request.headers["content-type"].startswith("application/x-www-form-urlencoded")
    assert request.headers["user-agent"].startswith("pleo-connector") and request.headers["connection"] == "close"


@pytest.mark.parametrize("secret", ["plain", "a+b%c:d/e f", "=?&"])
def test_basic_is_form_encoded_before_base64(secret: str) -> None:
    _, (request,) = ask(lambda _: httpx.Response(200, json=GOOD), secret=secret)
    user, _, password = base64.b64decode(request.headers["authorization"].removeprefix("Basic ")).decode().partition(":")
    assert (unquote_plus(user), unquote_plus(password)) == ("the id+1", secret)
    assert "client_id" not in form(request)


def test_post_puts_id_and_secret_into_the_form() -> None:
    _, (request,) = ask(lambda _: httpx.Response(200, json=GOOD), method=ClientAuth.POST, secret="a+b c")
    assert form(request)["client_id"] == "the id+1" and form(request)["client_secret"] == "a+b c"
    assert "authorization" not in request.headers


def test_a_public_client_sends_its_id_alone() -> None:
    _, (request,) = ask(lambda _: httpx.Response(200, json=GOOD), method=ClientAuth.NONE, secret="")
    assert form(request)["client_id"] == "the id+1" and "client_secret" not in form(request)
    assert "authorization" not in request.headers


JUNK: list[tuple[httpx.Response, type]] = [
    (httpx.Response(200, text="<html>"), Uncertain),
    (httpx.Response(200, json={}), Uncertain),
    (httpx.Response(200, json=[1]), Uncertain),
    (httpx.Response(200, json={k: v for k, v in GOOD.items() if k != "refresh_token"}), Uncertain),
    (httpx.Response(200, json=GOOD | {"access_token": 7}), Uncertain),
    (httpx.Response(200, json=GOOD | {"token_type": "mac"}), Uncertain),
    (httpx.Response(200, content=b"[" * 50_000), Uncertain),
    (httpx.Response(200, content=json.dumps(GOOD | {"pad": "x" * 1_000_000}).encode()), Uncertain),
    (httpx.Response(200, stream=Bomb(), headers={"content-encoding": "gzip"}), Uncertain),
    (httpx.Response(500, json={"error": "server_error"}), Uncertain),
    (httpx.Response(502, text="bad gateway"), Uncertain),
    (httpx.Response(429, json={"message": "slow down"}), NotProcessed),
    (httpx.Response(503, text="<html>"), Uncertain),
    (httpx.Response(408, text="<html>"), Uncertain),
    (httpx.Response(425, text="<html>"), NotProcessed),
    (httpx.Response(520, text="<html>"), Uncertain),
    (httpx.Response(400, json={"error": "server_error"}), Uncertain),
    (httpx.Response(400, json={"error": "temporarily_unavailable"}), Uncertain),
    (httpx.Response(400, json={"error": "slow_down"}), NotProcessed),
    (httpx.Response(403, json={"message": "no"}), NotProcessed),
    (httpx.Response(302, headers={"location": "https://evil.example/"}), NotProcessed),
    (httpx.Response(400, json={"error": "invalid_grant", "error_description": 'odd "quotes" \u00e9\n'}), Refused),
    (httpx.Response(401, json={"error": "invalid_client"}), Refused),
    (httpx.Response(401, headers={"www-authenticate": 'Bearer realm="a", error="invalid_token", error_description="x"'}), Refused),
]


@pytest.mark.parametrize(("response", "kind"), JUNK)
def test_junk_is_sorted_and_never_becomes_a_token(response: httpx.Response, kind: type) -> None:
    answer, seen = ask(lambda _: response)
    assert type(answer) is kind
    assert len(seen) == 1, "no redirect is followed, nothing is sent twice"


@pytest.mark.parametrize("odd", [None, "soon", 0, -5, 1e15])
def test_an_odd_expires_in_does_not_cost_the_tokens(odd: object) -> None:
    answer, _ = ask(lambda _: httpx.Response(200, json=GOOD | {"expires_in": odd}))
    assert isinstance(answer, Granted) and answer.lifetime == 300


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (httpx.ConnectError, NotProcessed),
        (httpx.ConnectTimeout, NotProcessed),
        (httpx.ReadTimeout, Uncertain),
        (httpx.RemoteProtocolError, Uncertain),
    ],
)
def test_transport_errors_are_sorted_by_whether_anything_was_sent(error: type[httpx.TransportError], kind: type) -> None:
    def fail(request: httpx.Request) -> httpx.Response:
        raise error("x", request=request)

    assert type(ask(fail)[0]) is kind


@contextmanager
def dripping(first: bytes) -> Iterator[str]:
    """A server that sends `first`, then a byte every 50 ms for ever."""
    stop = threading.Event()

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(first)
            try:
                while not stop.wait(0.05):
                    connection.sendall(b"x")
            except OSError:
                pass

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        finally:
            stop.set()
            thread.join()


@pytest.mark.parametrize("first", [b"HTTP/1.1 200 OK\r\nX-Slow: ", b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"])
def test_a_server_that_drips_is_cut_off_at_the_deadline(first: bytes) -> None:
    with dripping(first) as url:
        endpoint = TokenEndpoint(url, ClientCredentials("id", Secret("s"), ClientAuth.BASIC), PrivateClient(deadline=0.4))
        started = time.monotonic()
        assert isinstance(endpoint.refresh(Secret("r")), Uncertain)
        assert time.monotonic() - started < 2


def test_the_errors_of_the_private_client_are_those_of_httpx() -> None:
    with pytest.raises(httpx.ConnectError):
        PrivateClient().send("GET", "http://127.0.0.1:1/", headers={}, auth=httpx.Auth())


def test_no_proxy_is_taken_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:1")
    with dripping(b"HTTP/1.1 204 No Content\r\n\r\n") as url:
        assert PrivateClient().send("GET", url, headers={}, auth=httpx.Auth()).status_code == 204
