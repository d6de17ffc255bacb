"""A company that appears, disappears or is refused never stops the others."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from pleo_connector import sync
from pleo_connector.catalogue import CATALOGUE
from pleo_connector.errors import ApiError, BadAnswer, Forbidden, PleoUnavailable
from pleo_connector.sandbox import Fault
from pleo_connector.sync.errors import folded
from pleo_connector.sync.report import StreamReport
from pleo_connector.sync.writing import StreamWork
from pleo_connector.warehouses import open_warehouse
from tests.frames.records import entry, key
from tests.place import Place, sandbox
from tests.sync.answering import serving

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
    entries = report.streams["accounting_entries"]
    assert (entries.months_read, entries.as_dict()["spans"]) == ("", []), "nothing was read of one company"
    assert report.streams["companies"].inserted == 2
    with warehouse.transaction() as transaction:
        done = transaction.scalar(f"SELECT count(*) FROM {{schema}}._sweeps WHERE company_id = '{GOOD}' AND status <> 'complete'")
        assert done == 0
        assert transaction.scalar(f"SELECT count(*) FROM {{schema}}._sweeps WHERE company_id = '{BAD}' AND status = 'complete'") == 0


def test_one_refusal_of_many_companies_is_one_line_of_each_stream(place: Place) -> None:
    place.pleo.state.set_refused("tag-group")
    report = place.run("tag_groups", "tag_group_dimensions", "vendors")
    others = len(place.pleo.state.records("companies")) - 1
    assert set(report.failures) == {"tag_groups", "tag_group_dimensions"}
    for name, error in report.failures.items():
        assert report.streams[name].warnings == []
        assert isinstance(error, Forbidden) and str(error).count("ACCESS_DENIED") == 1
        assert str(error).endswith(f"Pleo also refuses this for {others} other companies."), name


def test_companies_are_counted_and_not_requests() -> None:
    work = StreamWork(CATALOGUE.stream("vendors"), StreamReport("vendors"))
    for company, month in (("a", 1), ("a", 2), ("b", 1), ("b", 2)):
        work.note(Forbidden(f"{company} in month {month}.", of_key=True), company)
    work.note_refusals()
    assert isinstance(work.report.error, Forbidden) and work.report.error.of_key
    assert str(work.report.error) == "a in month 1. Pleo also refuses this for 1 other company."
    assert work.report.warnings == []


def test_refusals_are_told_beside_another_error() -> None:
    work = StreamWork(CATALOGUE.stream("vendors"), StreamReport("vendors"))
    work.note(Forbidden("No.", of_key=True), "a")
    work.note(BadAnswer("Bad."), "b")
    for company in ("c", "d", "e"):
        work.note(ApiError(f"404 of {company}."), company)
    work.note_refusals()
    assert str(work.report.error) == "Bad."
    assert work.report.warnings == ["404 of c. Pleo also refuses this for 2 other companies.", "No."]


def test_a_fault_of_pleo_is_no_refusal_and_is_told_for_each_company() -> None:
    errors: dict[str | None, ApiError] = {"a": PleoUnavailable("500 for a."), "b": Forbidden("No.")}
    errors |= {"c": PleoUnavailable("500 for c."), "d": Forbidden("No.")}
    assert [str(error) for error in folded(errors)] == ["500 for a.", "500 for c.", "No. Pleo also refuses this for 1 other company."]


def test_a_refused_list_of_companies_is_told_where_the_credential_cannot_be_looked_at_either(place: Place) -> None:
    place.pleo.state.set_refused("company")
    place.pleo.state.set_faults(Fault("status", path="/v1/introspect", status=403))
    with pytest.raises(Forbidden, match=r"refuses companies .*'company'.*; every stream needs this list\.$"):
        place.run("vendors")


def test_a_company_that_appears_is_read_and_one_that_disappears_keeps_its_rows(synced: Place) -> None:
    first, second = synced.pleo.state.records("companies")[:2]
    new: dict[str, Any] = first | {"id": BAD, "name": "A new one"}
    synced.pleo.state.put("companies", new)
    synced.pleo.state.put("vendors", synced.pleo.state.records("vendors")[0] | {"id": key(7), "companyId": BAD})
    synced.pleo.state.put("accounting_entries", synced.pleo.state.records("accounting_entries")[0] | {"id": key(8), "companyId": BAD})
    synced.pleo.state.remove("companies", second["id"])
    report = synced.run("companies", "vendors", "accounting_entries")
    assert report.failures == {}
    assert BAD in report.companies and second["id"] not in report.companies
    assert (report.streams["companies"].inserted, report.streams["companies"].absent) == (1, 1)
    assert (report.streams["vendors"].inserted, report.streams["accounting_entries"].inserted) == (1, 1)
    kept = synced.rows(f"SELECT count(*), count(_deleted_at) FROM pleo.vendors WHERE company_id = '{second['id']}'")
    assert kept[0][0] > 0 and kept[0][1] == 0, "nobody said that its records are gone"


NOVEMBER: dict[str, Any] = {"start": datetime(2026, 11, 1, tzinfo=UTC)}


def join(place: Place, *moments: str) -> None:
    """A company joins, with an entry at each of these moments."""
    place.pleo.state.put("companies", place.pleo.state.records("companies")[0] | {"id": BAD, "name": "A new one"})
    like = place.pleo.state.records("accounting_entries")[0]
    for number, moment in enumerate(moments):
        place.pleo.state.put("accounting_entries", like | {"id": key(80 + number), "companyId": BAD, "performedAt": moment})


def of_new_company(place: Place) -> int:
    return int(place.rows(f"SELECT count(*) FROM pleo.accounting_entries WHERE company_id = '{BAD}'")[0][0])


def test_a_run_of_a_range_reads_a_company_that_joined_whole_unless_it_names_its_companies(place: Place) -> None:
    place.run("accounting_entries", **NOVEMBER)
    assert place.rows("SELECT count(*) FROM pleo.accounting_entries WHERE performed_at < '2026-11-01'") == [(0,)], "all are new at first"
    join(place, "2026-11-03T08:00:00Z", "2025-10-03T08:00:00Z", "2012-02-03T08:00:00Z")
    place.run("accounting_entries", companies=("A new one",), start=NOVEMBER["start"] + timedelta(days=20))
    assert of_new_company(place) == 0


def test_a_company_that_joined_is_read_on_by_the_next_run_of_a_range_until_all_of_it_is_read(place: Place) -> None:
    place.run("accounting_entries", **NOVEMBER)
    join(place, "2026-11-03T08:00:00Z", "2026-10-03T08:00:00Z", "2026-06-03T08:00:00Z")
    companies = len(place.pleo.state.records("companies"))
    # Each company is asked for its first month; then the others' November and one month or more of the new company are read.
    place.pleo.state.set_faults(Fault("status", path="/v1/accounting-entries:search", status=400, after=2 * companies))
    assert place.run("accounting_entries", **NOVEMBER).failures
    place.pleo.state.set_faults()
    assert of_new_company(place) < 3
    whole = place.run("accounting_entries", **NOVEMBER)
    assert not whole.failures and of_new_company(place) == 3
    assert place.run("accounting_entries", **NOVEMBER).streams["accounting_entries"].sweeps == companies


@pytest.mark.parametrize("may_list", [True, False])
def test_a_credential_of_one_company_reads_all_of_it(tmp_path: Path, may_list: bool) -> None:  # noqa: FBT001 - pytest passes it by name
    with sandbox() as whole:
        company = whole.state.records("companies")[1]["id"]
    with sandbox(company=company, company_may_list=may_list) as pleo:
        place = Place(tmp_path, pleo)
        names = ("vendors", "accounting_entries", "tags", "export_jobs", "tag_group_dimensions")
        report = place.run() if may_list else place.run("companies", *names)
        assert report.failures == {}
        assert report.companies == (company,)
        for name in names:
            assert report.streams[name].inserted == len(pleo.state.records(name, company)) > 0, name
        assert place.rows("SELECT id::VARCHAR FROM pleo.companies") == [(company,)]
        assert place.requests(f"/v1/companies/{company}") == (0 if may_list else 1)
