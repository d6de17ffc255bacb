"""Each row of the table in docs/credentials.md ("What the token endpoint's answers mean"), answered to a real manager."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from pleo_connector.auth.rotation import SETTLE
from pleo_connector.auth.stores import State
from pleo_connector.errors import ClientRejected, ConfigurationError, LoginFailed, PleoError, ReauthRequired, RefreshUnavailable
from pleo_connector.sandbox import Fault
from tests.auth.harness import Pleo

PAGE = Path(__file__).parents[2] / "docs" / "credentials.md"
RFC_6749 = {"invalid_request", "invalid_client", "invalid_grant", "unauthorized_client", "unsupported_grant_type", "invalid_scope"}
RFC_6750 = {"invalid_request", "invalid_token", "insufficient_scope"}


@dataclass(frozen=True)
class Answer:
    """One answer of a row, and what the row promises."""

    status: int
    code: str
    in_header: bool
    state: State
    exit_code: int
    advice: str

    def __str__(self) -> str:
        return f"{self.status}-{self.code or 'no code'}{'-in-the-header' if self.in_header else ''}"

    def response(self) -> httpx.Response:
        if self.in_header:
            return httpx.Response(self.status, headers={"WWW-Authenticate": f'Bearer realm="pleo", error="{self.code}"'})
        return httpx.Response(self.status, json={"error": self.code, "error_description": "why"} if self.code else {"message": "why"})


def answers() -> Iterator[Answer]:
    table = PAGE.read_text().partition("| answer to a refresh |")[2].partition("\n\n")[0]
    for row in table.splitlines()[2:]:
        what, _, _, state, exit_code, advice = (cell.strip() for cell in row.strip("|").split("|"))
        for part in what.split(";"):
            statuses = [int(number) for number in re.findall(r"\b[2-5]\d\d\b", part.partition("`")[0])]
            code = re.search(r'error="(\w+)"|`(\w+)`', part)
            for status in statuses:
                name = "" if code is None else code[1] or code[2]
                yield Answer(status, name, "WWW-Authenticate" in part, State(state.strip("`")), int(exit_code), advice)


ANSWERS = list(answers())


def test_the_table_has_every_code_of_both_standards() -> None:
    assert {answer.code for answer in ANSWERS} >= RFC_6749 | RFC_6750
    assert all(answer.exit_code == 3 for answer in ANSWERS if answer.code in ("invalid_grant", "invalid_token"))


@pytest.mark.parametrize("answer", ANSWERS, ids=str)
def test_an_answer_means_what_the_table_says(connected: Pleo, answer: Answer) -> None:
    before = connected.record()
    posts = 0

    def pleo(request: httpx.Request) -> httpx.Response:
        nonlocal posts
        if request.url.path != "/oauth/token":
            return httpx.Response(200, json={"active": True})
        posts += 1
        return answer.response()

    def refuse() -> PleoError:
        with pytest.raises(PleoError) as caught:
            connected.manager(transport=httpx.MockTransport(pleo), sleep=lambda _: None, settle=SETTLE).refresh()
        return caught.value

    error = refuse()
    after = connected.record()
    assert (error.exit_code, after.state) == (answer.exit_code, answer.state)
    assert (after.blob, after.generation) == (before.blob, before.generation), "the tokens are kept"
    for setting in re.findall(r"`(PLEO_AUTH_URL|PLEO_CLIENT_AUTH|PLEO_SCOPES|pleo-connector connect)`", answer.advice):
        assert setting in str(error)
    if answer.exit_code != 1:
        assert posts == 1 and answer.code in str(error)
    posts = 0
    refuse()
    if answer.state is State.REAUTH_REQUIRED:
        assert posts == 0, "nothing is sent afterwards"
    elif answer.state is State.ACTIVE:
        assert posts > 0, "it works again as soon as what was wrong is mended"


def test_invalid_token_of_the_server_ends_the_grant_for_every_caller(connected: Pleo) -> None:
    connected.sandbox.state.set_faults(Fault("status", path="/oauth/token$", status=401, error="invalid_token"))
    token = connected.manager().access_token()
    for _ in range(3):
        with pytest.raises(PleoError, match="run `pleo-connector connect`") as caught:
            connected.manager().access_token(rejected=token)
        assert caught.value.exit_code == 3
    assert connected.sandbox.counters()["by_path"]["/oauth/token"] == 1


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(400, json={"error": " INVALID_TOKEN\n"}),
        httpx.Response(400, json={"type": "INVALID_GRANT", "message": "why"}),
        httpx.Response(400, json={"code": "invalid_grant"}),
        httpx.Response(400, json={"error": {"code": "invalid_token", "message": "why"}}),
        httpx.Response(401, json={"error": {"type": "invalid_grant"}}),
        httpx.Response(401, headers={"WWW-Authenticate": 'Basic realm="a", Bearer realm="b", error = "invalid_token"'}),
        httpx.Response(401, headers={"WWW-Authenticate": "Bearer error=invalid_token, error_description=x"}, text="no"),
        httpx.Response(422, json={"error": "invalid_token"}),
        httpx.Response(200, json={"error": "invalid_grant"}),
    ],
    ids=lambda response: f"{response.status_code} {response.text or response.headers}",
)
def test_a_grant_that_is_gone_is_recognised_however_it_is_spelt(connected: Pleo, response: httpx.Response) -> None:
    refused = connected.manager(transport=httpx.MockTransport(lambda _: response), sleep=lambda _: None)
    with pytest.raises(ReauthRequired, match=r"\((invalid_token|invalid_grant)\)"):
        refused.refresh()
    assert connected.record().state is State.REAUTH_REQUIRED


@pytest.mark.parametrize(
    "response",
    [
        httpx.Response(404, json={"error": "Not Found", "status": 404}),
        httpx.Response(400, json={"type": "about:blank", "title": "Bad Request"}),
        httpx.Response(400, json=[{"error": "invalid_grant"}]),
        httpx.Response(400, json={"error_description": "error=invalid_grant"}),
    ],
    ids=lambda response: str(response.text),
)
def test_what_is_no_answer_of_an_oauth_server_leaves_the_grant_alone(connected: Pleo, response: httpx.Response) -> None:
    with pytest.raises(RefreshUnavailable, match=r"without an OAuth error; .*PLEO_AUTH_URL"):
        connected.manager(transport=httpx.MockTransport(lambda _: response)).refresh()
    assert connected.record().state is State.ACTIVE


@pytest.mark.parametrize("code", ['new\n"line"', "x" * 10_000, "\u00e9t\u00e9"])
def test_a_code_that_is_no_code_stays_short_and_printable(connected: Pleo, code: str) -> None:
    transport = httpx.MockTransport(lambda _: httpx.Response(400, json={"error": code}))
    with pytest.raises(PleoError) as caught:
        connected.manager(transport=transport).refresh()
    assert len(str(caught.value)) < 400 and str(caught.value).isprintable() and str(caught.value).isascii()


@pytest.mark.parametrize(("status", "counted"), [(401, 1), (403, 0), (400, 0)])
def test_of_the_api_only_a_401_makes_new_tokens(connected: Pleo, status: int, counted: int) -> None:
    code = {401: "invalid_token", 403: "insufficient_scope", 400: "invalid_request"}[status]
    connected.sandbox.state.set_faults(Fault("status", path="/v1/introspect", status=status, error=code, times=1))
    with connected.client() as client:
        assert client.get("/v1/introspect").status_code == (200 if status == 401 else status)
    assert connected.counted("refreshes") == counted and connected.record().state is State.ACTIVE


@pytest.mark.parametrize(
    ("code", "error", "advice"),
    [
        ("invalid_grant", LoginFailed, "start the login again"),
        ("invalid_token", LoginFailed, "start the login again"),
        ("invalid_client", ClientRejected, "PLEO_CLIENT_SECRET"),
        ("unauthorized_client", ClientRejected, "PLEO_CLIENT_AUTH"),
        ("invalid_request", ConfigurationError, "PLEO_REDIRECT_URI"),
        ("insufficient_scope", ConfigurationError, "PLEO_SCOPES"),
        ("consent_required", LoginFailed, "consent_required"),
    ],
)
def test_the_codes_mean_the_same_at_the_end_of_a_login(unconnected: Pleo, code: str, error: type[PleoError], advice: str) -> None:
    unconnected.sandbox.state.set_faults(Fault("status", path="/oauth/token$", status=400, error=code))
    with pytest.raises(error, match=advice) as caught:
        unconnected.connect()
    assert type(caught.value) is error
