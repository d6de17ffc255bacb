from __future__ import annotations

import time
import tracemalloc
from itertools import pairwise
from typing import Any

import httpx
import pytest

from pleo_connector.catalogue import CATALOGUE
from pleo_connector.errors import ConfigurationError
from pleo_connector.sandbox import API_KEY, RunningSandbox, SandboxConfig, running
from pleo_connector.sandbox.generated import GeneratedEntries
from pleo_connector.sandbox.samples import read_samples, sample_folder
from pleo_connector.sandbox.times import iso, nanoseconds
from tests.sandbox.signing_in import ENTRIES, client_of
from tests.sandbox.test_sample_data import faults, schema_of

SAMPLES = {stream.name: read_samples(sample_folder(), stream.name) for stream in CATALOGUE}


def entries(rows: int, seed: int = 7) -> GeneratedEntries:
    return GeneratedEntries(rows, seed, SAMPLES)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others() -> None:
    one, again, other = entries(300), entries(300), entries(300, seed=8)
    assert [one.body(number) for number in range(300)] == [again.body(number) for number in range(300)]
    assert not {one.id(number) for number in range(300)} & {other.id(number) for number in range(300)}


def test_every_record_is_what_the_contract_says() -> None:
    made = entries(3000)
    records = [made.record(number) for number in range(3000)]
    assert [fault for record in records for fault in faults(record, schema_of("accounting_entries"), ("accounting_entries",))] == []
    assert len({record["id"] for record in records}) == 3000
    assert {record["transactionValue"]["currency"] for record in records} == {"DKK", "EUR", "GBP", "SEK", "JPY", "KWD"}
    assert any(record["transactionValue"]["minors"] < 0 for record in records)
    assert any("deletedAt" in record for record in records)
    assert any("settledAt" not in record for record in records)
    split = [record for record in records if record["splitItems"]]
    assert len(split) > 100
    for record in split:
        for name in ("transactionValue", "totalBillValue"):
            assert sum(part[name]["minors"] for part in record["splitItems"]) == record[name]["minors"]
    parts = [part["id"] for record in split for part in record["splitItems"]]
    assert len(set(parts)) == len(parts)


@pytest.mark.parametrize("rows", [0, 1, 9, 10, 11, 1000, 99_999_999])
def test_companies_share_all_entries_and_numbers_are_found_again(rows: int) -> None:
    made = entries(rows)
    assert sum(made.count(company) for company in made.company_ids) == rows
    for company in made.company_ids:
        count = made.count(company)
        for position in {0, count // 2, count - 1} if count else set[int]():
            number = made.number(company, position)
            assert 0 <= number < rows
            assert made.company_of(number) == made.record(number)["companyId"] == company
            assert made.number_of(made.id(number)) == number
    assert made.number_of("11111111-1111-4111-8111-111111111111") is None
    assert made.number_of("nonsense") is None


@pytest.mark.parametrize("rows", [1000, 20_000_000])
def test_time_grows_with_the_number(rows: int) -> None:
    made = entries(rows)
    numbers = range(1000) if rows == 1000 else range(rows - 1000, rows)
    times = [made.performed(number) for number in numbers]
    assert all(earlier < later for earlier, later in pairwise(times))
    assert [nanoseconds(made.record(number)["performedAt"]) for number in numbers] == times


def test_times_have_0_to_9_digits() -> None:
    digits = {len(entries(1000).record(number)["performedAt"].rstrip("Z").partition(".")[2]) for number in range(200)}
    assert digits == set(range(10))


@pytest.mark.parametrize(
    "text", ["2026-02-28T23:59:59Z", "2026-02-28T23:59:59.1Z", "1999-12-31T00:00:00.000000001Z", "2026-11-22T10:00:00.123456789Z"]
)
def test_times_survive_the_way_to_nanoseconds_and_back(text: str) -> None:
    assert iso(nanoseconds(text), len(text.rstrip("Z").partition(".")[2])) == text


def read_all(client: httpx.Client, body: dict[str, Any], **params: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    asked = {"limit": 100, "sorting_keys": ["performedAt", "id"], "sorting_order": ["ASC", "ASC"], **params}
    while True:
        answer = client.post(ENTRIES, params=asked, json=body)
        assert answer.status_code == 200, answer.text
        page = answer.json()
        found += page["data"]
        if not page["pagination"]["hasNextPage"]:
            return found
        asked["after"] = page["pagination"]["endCursor"]


def test_a_million_entries_are_never_in_memory() -> None:
    with running(SandboxConfig(port=0, rows=1_000_000, requests_per_minute=0)) as sandbox, client_of(sandbox, auth=(API_KEY, "")) as client:
        company = next(iter(sandbox.state.store.companies()))
        window = {"includeDeleted": True, "performedAtStart": "2026-03-05T00:00:00Z", "performedAtEnd": "2026-03-06T00:00:00Z"}
        read_all(client, window, company_id=company)
        tracemalloc.start()
        try:
            started = time.monotonic()
            count = len(read_all(client, {**window, "performedAtStart": "2026-03-04T00:00:00Z"}, company_id=company))
            assert 1800 < count < 2100
            assert time.monotonic() - started < 20
            page = client.post(ENTRIES, params={"company_id": company, "limit": 1}, json={"includeDeleted": True}).json()
            assert page["pagination"]["total"] == 400_000
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert peak < 20_000_000


def test_changed_removed_and_added_entries_show(clock: Any) -> None:
    with (
        running(SandboxConfig(port=0, rows=500, requests_per_minute=0), clock=clock) as sandbox,
        client_of(sandbox, auth=(API_KEY, "")) as client,
    ):
        organisation, state = sandbox.state.organisation_id, sandbox.state
        before = read_all(client, {"includeDeleted": True}, organization_id=organisation)
        assert len(before) == 500
        assert before == state.records("accounting_entries")
        changed, removed, twice = before[10], before[20], before[30]
        state.put("accounting_entries", {**changed, "note": "changed"})
        assert state.remove("accounting_entries", removed["id"])
        assert not state.remove("accounting_entries", removed["id"])
        state.put("accounting_entries", {**twice, "id": "aaaaaaaa-0000-4000-8000-000000000001"})
        state.put("accounting_entries", {**removed, "note": "back"})
        state.remove("accounting_entries", removed["id"])
        after = {entry["id"]: entry for entry in read_all(client, {"includeDeleted": True}, organization_id=organisation)}
        assert len(after) == 500
        assert after[changed["id"]]["note"] == "changed"
        assert removed["id"] not in after
        assert "aaaaaaaa-0000-4000-8000-000000000001" in after
        assert state.get("accounting_entries", removed["id"]) is None
        assert state.get("accounting_entries", changed["id"]) == {**changed, "note": "changed"}
        assert state.get("accounting_entries", before[0]["id"]) == before[0]


def test_deleted_generated_entries_come_only_when_asked(clock: Any) -> None:
    with (
        running(SandboxConfig(port=0, rows=3000, requests_per_minute=0), clock=clock) as sandbox,
        client_of(sandbox, auth=(API_KEY, "")) as client,
    ):
        organisation = sandbox.state.organisation_id
        everything = read_all(client, {"includeDeleted": True}, organization_id=organisation)
        live = read_all(client, {"includeDeleted": False}, organization_id=organisation)
        assert len(everything) == 3000
        assert live == [entry for entry in everything if "deletedAt" not in entry]
        assert len(live) < 3000


def test_rows_have_bounds() -> None:
    with pytest.raises(ConfigurationError, match="rows"):
        SandboxConfig(rows=-1)


def test_no_rows_is_an_empty_list() -> None:
    sandbox: RunningSandbox
    with running(SandboxConfig(port=0, rows=0)) as sandbox, client_of(sandbox, auth=(API_KEY, "")) as client:
        assert read_all(client, {"includeDeleted": True}, organization_id=sandbox.state.organisation_id) == []
