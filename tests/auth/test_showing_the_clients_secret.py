"""Login, refresh and the question about a token, with both ways of client authentication and secrets of odd characters."""

from __future__ import annotations

import base64
from pathlib import Path

import httpx
import pytest

from tests.auth.harness import Pleo, pleo
from tests.auth.storms import in_store

SECRETS = ["plain", "a+b%c:d/e f", "100%25+%2B", "=?&:\u00e9"]


@pytest.mark.parametrize("kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
@pytest.mark.parametrize("method", ["basic", "post"])
@pytest.mark.parametrize("secret", SECRETS)
def test_pleo_takes_it(tmp_path: Path, kind: str, method: str, secret: str) -> None:
    environ = in_store(kind) | {"PLEO_CLIENT_ID": "the client", "PLEO_CLIENT_SECRET": secret, "PLEO_CLIENT_AUTH": method}
    with pleo(tmp_path, environ, client_id="the client", client_secret=secret) as found:
        found.connect()
        tokens = found.manager().refresh()
        assert found.counted("logins") == found.counted("refreshes") == 1 and found.counted("reuse") == 0
        assert tokens.introspects_refresh, "the question was answered, so the secret was right there too"
        with found.client() as client:
            assert client.get("/v1/introspect").status_code == 200


@pytest.mark.parametrize("method", ["basic", "post"])
def test_another_secret_is_refused_and_the_tokens_stay(tmp_path: Path, method: str) -> None:
    """Else the sandbox's yes would show nothing."""
    with pleo(tmp_path, {"PLEO_CLIENT_AUTH": method}, client_secret="a+b") as found:
        for wrong in ("a b", "A+B"):
            answer = ask(found, method, wrong)
            assert (answer.status_code, answer.json()["error"]) == (401, "invalid_client")


def ask(found: Pleo, method: str, secret: str) -> httpx.Response:
    form = {"grant_type": "refresh_token", "refresh_token": "x"}
    if method == "post":
        return httpx.post(f"{found.url}/oauth/token", data=form | {"client_id": "sandbox-client", "client_secret": secret}, trust_env=False)
    basic = base64.b64encode(f"sandbox-client:{secret}".encode()).decode()
    return httpx.post(f"{found.url}/oauth/token", data=form, headers={"Authorization": f"Basic {basic}"}, trust_env=False)
