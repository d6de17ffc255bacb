"""Raw landing: each page once, as served, in the transaction that loads its rows."""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import httpx
import pytest

from pleo_connector.errors import ConfigurationError
from pleo_connector.sandbox import Fault
from pleo_connector.sync import Mode
from pleo_connector.sync.raw_folder import RawFolder
from pleo_connector.sync.raw_packing import unpacked
from pleo_connector.sync.raw_policy import OFF, RawPolicy
from pleo_connector.sync.raw_prune import purge
from pleo_connector.sync.replay import replay
from tests.place import API_KEY, Place


def test_a_page_is_kept_byte_for_byte_with_the_request_that_gave_it(place: Place) -> None:
    report = place.run("employees", "accounting_entries", companies=(place.pleo.state.records("companies")[0]["id"],))
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


@pytest.mark.slow
def test_unchanged_pages_are_kept_once(place: Place) -> None:
    first = place.run().raw
    again = place.run().raw
    assert (again.new, again.new_bytes) == (0, 0)
    assert again.pages > 0
    assert first.total_pages == first.new == again.total_pages
    assert first.total_bytes == first.new_bytes < first.served_bytes


def test_every_loaded_row_has_its_page(synced: Place) -> None:
    lost = synced.rows("SELECT count(*) FROM pleo._raw_requests r ANTI JOIN pleo._raw_pages p USING (content)")
    assert lost == [(0,)]
    assert synced.rows(
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


def test_a_page_that_cannot_be_read_fails_its_window_alone_and_is_kept(place: Place) -> None:
    path = "/v1/accounting-entries:search"
    mine = (place.pleo.state.records("companies")[0]["id"],)
    place.pleo.state.set_faults(Fault("truncated", path=path, after=6, times=2))
    failed = place.run("accounting_entries", "employees", patience=0.0, companies=mine)
    error = str(failed.failures["accounting_entries"])
    report = failed.streams["accounting_entries"]
    assert 0 < report.sweeps_completed < report.sweeps
    assert failed.streams["employees"].error is None
    kept = place.rows("SELECT stream, reason, content, size, answer, query FROM pleo._raw_failed")
    assert kept
    assert "The answer is kept in pleo._raw_failed (content " in error
    for stream, reason, content, size, answer, query in kept:
        body = unpacked(answer, size)
        assert (stream, hashlib.sha256(body).hexdigest()) == ("accounting_entries", content)
        assert body.startswith(b'{"data":[')
        assert "damaged or cut JSON" in reason or "in the middle of the JSON" in reason
        assert "limit=" in query
    assert content[:12] in error or len(kept) > 1
    place.pleo.state.set_faults()
    assert place.run("accounting_entries", companies=mine).failures == {}


def test_of_a_stream_with_secrets_only_the_fingerprint_of_an_unreadable_page_is_kept(place: Place) -> None:
    place.pleo.state.set_faults(Fault("truncated", path="/v1/subscriptions"))
    failed = place.run("subscriptions", patience=0.1)
    assert "Its fingerprint is kept in pleo._raw_failed" in str(failed.failures["subscriptions"])
    ((answer, size),) = place.rows("SELECT answer, size FROM pleo._raw_failed")
    assert answer is None
    assert size > 0


@pytest.mark.slow
def test_pages_past_the_retention_go_unless_a_living_row_needs_them(place: Place) -> None:
    keep = RawPolicy(days=10)
    vendor = place.pleo.state.records("vendors")[0]
    place.run("vendors", "accounting_entries", "export_jobs", raw=keep)
    for number, record in enumerate(place.pleo.state.records("accounting_entries")[-3:]):
        place.pleo.state.put("accounting_entries", record | {"note": f"edit {number}"})
    place.pleo.state.put("vendors", vendor | {"name": "Newer"})
    second = place.run("vendors", "accounting_entries", "export_jobs", mode=Mode.FULL, raw=keep)
    assert second.raw.pruned == 0
    ages = "UPDATE pleo._raw_requests SET fetched_at = fetched_at - INTERVAL 20 DAY"
    with duckdb.connect(place.warehouse.location) as clock:
        clock.execute(ages)
        clock.execute("UPDATE pleo._raw_loads SET loaded_at = loaded_at - INTERVAL 20 DAY")
    jobs = place.rows("SELECT count(*) FROM pleo._raw_requests WHERE stream = 'export_jobs'")
    last = place.run("employees", raw=keep, now=datetime.now(UTC))
    assert last.raw.pruned == second.raw.new, "each page that is not as it was has taken the place of an older one"
    assert place.rows("SELECT count(*) FROM pleo._raw_requests WHERE stream = 'export_jobs'") == jobs, "Pleo forgets export jobs"
    assert place.rows("SELECT count(*) FROM pleo._raw_pages p ANTI JOIN pleo._raw_requests r USING (content)") == [(0,)]
    again = place.beside("again")
    replay(place.warehouse, again.warehouse, raw=RawPolicy())
    living = "SELECT * EXCLUDE (_synced_at, _sweep_id) FROM pleo.accounting_entries ORDER BY id"
    assert again.rows(living) == place.rows(living)


def test_all_pages_of_a_stream_can_be_purged(place: Place) -> None:
    place.run("vendors", "employees")
    with place.warehouse.transaction() as work:
        gone = purge(work, ["employees"])
    assert gone
    assert place.rows("SELECT DISTINCT stream FROM pleo._raw_requests") == [("vendors",)]
    assert place.run("employees").raw.new == len(gone)
