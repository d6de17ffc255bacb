from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pleo_connector.sandbox import API_KEY, RunningSandbox, SandboxConfig, running
from pleo_connector.sandbox.times import nanoseconds
from tests.sandbox.signing_in import ENTRIES, client_of

CURSOR = re.compile(r"[A-Z2-7=~]+=")
SORT_KEYS = ("settledAt", "performedAt", "id", "bookkeepingDate")
ORDERS = ("ASC", "ASC_NULLS_FIRST", "ASC_NULLS_LAST", "DESC", "DESC_NULLS_FIRST", "DESC_NULLS_LAST")

sorts = st.lists(st.tuples(st.sampled_from(SORT_KEYS), st.sampled_from(ORDERS)), max_size=3, unique_by=lambda pair: pair[0])
limits = st.integers(20, 100)


def sorting(keys: list[tuple[str, str]]) -> dict[str, Any]:
    return {"sorting_keys": [key for key, _ in keys], "sorting_order": [order for _, order in keys]}


class Walker:
    """Reads a list page by page, checking each envelope on the way."""

    def __init__(self, client: httpx.Client, method: str, path: str, params: dict[str, Any], body: Any = None) -> None:
        self._client, self._method, self._path, self._params, self._body = client, method, path, params, body

    def page(self, **paging: Any) -> dict[str, Any]:
        answer = self._client.request(self._method, self._path, params={**self._params, **paging}, json=self._body)
        assert answer.status_code == 200, answer.text
        page: dict[str, Any] = answer.json()
        pagination = page["pagination"]
        assert len(page["data"]) <= paging["limit"]
        assert pagination["currentRequestPagination"]["limit"] == paging["limit"]
        for name in ("startCursor", "endCursor"):
            assert (name in pagination) == bool(page["data"])
            assert name not in pagination or CURSOR.fullmatch(pagination[name])
        return page

    def forward(self, limit: int) -> tuple[list[str], dict[str, Any]]:
        found, page = [], self.page(limit=limit)
        assert not page["pagination"]["hasPreviousPage"]
        while True:
            found += [record["id"] for record in page["data"]]
            if not page["pagination"]["hasNextPage"]:
                return found, page["pagination"]
            assert len(page["data"]) == limit
            page = self.page(limit=limit, after=page["pagination"]["endCursor"])
            assert page["pagination"]["hasPreviousPage"]

    def backward(self, limit: int, from_cursor: str) -> list[str]:
        found: list[str] = []
        while True:
            page = self.page(limit=limit, before=from_cursor)
            assert page["pagination"]["hasNextPage"]
            found = [record["id"] for record in page["data"]] + found
            if not page["pagination"]["hasPreviousPage"]:
                return found
            assert len(page["data"]) == limit
            from_cursor = page["pagination"]["startCursor"]


def entries(client: httpx.Client, company: str, keys: list[tuple[str, str]], **body: Any) -> Walker:
    return Walker(client, "POST", ENTRIES, {"company_id": company, **sorting(keys)}, {"includeDeleted": True, **body})


def expected(records: list[dict[str, Any]], keys: list[tuple[str, str]]) -> list[str]:
    """The ids in order, sorted by other means than the sandbox's: one stable pass per key, the last key first."""
    rows = sorted(records, key=lambda record: record["id"])
    for key, order in reversed(keys or [("performedAt", "DESC")]):
        filled = [row for row in rows if row.get(key) is not None]
        empty = [row for row in rows if row.get(key) is None]
        values = {row["id"]: row[key] if key == "id" else nanoseconds(row[key]) for row in filled}
        filled.sort(key=lambda row, values=values: values[row["id"]], reverse=order.startswith("DESC"))  # type: ignore[misc]  # a default binds the loop's own values
        first = order.endswith("FIRST") or order == "DESC"
        rows = empty + filled if first else filled + empty
    return [row["id"] for row in rows]


@settings(max_examples=8)
@given(keys=sorts, forward=limits, backward=limits)
def test_walks_forward_and_backward_give_every_entry_once_in_order(
    shared: RunningSandbox, api: httpx.Client, companies: dict[str, str], keys: list[tuple[str, str]], forward: int, backward: int
) -> None:
    wanted = expected(shared.state.records("accounting_entries", companies["FR"]), keys)
    walker = entries(api, companies["FR"], keys)
    found, last = walker.forward(forward)
    assert found == wanted
    assert last["total"] == len(wanted) == 250
    assert walker.backward(backward, last["endCursor"]) == wanted[:-1]


@pytest.fixture(scope="module")
def changed() -> Iterator[RunningSandbox]:
    """Generated entries, some of which were removed, changed or added since."""
    with running(SandboxConfig(port=0, rows=331, requests_per_minute=0)) as sandbox:
        state = sandbox.state
        records = state.records("accounting_entries")
        for number in (0, 1, 17, 18, 100, 330):
            state.remove("accounting_entries", records[number]["id"])
        for number in (2, 50, 51, 52, 200, 329):
            state.put("accounting_entries", {**records[number], "note": "changed", "settledAt": None})
        for number in range(5):
            state.put("accounting_entries", {**records[70], "id": f"aaaaaaaa-0000-4000-8000-00000000000{number}"})
        yield sandbox


@settings(max_examples=10)
@given(keys=sorts, forward=limits, backward=limits, country=st.sampled_from(("DK", "DE", "SE", "FR", None)))
def test_walks_over_generated_and_changed_entries_do_too(
    changed: RunningSandbox, companies: dict[str, str], keys: list[tuple[str, str]], forward: int, backward: int, country: str | None
) -> None:
    company = None if country is None else companies[country]
    wanted = expected(changed.state.records("accounting_entries", company), keys)
    where = {"organization_id": changed.state.organisation_id} if company is None else {"company_id": company}
    with client_of(changed, auth=(API_KEY, "")) as client:
        walker = Walker(client, "POST", ENTRIES, {**where, **sorting(keys)}, {"includeDeleted": True})
        found, last = walker.forward(forward)
        assert found == wanted
        assert last["total"] == len(wanted)
        assert walker.backward(backward, last["endCursor"]) == wanted[:-1]


@settings(max_examples=8)
@given(forward=st.integers(1, 30), backward=st.integers(1, 30), order=st.sampled_from(ORDERS))
def test_small_pages_work_too(shared: RunningSandbox, api: httpx.Client, forward: int, backward: int, order: str) -> None:
    walker = Walker(api, "GET", "/v2/employees", sorting([("phone", order)]))
    found, last = walker.forward(forward)
    assert len(found) == len(set(found)) == last["total"] == len(shared.state.records("employees"))
    assert walker.backward(backward, last["endCursor"]) == found[:-1]


@settings(max_examples=15)
@given(limit=st.integers(1, 50), offset=st.integers(0, 40))
def test_offsets_give_the_same_rows_where_pleo_has_them(shared: RunningSandbox, api: httpx.Client, limit: int, offset: int) -> None:
    walker = Walker(api, "POST", "/v0/aggregations/tags", sorting([("name", "DESC"), ("id", "ASC")]), {"includeArchived": True})
    everything, last = walker.forward(100)
    many = len(shared.state.records("tags"))
    page = walker.page(limit=limit, offset=offset)
    assert [record["id"] for record in page["data"]] == everything[offset : offset + limit]
    assert page["pagination"]["total"] == last["total"] == len(everything) == many
    assert page["pagination"]["hasNextPage"] == (offset + limit < many)
    assert page["pagination"]["hasPreviousPage"] == (offset > 0)
    assert page["pagination"]["currentRequestPagination"]["offset"] == offset


def test_every_listed_stream_walks_to_its_end(shared: RunningSandbox, api: httpx.Client, companies: dict[str, str]) -> None:
    danish = companies["DK"]
    lists = {
        "companies": Walker(api, "GET", "/v1/companies", {}),
        "employees": Walker(api, "GET", "/v2/employees", {}),
        "accounts": Walker(
            api,
            "POST",
            "/v1/chart-of-accounts:search",
            {},
            {"companyId": danish, "excludeIfAssignedToCategory": False, "excludeIfAssignedToContraAccount": False},
        ),
        "tags": Walker(api, "POST", "/v0/aggregations/tags", {"company_id": danish}, {"includeArchived": True}),
        "tax_codes": Walker(api, "POST", "/v0/tax-codes:search", {"company_id": danish}),
        "vendors": Walker(api, "POST", "/v1/vendors:search", {"company_id": danish}, {}),
    }
    for stream, walker in lists.items():
        company = None if stream in ("companies", "employees") else danish
        wanted = {record["id"] for record in shared.state.records(stream, company)}
        found, _ = walker.forward(3)
        assert len(found) == len(wanted)
        assert set(found) == wanted


def test_the_default_limit_for_entries_is_20(api: httpx.Client, companies: dict[str, str]) -> None:
    page = api.post(ENTRIES, params={"company_id": companies["DK"]}, json={"includeDeleted": True}).json()
    assert len(page["data"]) == 20
    assert page["pagination"]["currentRequestPagination"]["limit"] == 20


@pytest.mark.parametrize(
    "params",
    [
        {"limit": "0"},
        {"limit": "101"},
        {"limit": "ten"},
        {"limit": "-1"},
        {"limit": ["5", "6"]},
        {"sorting_keys": "updatedAt"},
        {"sorting_keys": "id", "sorting_order": "UP"},
        {"sorting_keys": ["id", "performedAt"], "sorting_order": "ASC"},
        {"sorting_order": "ASC"},
        {"after": "MFRGG==="},
        {"after": "not a cursor"},
        {"after": ""},
        {"before": "A="},
    ],
)
def test_wrong_paging_parameters_are_refused(api: httpx.Client, companies: dict[str, str], params: dict[str, Any]) -> None:
    answer = api.post(ENTRIES, params={"company_id": companies["DK"], **params}, json={"includeDeleted": True})
    assert answer.status_code == 400
    assert answer.json()["type"] == "PARAMETER_VALIDATION_FAILED"


def test_cursors_and_offset_exclude_each_other(api: httpx.Client) -> None:
    pagination = api.get("/v2/employees", params={"limit": 2}).json()["pagination"]
    cursor = pagination["endCursor"]
    for params in ({"after": cursor, "before": cursor}, {"after": cursor, "offset": 1}, {"before": cursor, "offset": 0}):
        assert api.get("/v2/employees", params=params).status_code == 400


def test_entries_have_no_offset(api: httpx.Client, companies: dict[str, str]) -> None:
    params: dict[str, Any] = {"company_id": companies["DK"], "limit": 5}
    plain = api.post(ENTRIES, params=params, json={"includeDeleted": True}).json()["data"]
    assert api.post(ENTRIES, params={**params, "offset": 5}, json={"includeDeleted": True}).json()["data"] == plain


def test_a_cursor_belongs_to_its_request_but_not_to_its_limit(api: httpx.Client, companies: dict[str, str]) -> None:
    def asked(company: str, limit: int, body: dict[str, Any], **params: Any) -> httpx.Response:
        return api.post(ENTRIES, params={"company_id": company, "limit": limit, **params}, json=body)

    body: dict[str, Any] = {"includeDeleted": True}
    cursor = asked(companies["DK"], 3, body).json()["pagination"]["endCursor"]
    assert asked(companies["DK"], 7, body, after=cursor).status_code == 200
    assert asked(companies["DE"], 3, body, after=cursor).status_code == 400
    assert asked(companies["DK"], 3, {"includeDeleted": False}, after=cursor).status_code == 400
    assert asked(companies["DK"], 3, body, after=cursor, sorting_keys="id").status_code == 400
    assert asked(companies["DK"], 3, body, after="B" + cursor[1:] if cursor[0] == "A" else "A" + cursor[1:]).status_code == 400


def test_a_cursor_must_be_url_encoded(api: httpx.Client) -> None:
    cursor = api.get("/v2/employees", params={"limit": 2}).json()["pagination"]["endCursor"]
    assert api.get("/v2/employees?after=" + cursor.replace("=", "%3D")).status_code == 200
    refused = api.get(httpx.URL(api.base_url.join("/v2/employees"), query=f"after={cursor}".encode()))
    assert refused.status_code == 400
    assert "URL-encoded" in refused.json()["message"]


def test_a_cursor_outlives_its_row_and_the_sandbox(companies: dict[str, str]) -> None:
    config = SandboxConfig(port=0)
    with running(config) as sandbox, client_of(sandbox, auth=(API_KEY, "")) as client:
        walker = entries(client, companies["FR"], [("performedAt", "ASC"), ("id", "ASC")])
        first, second = walker.page(limit=10), walker.page(limit=20)["data"][10:]
        cursor = first["pagination"]["endCursor"]
        sandbox.state.remove("accounting_entries", first["data"][-1]["id"])
        assert walker.page(limit=10, after=cursor)["data"] == second
    with running(config) as sandbox, client_of(sandbox, auth=(API_KEY, "")) as client:
        assert entries(client, companies["FR"], [("performedAt", "ASC"), ("id", "ASC")]).page(limit=10, after=cursor)["data"] == second


def test_an_empty_list_has_no_cursors(api: httpx.Client, companies: dict[str, str]) -> None:
    page = entries(api, companies["DK"], [], performedAtStart="2030-01-01T00:00:00Z").page(limit=10)
    assert page["data"] == []
    assert page["pagination"]["hasNextPage"] is False
    assert page["pagination"]["total"] == 0
