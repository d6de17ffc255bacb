"""Processes that send as a sync does: PROCESSES WORKERS SECONDS GAP; each prints its pid first, and at the end what it sent.

They are forks of one that has imported everything, so that they start at once and together.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time

from pleo_connector.api import PageRequest, PleoClient, Traffic
from pleo_connector.settings import load
from pleo_connector.sync import connection_from_settings


async def go(workers: int, seconds: float, gap: float) -> None:
    connection = connection_from_settings(load(None, None))
    budget = connection.budget(connection.requests_per_minute)
    end = time.monotonic() + seconds
    traffic = Traffic()
    request = PageRequest("GET", "/v1/introspect", "the credential")

    async def worker() -> None:
        while True:
            await client.fetch(request, bytes, traffic)
            await asyncio.sleep(gap)

    async with PleoClient(connection.api_url, connection.auth, budget, connections=workers) as client:
        tasks = [asyncio.ensure_future(worker()) for _ in range(workers)]
        await asyncio.wait(tasks, timeout=end - time.monotonic(), return_when=asyncio.FIRST_EXCEPTION)
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(result, asyncio.CancelledError) for result in results), results
    await budget.close()
    tell({"pid": os.getpid(), "sent": traffic.requests, "limited": traffic.rate_limited})


def tell(what: dict[str, int]) -> None:
    os.write(1, json.dumps(what).encode() + b"\n")  # at once, so that lines of several processes stay whole


def main(processes: int, workers: int, seconds: float, gap: float) -> None:
    children = []
    for _ in range(processes):
        child = os.fork()
        if child == 0:
            tell({"pid": os.getpid()})
            asyncio.run(go(workers, seconds, gap))
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]), float(sys.argv[4]))
