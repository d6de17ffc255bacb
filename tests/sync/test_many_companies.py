"""A company that appears, disappears or is refused never stops the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from pleo_connector import sync
from pleo_connector.errors import Forbidden
from pleo_connector.sandbox import SandboxConfig, running
from pleo_connector.warehouses import open_warehouse
from tests.frames.records import entry, key
from tests.sync.answering import serving
from tests.sync.places import Place

GOOD, BAD = "11111111-1111-4111-8111-111111111111", "33333333-3333-4333-8333-333333333333"
LAST = {"hasNextPage": False, "endCursor": "E="}


def answer(request: httpx.Request) -> httpx.Response:
    if request.url.path == "/v1/companies":
        return httpx.Response(200, json={"data": [{"id": one, "name": one[:2]} for one in (BAD, GOOD)], "pagination": LAST})
    if BAD in str(request.url) or BAD.encode() in request.content:
        return httpx.Response(403, json={"type": "FORBIDDEN"})
    if "accounting-entries:search" in request.url.path:
        return httpx.Response(200, json={"data": [entry(1, companyId=GOOD, performedAt="2026-11-01T00:00:00Z")], "pagination": LAST})
    data = [{"id": key(2), "companyId": GOOD, "name": "A vendor"}] if "vendors" in request.url.path else []
    return httpx.Response(200, json={"data": data, "pagination": LAST})


def test_a_company_that_is_refused_fails_its_own_part_alone(tmp_path: Path) -> None:
    warehouse = open_warehouse(f"duckdb:///{tmp_path / 'w.duckdb'}", "pleo")
    with serving(answer) as url:
        plan = sync.SyncPlan(("companies", "accounting_entries", "vendors", "receipts", "tag_group_dimensions", "export_items"))
        report = sync.run(plan, sync.Connection(url, httpx.BasicAuth("k", ""), requests_per_minute=1_000_000), warehouse)
    for name in ("accounting_entries", "vendors"):
        assert isinstance(report.failures[name], Forbidden), name
        assert BAD in str(report.failures[name])
        assert report.streams[name].inserted == 1, name
    assert report.streams["companies"].inserted == 2
    with warehouse.transaction() as transaction:
        done = transaction.scalar(f"SELECT count(*) FROM {{schema}}._sweeps WHERE company_id = '{GOOD}' AND status <> 'complete'")
        assert done == 0
        assert transaction.scalar(f"SELECT count(*) FROM {{schema}}._sweeps WHERE company_id = '{BAD}' AND status = 'complete'") == 0


def test_a_company_that_appears_is_read_and_one_that_disappears_keeps_its_rows(place: Place) -> None:
    place.run("companies", "vendors", "accounting_entries")
    first, second = place.pleo.state.records("companies")[:2]
    new: dict[str, Any] = first | {"id": BAD, "name": "A new one"}
    place.pleo.state.put("companies", new)
    place.pleo.state.put("vendors", place.pleo.state.records("vendors")[0] | {"id": key(7), "companyId": BAD})
    place.pleo.state.put("accounting_entries", place.pleo.state.records("accounting_entries")[0] | {"id": key(8), "companyId": BAD})
    place.pleo.state.remove("companies", second["id"])
    report = place.run("companies", "vendors", "accounting_entries")
    assert report.failures == {}
    assert BAD in report.companies and second["id"] not in report.companies
    assert (report.streams["companies"].inserted, report.streams["companies"].absent) == (1, 1)
    assert (report.streams["vendors"].inserted, report.streams["accounting_entries"].inserted) == (1, 1)
    kept = place.rows(f"SELECT count(*), count(_deleted_at) FROM pleo.vendors WHERE company_id = '{second['id']}'")
    assert kept[0][0] > 0 and kept[0][1] == 0, "nobody said that its records are gone"


@pytest.mark.parametrize("may_list", [True, False])
def test_a_credential_of_one_company_reads_all_of_it(tmp_path: Path, may_list: bool) -> None:  # noqa: FBT001 - pytest passes it by name
    with running(SandboxConfig(port=0, requests_per_minute=0)) as whole:
        company = whole.state.records("companies")[1]["id"]
    with running(SandboxConfig(port=0, requests_per_minute=0, company=company, company_may_list=may_list)) as pleo:
        place = Place(pleo, open_warehouse(f"duckdb:///{tmp_path / 'w.duckdb'}", "pleo"))
        report = place.run()
        assert report.failures == {}
        assert report.companies == (company,)
        for name in ("vendors", "accounting_entries", "tags", "export_jobs", "tag_group_dimensions"):
            assert report.streams[name].inserted == len(pleo.state.records(name, company)) > 0, name
        assert place.rows("SELECT id::VARCHAR FROM pleo.companies") == [(company,)]
        assert place.requests(f"/v1/companies/{company}") == (0 if may_list else 1)
