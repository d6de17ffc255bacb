"""Access tokens that end by themselves while 64 coroutines use them: they are replaced before, once each time."""

from __future__ import annotations

import asyncio
import math
import threading
import time
from pathlib import Path

import httpx
import pytest

from pleo_connector import auth
from tests.auth.harness import pleo, saw
from tests.auth.storms import in_store, scaled

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


@pytest.mark.parametrize("loops", [1, 4])
@pytest.mark.parametrize(
    ("kind", "lifetime", "speed"),
    [
        ("sqlite", 4.0, 1.0),  # shorter than the leeway of 15 s, which is then half of a life
        ("postgresql", 4.0, 1.0),
        ("sqlite", 60.0, 15.0),  # longer, by clocks that run so many times as fast; PostgreSQL would go by its own
    ],
)
def test_64_coroutines_refresh_once_each_time(tmp_path: Path, kind: str, lifetime: float, speed: float, loops: int) -> None:
    started = time.time()

    def clock() -> float:
        return started + (time.time() - started) * speed

    seconds, life = scaled(40, 6), lifetime / speed
    leeway = min(max(15.0, 0.1 * lifetime), 0.5 * lifetime) / speed
    with pleo(tmp_path, in_store(kind), clock=clock, access_token_lifetime=lifetime, requests_per_minute=0) as found:
        found.connect()
        found.manager(clock=clock).refresh()  # the login was by the right clock
        found.sandbox.state.reset_counters()
        auth_ = auth.build_auth(found.settings, clock=clock)
        answers: list[int] = []
        began = time.monotonic()

        async def call(client: httpx.AsyncClient, number: int) -> None:
            await asyncio.sleep(number / 32)  # not all at once: a refresh ends the tokens of requests that are on their way
            while time.monotonic() < began + seconds:
                sent = time.monotonic()
                answers.append((await client.get("/v1/introspect")).status_code)
                # A busy machine is asked less often: a request whose token ends on its way four times running is an error.
                await asyncio.sleep(max(1.0, 4 * (time.monotonic() - sent)))

        async def many() -> None:
            async with httpx.AsyncClient(base_url=found.url, auth=auth_, trust_env=False, timeout=60) as client:
                await asyncio.gather(*(call(client, number * loops) for number in range(64 // loops)))

        threads = [threading.Thread(target=asyncio.run, args=(many(),)) for _ in range(loops)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        took = time.monotonic() - began
        counters = found.sandbox.counters()
        saw(calls=len(answers), late_refreshes=counters["late_refreshes"], answers_401=counters["by_status"].get("401", 0))
        assert set(answers) == {200}
        assert counters["reuse"] == counters["revoked_grants"] == 0
        assert seconds / life - 1 <= counters["refreshes"] <= math.floor(took / (life - leeway)) + 1
        assert counters["token_requests"] == counters["refreshes"] == found.record().generation - 2
        # None is late where the machine does not stall for as long as the leeway; were they never due, every one would be.
        assert counters["late_refreshes"] <= counters["refreshes"] / 2
