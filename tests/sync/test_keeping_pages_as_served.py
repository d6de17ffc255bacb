"""Raw landing: each page once, as served, in the transaction that loads its rows."""

from __future__ import annotations

import hashlib
from pathlib import Path

import duckdb
import httpx
import pytest

from pleo_connector.errors import ConfigurationError
from pleo_connector.sync.raw import unpacked
from pleo_connector.sync.raw_folder import RawFolder
from pleo_connector.sync.raw_policy import OFF, RawPolicy
from tests.sync.places import API_KEY, Place


def test_a_page_is_kept_byte_for_byte_with_the_request_that_gave_it(place: Place) -> None:
    report = place.run("employees", "accounting_entries")
    walked = place.rows(
        "SELECT r.method, r.path, r.query, r.body, r.served, r.content, p.page, p.size FROM pleo._raw_requests r JOIN pleo._raw_pages p USING (content)"
    )
    assert len(walked) == report.raw.pages == sum(each.pages for each in report.streams.values())
    for method, path, query, body, served, content, page, size in walked:
        again = httpx.request(
            method, f"{place.pleo.url}{path}?{query}", content=body, auth=API_KEY, headers={"Content-Type": "application/json"}
        )
        assert unpacked(page, size) == again.content
        assert hashlib.sha256(again.content).hexdigest() == served == content
    assert "sandbox-api-key" not in str(place.rows("SELECT * EXCLUDE content FROM pleo._raw_requests"))


def test_unchanged_pages_are_kept_once(place: Place) -> None:
    first = place.run().raw
    again = place.run().raw
    assert (again.new, again.new_bytes) == (0, 0)
    assert again.pages > 0
    assert first.total_pages == first.new == again.total_pages
    assert first.total_bytes == first.new_bytes < first.served_bytes


def test_every_loaded_row_has_its_page(place: Place) -> None:
    place.run()
    lost = place.rows("SELECT count(*) FROM pleo._raw_requests r ANTI JOIN pleo._raw_pages p USING (content)")
    assert lost == [(0,)]
    assert place.rows(
        "SELECT sweep_id FROM pleo._sweeps WHERE pages <> (SELECT count(*) FROM pleo._raw_requests r WHERE r.sweep_id = _sweeps.sweep_id)"
    ) == []  # fmt: skip


def test_nothing_is_kept_when_it_is_off(place: Place) -> None:
    report = place.run("employees", raw=RawPolicy(OFF))
    assert (report.raw.place, report.raw.pages) == ("", 0)
    with pytest.raises(duckdb.CatalogException):
        place.rows("SELECT * FROM pleo._raw_pages")


def test_pages_in_a_folder_leave_only_the_walk_in_the_warehouse(place: Place, tmp_path: Path) -> None:
    folder = tmp_path / "raw"
    place.run("employees", raw=RawPolicy(str(folder)))
    kept = place.rows("SELECT content, size, page FROM pleo._raw_pages")
    assert kept
    for content, size, page in kept:
        assert page is None
        assert hashlib.sha256(unpacked(RawFolder(folder).read(content), size)).hexdigest() == content
    assert {file.stat().st_mode & 0o077 for file in folder.rglob("*")} == {0}


def test_a_folder_that_cannot_be_written_is_said(place: Place, tmp_path: Path) -> None:
    (tmp_path / "raw").write_text("a file")
    with pytest.raises(ConfigurationError, match="PLEO_RAW"):
        place.run("employees", raw=RawPolicy(str(tmp_path / "raw")))
    assert place.rows("SELECT count(*) FROM pleo.employees") == [(0,)]
