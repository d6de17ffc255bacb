"""Tag group dimensions are read group by group, archived groups included; one that is gone is found missing."""

from __future__ import annotations

from pleo_connector.sandbox import Fault
from tests.place import Place

STREAMS = ("tag_groups", "tag_group_dimensions")


def test_columns_of_archived_groups_come_too(place: Place) -> None:
    group = next(group for group in place.pleo.state.records("tag_groups") if group["archived"])
    column = place.pleo.state.records("tag_group_dimensions")[0]
    added = column | {"id": "0b8f6f1e-7c53-4a7e-9d2a-0a5b3f6c1d2e", "groupId": group["id"]}
    place.pleo.state.put("tag_group_dimensions", added)
    report = place.run(*STREAMS).streams["tag_group_dimensions"]
    assert report.error is None
    assert report.inserted == len(place.pleo.state.records("tag_group_dimensions"))
    assert place.rows(f"SELECT count(*) FROM pleo.tag_group_dimensions WHERE tag_group_id = '{group['id']}'") == [(1,)]
    assert place.run(*STREAMS).written == 0


def test_a_column_and_all_columns_of_a_group_that_is_gone_are_marked_deleted(place: Place) -> None:
    place.run(*STREAMS)
    columns = place.pleo.state.records("tag_group_dimensions")
    group = columns[0]["groupId"]
    mine = [column["id"] for column in columns if column["groupId"] == group]
    other = next(column["id"] for column in columns if column["groupId"] != group)
    place.pleo.state.remove("tag_group_dimensions", other)
    place.pleo.state.remove("tag_groups", group)
    report = place.run(*STREAMS).streams["tag_group_dimensions"]
    assert report.absent == len(mine) + 1
    gone = {str(key) for (key,) in place.rows("SELECT id FROM pleo.tag_group_dimensions WHERE _deleted_source = 'sweep_absent'")}
    assert gone == {*mine, other}


def test_nothing_is_deleted_when_one_group_could_not_be_read(place: Place) -> None:
    place.run(*STREAMS)
    columns = place.pleo.state.records("tag_group_dimensions")
    owner = {group["id"]: group["companyId"] for group in place.pleo.state.records("tag_groups")}
    gone = columns[0]
    company = owner[gone["groupId"]]
    broken = next(group for group in owner if owner[group] == company and group != gone["groupId"])
    place.pleo.state.remove("tag_group_dimensions", gone["id"])
    place.pleo.state.set_faults(Fault("status", status=500, path=f"/v0/tag-groups/{broken}/"))
    report = place.run(*STREAMS, patience=0.01).streams["tag_group_dimensions"]
    assert report.error is not None
    assert report.absent == 0
    place.pleo.state.set_faults()
    assert place.run(*STREAMS).streams["tag_group_dimensions"].absent == 1
