"""The sandbox refuses single resources by role, in Pleo's words, and serves lists as bare arrays, where it is told to."""

from __future__ import annotations

import httpx
import pytest

from pleo_connector.errors import ConfigurationError
from pleo_connector.sandbox import RunningSandbox, SandboxConfig
from pleo_connector.sandbox.state import SandboxState

ENTRIES = "/v1/accounting-entries"


def entries(api: httpx.Client, company: str) -> httpx.Response:
    return api.post(f"{ENTRIES}:search", params={"company_id": company}, json={"includeDeleted": True})


def test_a_resource_is_refused_with_the_permission_that_is_missing(sandbox: RunningSandbox, own_api: httpx.Client) -> None:
    company = sandbox.state.records("companies")[0]["id"]
    sandbox.state.set_refused("tag-group", "company")
    for path in ("/v0/tag-groups", f"/v0/tag-groups/{sandbox.state.records('tag_groups')[0]['id']}/dimensions"):
        answer = own_api.get(path, params={"company_id": company} if path.endswith("groups") else {})
        assert (answer.status_code, answer.json()) == (
            403,
            {"type": "ACCESS_DENIED", "message": "Required permission 'READ' on resource 'tag-group'"},
        )
    assert own_api.get("/v1/companies").json()["message"] == own_api.get(f"/v1/companies/{company}").json()["message"]
    assert own_api.get("/v2/employees", params={"company_id": company}).status_code == 200
    sandbox.state.set_refused()
    assert own_api.get("/v1/companies").status_code == 200


def test_a_search_is_refused_and_single_reads_stay_open(sandbox: RunningSandbox, own_api: httpx.Client) -> None:
    entry = sandbox.state.records("accounting_entries")[0]
    sandbox.state.set_refused("accounting-entry:search")
    refused = entries(own_api, entry["companyId"])
    assert (refused.status_code, refused.json()["message"]) == (403, "Required permission 'SEARCH' on resource 'accounting-entry'")
    single = own_api.get(f"{ENTRIES}/{entry['id']}")
    assert (single.status_code, single.json()) == (200, {"data": entry})
    assert own_api.get(f"{ENTRIES}/0b8f6f1e-7c53-4a7e-9d2a-0a5b3f6c1d2e").status_code == 404
    sandbox.state.set_refused("accounting-entry")
    assert own_api.get(f"{ENTRIES}/{entry['id']}").status_code == 403


def test_a_bare_list_holds_every_record_at_once(sandbox: RunningSandbox, own_api: httpx.Client) -> None:
    entry = sandbox.state.records("accounting_entries")[0]
    sandbox.state.set_bare_lists("accounting_entries")
    assert len(entries(own_api, entry["companyId"]).json()) == len(sandbox.state.records("accounting_entries", entry["companyId"]))
    assert "data" in own_api.get("/v1/companies").json()


def test_the_switches_work_over_http_and_start_over_with_the_sandbox(sandbox: RunningSandbox, own_api: httpx.Client) -> None:
    assert own_api.put("/_sandbox/refused", json=["vendor"]).json() == ["vendor"]
    assert own_api.put("/_sandbox/bare-lists", json=["companies"]).json() == ["companies"]
    assert isinstance(own_api.get("/v1/companies").json(), list)
    wrong = own_api.put("/_sandbox/refused", json=["nothing"])
    assert wrong.status_code == 400 and "tag-group" in wrong.json()["message"]
    assert own_api.put("/_sandbox/refused", json={"a": 1}).status_code == 400
    assert sandbox.state.refused == {"vendor"}
    sandbox.state.start_over()
    assert (sandbox.state.refused, sandbox.state.bare_lists) == (frozenset(), frozenset())


@pytest.mark.parametrize("config", [SandboxConfig(refused=("vendors",)), SandboxConfig(bare_lists=("nothing",))])
def test_a_wrong_name_is_a_wrong_setting(config: SandboxConfig, sandbox: RunningSandbox) -> None:
    with pytest.raises(ConfigurationError):
        SandboxState(config, sandbox.state.catalogue, lambda: 0.0)
