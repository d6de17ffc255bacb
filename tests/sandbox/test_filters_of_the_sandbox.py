from __future__ import annotations

from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pleo_connector.sandbox import API_KEY, RunningSandbox, SandboxConfig, running
from pleo_connector.sandbox.times import nanoseconds
from tests.sandbox.signing_in import ENTRIES, client_of, ids

NOBODY = "11111111-1111-4111-8111-111111111111"
FLAGS = {"excludeIfAssignedToCategory": False, "excludeIfAssignedToContraAccount": False}

moments = st.sampled_from(
    [
        "2025-10-01T00:00:00Z",
        "2025-12-31T23:59:59.999999999Z",
        "2026-01-01T00:00:00Z",
        "2026-01-01T01:00:00+01:00",
        "2026-05-17T12:30:00.5Z",
        "2026-11-22T00:00:00Z",
        None,
    ]
)


def all_ids(client: httpx.Client, company: str, body: dict[str, Any]) -> set[str]:
    found: set[str] = set()
    params: dict[str, Any] = {"company_id": company, "limit": 100}
    while True:
        page = client.post(ENTRIES, params=params, json=body).json()
        found |= {record["id"] for record in page["data"]}
        if not page["pagination"]["hasNextPage"]:
            return found
        params["after"] = page["pagination"]["endCursor"]


def inside(record: dict[str, Any], field: str, start: str | None, end: str | None) -> bool:
    value = record.get(field)
    if value is None:
        return start is None and end is None
    moment = nanoseconds(value)
    return (start is None or moment >= nanoseconds(start)) and (end is None or moment < nanoseconds(end))


@settings(max_examples=15)
@given(
    field=st.sampled_from(("performedAt", "settledAt", "bookkeepingDate")),
    start=moments,
    end=moments,
    shown=st.sampled_from(("live", "deleted too")),
)
def test_a_window_includes_its_start_and_not_its_end(
    shared: RunningSandbox, api: httpx.Client, companies: dict[str, str], field: str, start: str | None, end: str | None, shown: str
) -> None:
    wanted = {
        record["id"]
        for record in shared.state.records("accounting_entries", companies["DK"])
        if inside(record, field, start, end) and (shown == "deleted too" or record.get("deletedAt") is None)
    }
    dates = {f"{field}Start": start, f"{field}End": end}
    body = {"includeDeleted": shown == "deleted too", **{name: value for name, value in dates.items() if value is not None}}
    assert all_ids(api, companies["DK"], body) == wanted


@settings(max_examples=10)
@given(field=st.sampled_from(("performedAt", "settledAt")), start=moments, end=moments, shown=st.sampled_from(("live", "deleted too")))
def test_windows_on_generated_entries_do_the_same(
    generated: RunningSandbox, companies: dict[str, str], field: str, start: str | None, end: str | None, shown: str
) -> None:
    wanted = {
        record["id"]
        for record in generated.state.records("accounting_entries", companies["DE"])
        if inside(record, field, start, end) and (shown == "deleted too" or record.get("deletedAt") is None)
    }
    dates = {f"{field}Start": start, f"{field}End": end}
    body = {"includeDeleted": shown == "deleted too", **{name: value for name, value in dates.items() if value is not None}}
    with client_of(generated, auth=(API_KEY, "")) as client:
        assert all_ids(client, companies["DE"], body) == wanted


@pytest.fixture(scope="module")
def generated() -> Any:
    with running(SandboxConfig(port=0, rows=2000, requests_per_minute=0)) as sandbox:
        yield sandbox


@pytest.mark.parametrize(
    "body", [None, {}, {"includeDeleted": None}, {"includeDeleted": "true"}, {"performedAtStart": "2026-01-01T00:00:00Z"}]
)
def test_entries_need_include_deleted_in_the_body(api: httpx.Client, companies: dict[str, str], body: Any) -> None:
    answer = api.post(ENTRIES, params={"company_id": companies["DK"]}, json=body)
    assert answer.status_code == 400
    assert answer.json() == {"type": "VALIDATION_FAILED", "message": "includeDeleted is required in the body."}


def test_a_body_must_be_a_json_object(api: httpx.Client, companies: dict[str, str]) -> None:
    for content in (b"[]", b"{", b'"x"'):
        assert api.post(ENTRIES, params={"company_id": companies["DK"]}, content=content).status_code == 400


def test_only_one_pair_of_dates_is_allowed(api: httpx.Client, companies: dict[str, str]) -> None:
    body = {"includeDeleted": True, "performedAtStart": "2026-01-01T00:00:00Z", "settledAtEnd": "2026-02-01T00:00:00Z"}
    answer = api.post(ENTRIES, params={"company_id": companies["DK"]}, json=body)
    assert answer.status_code == 400
    assert "performedAt and settledAt" in answer.json()["message"]


@pytest.mark.parametrize("value", ["2026-01-01", "yesterday", 5, "2026-01-01T00:00:00", "2026-13-01T00:00:00Z"])
def test_a_date_filter_must_be_a_date_time(api: httpx.Client, companies: dict[str, str], value: Any) -> None:
    body = {"includeDeleted": True, "performedAtStart": value}
    assert api.post(ENTRIES, params={"company_id": companies["DK"]}, json=body).status_code == 400


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", ENTRIES, {"includeDeleted": True}),
        ("POST", "/v1/vendors:search", {}),
        ("GET", "/v0/tag-groups", None),
        ("POST", "/v1/chart-of-accounts:search", FLAGS),
    ],
)
def test_a_company_in_the_wrong_spelling_counts_as_absent(
    api: httpx.Client, companies: dict[str, str], method: str, path: str, body: Any
) -> None:
    wrong = {"companyId": companies["DK"]}
    assert api.request(method, path, params=wrong, json=body).status_code == 400
    assert api.request(method, path, json=body).status_code == 400


def test_accounts_read_the_company_from_the_body_and_need_both_flags(api: httpx.Client, companies: dict[str, str]) -> None:
    path, whole = "/v1/chart-of-accounts:search", {"companyId": companies["DK"], **FLAGS}
    answer = api.post(path, json=whole)
    assert answer.headers["content-type"] == "application/json"
    assert len(ids(answer)) == 13
    assert {record["archived"] for record in answer.json()["data"]} == {True, False}
    assert len(ids(api.post(path, json={**whole, "archived": True}))) == 1
    for left_out in whole:
        assert api.post(path, json={name: value for name, value in whole.items() if name != left_out}).status_code == 400
    assert api.post(path, params={"company_id": companies["DK"]}, json=FLAGS).status_code == 400


def test_employees_read_company_id_in_camel_case_only(shared: RunningSandbox, api: httpx.Client, companies: dict[str, str]) -> None:
    danish = api.get("/v2/employees", params={"companyId": companies["DK"], "limit": 100})
    assert len(ids(danish)) == 8
    assert {record["companyId"] for record in danish.json()["data"]} == {companies["DK"]}
    assert len(ids(api.get("/v2/employees", params={"company_id": companies["DK"], "limit": 100}))) == len(
        shared.state.records("employees")
    )
    found = api.get("/v2/employees", params={"email": danish.json()["data"][0]["email"]})
    assert ids(found) == [danish.json()["data"][0]["id"]]


def test_entries_of_the_organisation_are_those_of_all_companies(
    shared: RunningSandbox, api: httpx.Client, companies: dict[str, str]
) -> None:
    organisation = shared.state.organisation_id
    page = api.post(ENTRIES, params={"organization_id": organisation, "limit": 100}, json={"includeDeleted": True}).json()
    assert page["pagination"]["total"] == len(shared.state.records("accounting_entries"))
    assert {record["companyId"] for record in page["data"]} == set(companies.values())
    both = {"organization_id": organisation, "company_id": companies["SE"]}
    assert api.post(ENTRIES, params=both, json={"includeDeleted": True}).json()["pagination"]["total"] == 400


@pytest.mark.parametrize(
    ("method", "path", "params", "body"),
    [
        ("POST", ENTRIES, {"company_id": NOBODY}, {"includeDeleted": True}),
        ("POST", ENTRIES, {"organization_id": NOBODY}, {"includeDeleted": True}),
        ("POST", "/v1/vendors:search", {"company_id": NOBODY}, {}),
        ("GET", "/v2/employees", {"companyId": NOBODY}, None),
        ("POST", "/v1/chart-of-accounts:search", {}, {"companyId": NOBODY, **FLAGS}),
        ("GET", f"/v1/companies/{NOBODY}", {}, None),
    ],
)
def test_an_unknown_company_is_forbidden(api: httpx.Client, method: str, path: str, params: dict[str, str], body: Any) -> None:
    answer = api.request(method, path, params=params, json=body)
    assert answer.status_code == 403
    assert answer.json()["type"] == "FORBIDDEN"


def test_a_company_id_must_be_a_uuid(api: httpx.Client) -> None:
    assert api.post("/v1/vendors:search", params={"company_id": "nordlys"}, json={}).status_code == 400


def test_archived_tag_groups_and_tags_come_only_when_asked(api: httpx.Client, companies: dict[str, str]) -> None:
    company = {"company_id": companies["DK"]}
    assert len(ids(api.get("/v0/tag-groups", params=company))) == 2
    everything = api.get("/v0/tag-groups", params={**company, "include_archived": "true"})
    assert len(ids(everything)) == 3
    assert "pagination" not in everything.json()
    tags = "/v0/aggregations/tags"
    live = api.post(tags, params=company, json={})
    assert {record["archived"] for record in live.json()["data"]} == {False}
    assert len(ids(api.post(tags, params=company, json={"includeArchived": True}))) == 11
    only = api.post(tags, params=company, json={"includeArchived": False, "archived": True})
    assert len(ids(only)) + len(ids(live)) == 11


def test_the_tag_count_comes_only_when_asked(api: httpx.Client, companies: dict[str, str]) -> None:
    company = {"company_id": companies["SE"]}
    assert all("totalTagsCount" not in group for group in api.get("/v0/tag-groups", params=company).json()["data"])
    counted = api.get("/v0/tag-groups", params={**company, "include_tags_count": "true"}).json()["data"]
    assert {group["code"]: group["totalTagsCount"] for group in counted} == {"KUND": 4, "KS": 3, "FLEET": 0}


def test_entries_can_be_filtered_by_value(shared: RunningSandbox, api: httpx.Client, companies: dict[str, str]) -> None:
    records = shared.state.records("accounting_entries", companies["DK"])
    tag = next(tag["tagId"] for record in records for tag in record["tags"] if "tagId" in tag)
    cases: list[tuple[dict[str, Any], Any]] = [
        ({"families": ["MILEAGE", "WALLET"]}, lambda record: record["family"] in ("MILEAGE", "WALLET")),
        ({"transactionValueCurrencies": ["JPY"]}, lambda record: record["transactionValue"]["currency"] == "JPY"),
        ({"tagRowIds": [tag]}, lambda record: tag in [choice.get("tagId") for choice in record["tags"]]),
        ({"status": []}, lambda record: True),
    ]
    for body, keeps in cases:
        wanted = {record["id"] for record in records if keeps(record)}
        assert wanted
        assert all_ids(api, companies["DK"], {"includeDeleted": True, **body}) == wanted


def test_vendors_come_in_every_state_unless_filtered(api: httpx.Client, companies: dict[str, str]) -> None:
    company = {"company_id": companies["DK"]}
    assert {record["state"] for record in api.post("/v1/vendors:search", params=company).json()["data"]} == {"ACTIVE", "DRAFT", "ARCHIVED"}
    drafts = api.post("/v1/vendors:search", params=company, json={"states": ["DRAFT"]}).json()["data"]
    assert [record["state"] for record in drafts] == ["DRAFT"]
