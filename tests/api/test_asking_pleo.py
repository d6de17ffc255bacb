"""One request and its answers: what is tried again, for how long, and what each refusal says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx
import pytest

from pleo_connector.api import Budget, PageRequest, PleoClient, Traffic
from pleo_connector.errors import ApiError, BadAnswer, CursorRefused, Forbidden, PleoUnavailable, RateLimited, ReauthRequired

API = "http://127.0.0.1:1"
PAGE = PageRequest("POST", "/v1/vendors:search", "vendors of company c1", "vendors:read", (("limit", "100"),), {})


class Time:
    """A clock that only moves when somebody sleeps."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.sleeps: list[float] = []

    def clock(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds
        await asyncio.sleep(0)


class NoAuth(httpx.Auth):
    pass


def ask(
    answers: Iterable[httpx.Response | Exception] | Callable[[httpx.Request], httpx.Response],
    request: PageRequest = PAGE,
    parse: Callable[[bytes], bytes] = bytes,
    time: Time | None = None,
    traffic: Traffic | None = None,
) -> bytes:
    time = time or Time()
    given = None if callable(answers) else iter(answers)

    def answer(sent: httpx.Request) -> httpx.Response:
        if given is None:
            assert callable(answers)
            return answers(sent)
        item = next(given)
        if isinstance(item, Exception):
            raise item
        return item

    async def go() -> bytes:
        budget = Budget(500, clock=time.clock, sleep=time.sleep)
        transport = httpx.MockTransport(answer)
        async with PleoClient(API, NoAuth(), budget, transport=transport, clock=time.clock, sleep=time.sleep) as client:
            return await client.fetch(request, parse, traffic or Traffic())

    return asyncio.run(go())


def test_a_good_answer_is_returned_and_counted() -> None:
    traffic = Traffic()
    assert ask([httpx.Response(200, content=b"page")], traffic=traffic) == b"page"
    assert (traffic.requests, traffic.bytes) == (1, 4)


def test_the_colon_in_a_path_stays_and_the_cursor_is_encoded() -> None:
    seen: list[httpx.URL] = []

    def answer(sent: httpx.Request) -> httpx.Response:
        seen.append(sent.url)
        return httpx.Response(200)

    ask(answer, PageRequest("POST", "/v1/vendors:search", "vendors", params=(("after", "AB7~="),), body={}))
    assert seen[0].raw_path.startswith(b"/v1/vendors:search?after=AB7")
    assert b"~=" not in seen[0].raw_path.split(b"after=")[1]
    assert seen[0].params["after"] == "AB7~="


def test_a_minute_of_500s_is_survived() -> None:
    time = Time()

    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(500) if time.now < 1060 else httpx.Response(200, content=b"back")

    assert ask(answer, time=time) == b"back"


def test_endless_500s_end_in_one_sentence_after_two_minutes() -> None:
    time = Time()
    with pytest.raises(PleoUnavailable, match=r"fault \(503\) for vendors of company c1; run again later"):
        ask(lambda _: httpx.Response(503), time=time)
    assert 120 <= time.now - 1000 <= 155


def test_an_unreachable_host_is_told_soon_and_names_the_variable() -> None:
    time = Time()

    def answer(sent: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("Connection refused", request=sent)

    with pytest.raises(PleoUnavailable, match=r"could not be reached at http://127\.0\.0\.1:1 .*PLEO_API_URL"):
        ask(answer, time=time)
    assert time.now - 1000 <= 50


def test_a_broken_connection_is_tried_again() -> None:
    assert ask([httpx.RemoteProtocolError("peer closed"), httpx.ReadTimeout("slow"), httpx.Response(200, content=b"x")]) == b"x"


@pytest.mark.parametrize("header", ["7", "7.0"])
def test_retry_after_in_seconds_is_waited_for_exactly(header: str) -> None:
    time, traffic = Time(), Traffic()
    ask([httpx.Response(429, headers={"Retry-After": header}), httpx.Response(200)], time=time, traffic=traffic)
    assert time.sleeps == [0.0, 7.0] or sum(time.sleeps) == 7.0
    assert traffic.rate_limited == 1


def test_retry_after_as_a_date_is_waited_for() -> None:
    time = Time()
    until = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    ask([httpx.Response(429, headers={"Retry-After": until}), httpx.Response(200)], time=time)
    assert 28 <= time.now - 1000 <= 30


def test_a_429_without_retry_after_backs_off() -> None:
    time, traffic = Time(), Traffic()
    ask([httpx.Response(429, json={"message": "slow down"})] * 3 + [httpx.Response(200)], time=time, traffic=traffic)
    assert traffic.rate_limited == 3
    assert len(time.sleeps) >= 3, "one before each try, and one more where a short one ends before the budget's next request is due"


def test_a_long_retry_after_is_the_callers_decision() -> None:
    time = Time()
    with pytest.raises(RateLimited) as caught:
        ask([httpx.Response(429, headers={"Retry-After": "900"})], time=time)
    assert caught.value.retry_after == 900
    assert time.now == 1000


def test_retry_after_holds_back_everybody() -> None:
    time = Time()
    sent_at: list[float] = []

    def answer(_: httpx.Request) -> httpx.Response:
        sent_at.append(time.now)
        return httpx.Response(429, headers={"Retry-After": "20"}) if len(sent_at) == 1 else httpx.Response(200)

    async def go() -> None:
        budget = Budget(500, clock=time.clock, sleep=time.sleep)
        async with PleoClient(API, NoAuth(), budget, transport=httpx.MockTransport(answer), clock=time.clock, sleep=time.sleep) as client:
            await client.fetch(PAGE, bytes, Traffic())
            await asyncio.gather(*(client.fetch(PAGE, bytes, Traffic()) for _ in range(5)))

    asyncio.run(go())
    assert all(moment >= 1020 for moment in sent_at[1:])


@pytest.mark.parametrize(
    ("status", "error", "sentence"),
    [
        (401, ReauthRequired, r"401\) for vendors of company c1; run `pleo-connector connect`"),
        (403, Forbidden, r"lacks the scope vendors:read, or does not cover that company"),
        (404, ApiError, r"404.*PLEO_API_URL"),
        (302, ApiError, r"redirect \(302\).*PLEO_API_URL"),
    ],
)
def test_a_refusal_is_said_once_and_not_tried_again(status: int, error: type[Exception], sentence: str) -> None:
    traffic = Traffic()
    with pytest.raises(error, match=sentence):
        ask([httpx.Response(status, headers={"Location": "http://evil.example/"})], traffic=traffic)
    assert traffic.requests == 1


def test_a_refused_cursor_is_its_own_error() -> None:
    with pytest.raises(CursorRefused, match="VALIDATION_FAILED"):
        ask([httpx.Response(400, json={"type": "VALIDATION_FAILED", "message": "x"})], PageRequest("GET", "/v1/c", "c", cursor="A="))


def test_a_400_without_a_cursor_names_pleos_code_but_not_its_text() -> None:
    with pytest.raises(ApiError, match="400, PARAMETER_VALIDATION_FAILED") as caught:
        ask([httpx.Response(400, json={"type": "PARAMETER_VALIDATION_FAILED", "message": "secret-looking text"})])
    assert "secret-looking" not in str(caught.value)


def test_a_body_that_does_not_parse_is_tried_three_times() -> None:
    traffic = Traffic()

    def parse(_: bytes) -> bytes:
        raise BadAnswer("page 1 of vendors ended early; run again later.")

    with pytest.raises(BadAnswer, match="ended early"):
        ask(lambda _: httpx.Response(200, content=b'{"da'), parse=parse, traffic=traffic)
    assert traffic.requests == 3


def test_a_body_that_parses_the_second_time_is_taken() -> None:
    tries = iter([BadAnswer("cut"), None])

    def parse(body: bytes) -> bytes:
        if (error := next(tries)) is not None:
            raise error
        return body

    assert ask(lambda _: httpx.Response(200, content=b"whole"), parse=parse) == b"whole"
