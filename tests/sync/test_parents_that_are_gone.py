"""A record that was listed a moment ago may be gone when what belongs to it is read (404): it is skipped with a warning, and proves nothing."""

from __future__ import annotations

from pleo_connector.errors import ApiError
from pleo_connector.sandbox import Fault
from pleo_connector.sync import RawPolicy
from pleo_connector.sync.replay import replay
from tests.place import Place
from tests.sync.looking import assert_same

GROUPS = ("tag_groups", "tag_group_dimensions")
JOBS = ("export_jobs", "export_job_items", "export_items")


def gone(path: str, status: int = 404, times: int | None = None) -> Fault:
    """The path answers as if its record had gone."""
    return Fault("status", status=status, path=path, times=times)


def test_a_group_that_is_gone_is_skipped_and_its_rows_are_deleted_by_the_next_list_alone(place: Place) -> None:
    columns = place.pleo.state.records("tag_group_dimensions")
    owner = {group["id"]: group["companyId"] for group in place.pleo.state.records("tag_groups")}
    lost = columns[0]["groupId"]
    other = next(group for group, company in owner.items() if group != lost and company == owner[lost])
    sibling = columns[0] | {"id": "0b8f6f1e-7c53-4a7e-9d2a-0a5b3f6c1d2e", "groupId": other}
    mine = [column["id"] for column in columns if column["groupId"] == lost]
    place.pleo.state.put("tag_group_dimensions", sibling)
    place.run(*GROUPS)
    place.pleo.state.remove("tag_group_dimensions", sibling["id"])
    place.pleo.state.set_faults(gone(f"/v0/tag-groups/{lost}/dimensions"))
    report = place.run(*GROUPS)
    stream = report.streams["tag_group_dimensions"]
    assert report.failures == {}
    assert (stream.absent, stream.served) == (0, len(columns) - len(mine))
    (warning,) = stream.warnings
    assert f"1 of the {len(owner)} tag groups" in warning and lost in warning and "were skipped" in warning
    assert stream.as_dict()["warnings"] == [warning]
    place.pleo.state.set_faults()
    place.pleo.state.remove("tag_groups", lost)
    after = place.run(*GROUPS).streams["tag_group_dimensions"]
    assert (after.error, after.warnings, after.absent) == (None, [], len(mine) + 1)
    again = place.beside("again")
    replay(place.warehouse, again.warehouse, GROUPS, raw=RawPolicy())
    assert_same(place.file, again.file)


def test_a_group_that_is_there_again_is_read_as_if_nothing_had_happened(place: Place) -> None:
    lost = place.pleo.state.records("tag_group_dimensions")[0]["groupId"]
    place.pleo.state.set_faults(gone(f"/v0/tag-groups/{lost}/dimensions", status=410, times=1))
    first = place.run(*GROUPS).streams["tag_group_dimensions"]
    assert first.error is None and lost in first.warnings[0]
    second = place.run(*GROUPS).streams["tag_group_dimensions"]
    assert (second.error, second.warnings) == (None, [])
    assert place.rows("SELECT count(*) FROM pleo.tag_group_dimensions WHERE _deleted_at IS NULL") == [
        (len(place.pleo.state.records("tag_group_dimensions")),)
    ]


def test_jobs_that_are_gone_are_skipped_and_asked_for_again_while_they_are_listed(place: Place) -> None:
    job = next(job["id"] for job in place.pleo.state.records("export_jobs") if job["status"] == "completed")
    items = sum(item["exportJobId"] == job for item in place.pleo.state.records("export_job_items"))
    place.pleo.state.set_faults(gone(f"/v3/export-jobs/{job}/items"), gone("/v3/export-items", times=1))
    report = place.run(*JOBS)
    assert report.failures == {}
    assert job in report.streams["export_job_items"].warnings[0]
    assert "were skipped" in report.streams["export_items"].warnings[0]
    place.pleo.state.set_faults()
    again = place.run(*JOBS)
    assert (again.failures, again.streams["export_job_items"].inserted) == ({}, items)
    assert [again.streams[name].warnings for name in JOBS] == [[], [], []]


def test_where_all_are_gone_the_warning_says_that_too(place: Place) -> None:
    place.pleo.state.set_faults(*(gone(f"/v0/tag-groups/{group['id']}/") for group in place.pleo.state.records("tag_groups")))
    stream = place.run(*GROUPS).streams["tag_group_dimensions"]
    assert stream.error is None
    (warning,) = stream.warnings
    assert "..." in warning and "check PLEO_API_URL" in warning


def test_a_list_that_is_not_there_stays_an_error(place: Place) -> None:
    place.pleo.state.set_faults(gone("/v0/tag-groups$"), gone("/v1/vendors"))
    report = place.run(*GROUPS, "vendors")
    assert set(report.failures) == {"tag_groups", "tag_group_dimensions", "vendors"}
    for error in report.failures.values():
        assert type(error) is ApiError and "404" in str(error) and "PLEO_API_URL" in str(error)
