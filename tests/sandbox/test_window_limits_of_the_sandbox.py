"""The sandbox includes the limits of a date filter, or not, as it is told: Pleo does not document it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from pleo_connector.errors import ConfigurationError
from pleo_connector.sandbox import API_KEY, RunningSandbox, SandboxConfig, WindowBounds, running
from tests.sandbox.signing_in import ENTRIES, client_of

READINGS = ("[)", "[]", "()", "(]")


@pytest.fixture(scope="module", params=["sample", "generated"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[RunningSandbox]:
    rows = 500 if request.param == "generated" else None
    with running(SandboxConfig(port=0, rows=rows, requests_per_minute=0, window_bounds=WindowBounds(end_included=True))) as made:
        yield made


@pytest.mark.parametrize("order", ["ASC", "DESC"])
def test_each_limit_is_included_as_it_is_told(sandbox: RunningSandbox, order: str) -> None:
    company = sandbox.state.records("companies")[0]["id"]
    times = sorted({record["performedAt"] for record in sandbox.state.records("accounting_entries", company)})
    low, high = times[3], times[9]
    with client_of(sandbox, auth=(API_KEY, "")) as client:
        for reading in READINGS:
            assert client.put("/_sandbox/window-bounds", json=reading).json() == reading
            assert client.get("/_sandbox/window-bounds").json() == reading
            found = times_of(client, company, order, performedAtStart=low, performedAtEnd=high)
            assert (low in found, high in found) == (reading[0] == "[", reading[1] == "]"), reading
            assert set(times[4:9]) <= found <= set(times[3:10])


def test_it_starts_as_it_was_configured_and_starts_over_so(sandbox: RunningSandbox) -> None:
    with client_of(sandbox, auth=(API_KEY, "")) as client:
        client.put("/_sandbox/window-bounds", json="()")
        client.post("/_sandbox/start-over")
        assert client.get("/_sandbox/window-bounds").json() == "[]"
        for body in ('"[["', '"closed"', "5", "{"):
            assert client.put("/_sandbox/window-bounds", content=body).status_code == 400
    assert SandboxConfig().window_bounds == WindowBounds.from_text("[)")
    with pytest.raises(ConfigurationError, match=r"one of \[\) \[\] \(\) \(\], with a square bracket for an included limit, not 'open'"):
        WindowBounds.from_text("open")


def times_of(client: httpx.Client, company: str, order: str, **limits: str) -> set[str]:
    params: dict[str, str | int] = {"company_id": company, "limit": 100, "sorting_keys": "performedAt", "sorting_order": order}
    page = client.post(ENTRIES, params=params, json={"includeDeleted": True, **limits}).json()
    assert page["pagination"].get("total", len(page["data"])) == len(page["data"])
    return {record["performedAt"] for record in page["data"]}
