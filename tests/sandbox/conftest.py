from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from pleo_connector.sandbox import API_KEY, RunningSandbox, SandboxConfig, running
from tests.sandbox.signing_in import Clock, client_of


@pytest.fixture(scope="package")
def shared() -> Iterator[RunningSandbox]:
    """A sandbox on the sample data that no test changes."""
    with running(SandboxConfig(port=0, requests_per_minute=0)) as sandbox:
        yield sandbox


@pytest.fixture(scope="package")
def api(shared: RunningSandbox) -> Iterator[httpx.Client]:
    with client_of(shared, auth=(API_KEY, "")) as client:
        yield client


CLOCK = Clock()


@pytest.fixture
def clock() -> Clock:
    CLOCK.now = Clock().now
    return CLOCK


@pytest.fixture(scope="package")
def again_and_again() -> Iterator[RunningSandbox]:
    with running(SandboxConfig(port=0), clock=CLOCK) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(again_and_again: RunningSandbox, clock: Clock) -> RunningSandbox:
    """A sandbox as good as new, whose time stands still until the test moves it."""
    again_and_again.state.start_over()
    return again_and_again


@pytest.fixture
def own_api(sandbox: RunningSandbox) -> Iterator[httpx.Client]:
    with client_of(sandbox, auth=(API_KEY, "")) as client:
        yield client


@pytest.fixture(scope="package")
def companies(api: httpx.Client) -> dict[str, str]:
    """Company id by country."""
    return {record["address"]["country"]: record["id"] for record in api.get("/v1/companies").json()["data"]}
