"""Export jobs in the sandbox live as at Pleo: items can be read while a job runs, and a control moves it."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from pleo_connector.errors import ConfigurationError
from pleo_connector.sandbox import RunningSandbox, SandboxConfig, running


@pytest.fixture
def pleo() -> Iterator[RunningSandbox]:
    with running(SandboxConfig(port=0, requests_per_minute=0)) as sandbox:
        yield sandbox


def ask(pleo: RunningSandbox, path: str, **query: str) -> httpx.Response:
    return httpx.get(pleo.url + path, params=query, auth=("sandbox-api-key", ""), trust_env=False)


def job(pleo: RunningSandbox, status: str) -> str:
    return next(str(record["id"]) for record in pleo.state.records("export_jobs") if record["status"] == status)


def test_items_are_served_while_the_job_runs_and_refused_afterwards(pleo: RunningSandbox) -> None:
    open_job = job(pleo, "in_progress")
    found = ask(pleo, "/v3/export-items", job_id=open_job)
    entries = {item["accountingEntryId"] for item in ask(pleo, f"/v3/export-jobs/{open_job}/items").json()["data"]}
    assert {item["accountingEntryId"] for item in found.json()["data"]} == entries != set()
    moved = httpx.post(f"{pleo.url}/_sandbox/export-jobs/{open_job}", json={"status": "completed"}, trust_env=False)
    assert moved.json()["status"] == "completed"
    refused = ask(pleo, "/v3/export-items", job_id=open_job)
    assert (refused.status_code, refused.json()["type"]) == (422, "EXPORT_JOB_STATUS_UNPROCESSABLE")
    items = ask(pleo, f"/v3/export-jobs/{open_job}/items").json()["data"]
    assert {item["status"] for item in items} == {"successful"}


def test_jobs_that_are_not_there_and_states_that_are_none(pleo: RunningSandbox) -> None:
    nobody = "0b8f6f1e-7c53-4a7e-9d2a-0a5b3f6c1d2e"
    for answer in (ask(pleo, "/v3/export-items", job_id=nobody), ask(pleo, f"/v3/export-jobs/{nobody}/items")):
        assert (answer.status_code, answer.json()["type"]) == (404, "EXPORT_NOT_FOUND")
    assert ask(pleo, f"/v0/tag-groups/{nobody}/dimensions").status_code == 404
    with pytest.raises(ConfigurationError, match="none of pending"):
        pleo.state.move_export_job(job(pleo, "pending"), "done")
    with pytest.raises(ConfigurationError, match="no export item"):
        pleo.state.start_export_job(pleo.state.records("companies")[0]["id"], [nobody])
    assert httpx.post(f"{pleo.url}/_sandbox/export-jobs/{nobody}", json={"status": "failed"}, trust_env=False).status_code == 400


def test_jobs_are_filtered_by_status(pleo: RunningSandbox) -> None:
    company = pleo.state.records("companies")[0]["id"]
    found = httpx.get(
        f"{pleo.url}/v3/export-jobs?company_id={company}&statuses=failed&statuses=in_progress",
        auth=("sandbox-api-key", ""),
        trust_env=False,
    )
    assert {record["status"] for record in found.json()["data"]} == {"failed", "in_progress"}


def test_starting_over_gives_the_jobs_a_new_hour(pleo: RunningSandbox) -> None:
    open_job = job(pleo, "pending")
    pleo.state.move_export_job(open_job, "failed")
    pleo.state.start_over()
    assert job(pleo, "pending") == open_job
