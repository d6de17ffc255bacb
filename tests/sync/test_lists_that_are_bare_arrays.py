"""Where a list is expected, a bare JSON array is one page: in every stream, in the raw pages, and when they are replayed."""

from __future__ import annotations

import pytest

from pleo_connector.catalogue import CATALOGUE, Paging
from pleo_connector.errors import BadAnswer, WalkStalled
from pleo_connector.frames import split_page
from pleo_connector.sync import RawPolicy
from pleo_connector.sync.replay import replay
from tests.place import Place
from tests.sync.looking import assert_same

LISTS = tuple(stream.name for stream in CATALOGUE if stream.paging is not Paging.ONE)


def test_every_stream_is_read_from_bare_arrays_as_from_pages_and_replayed(place: Place) -> None:
    with_pages, mine = place.beside("with_pages"), (place.pleo.state.records("companies")[0]["id"],)
    assert with_pages.run(*LISTS, companies=mine).failures == {}
    place.pleo.state.set_bare_lists(*LISTS)
    report = place.run(*LISTS, companies=mine)
    assert report.failures == {}
    assert all(report.streams[name].served for name in LISTS)
    assert place.rows("SELECT count(*) FROM pleo._sweeps WHERE status <> 'complete'") == [(0,)]
    for name in LISTS:
        query = f"SELECT {CATALOGUE.stream(name).key}, _row_hash FROM pleo.{name} ORDER BY ALL"
        assert place.rows(query) == with_pages.rows(query), name
    again = place.beside("again")
    replay(place.warehouse, again.warehouse, LISTS, raw=RawPolicy())
    assert_same(place.file, again.file)


def test_a_record_that_is_gone_is_marked_deleted_by_a_bare_array_too(place: Place) -> None:
    place.pleo.state.set_bare_lists("employees")
    place.run("employees")
    place.pleo.state.remove("employees", place.pleo.state.records("employees")[0]["id"])
    assert place.run("employees").streams["employees"].absent == 1


def test_a_bare_array_of_as_many_records_as_were_asked_for_may_be_cut_off(place: Place) -> None:
    """Without an envelope nothing says whether there are more: what came is kept, and nothing is taken for deleted."""
    limit = CATALOGUE.stream("vendors").limit
    assert limit is not None
    company = place.pleo.state.records("companies")[0]["id"]
    place.run("vendors", companies=(company,))
    mine = place.pleo.state.records("vendors", company)
    for number in range(limit - len(mine) + 1):
        place.pleo.state.put("vendors", mine[0] | {"id": f"0b8f6f1e-7c53-4a7e-9d2a-{number:012d}"})
    place.pleo.state.remove("vendors", mine[0]["id"])
    place.pleo.state.set_bare_lists("vendors")
    report = place.run("vendors", companies=(company,)).streams["vendors"]
    assert isinstance(report.error, WalkStalled)
    assert f"bare list of {limit} records" in str(report.error)
    assert (report.served, report.absent) == (limit, 0)


def test_one_record_is_no_list() -> None:
    with pytest.raises(BadAnswer, match="not an object"):
        split_page(b'[{"id":"x"}]', Paging.ONE, "installation")
