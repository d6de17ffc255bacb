"""Files of receipts, where somebody asked for them: each whole, once, private, and without a trace of its link."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from pleo_connector import ReceiptFiles, StreamOptions, sync
from pleo_connector.errors import ConfigurationError
from pleo_connector.file_options import FilesOfDeleted
from pleo_connector.sandbox import Fault
from pleo_connector.sandbox.receipt_content import receipt_content
from pleo_connector.sync.receipt_folder import MARKER
from pleo_connector.sync.receipt_report import FilesReport
from pleo_connector.sync.receipt_table import RECEIPT_FILES
from tests.place import Place, sandbox
from tests.postgres_server import new_database
from tests.sync.test_what_is_never_kept import SECRETS, everything

FILES = "/files/receipts/"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "kept" / "receipts"


@pytest.fixture
def few(place: Place) -> Place:
    """A Pleo with seven receipts, of one company: each of another format."""
    cut_down(place)
    return place


def cut_down(place: Place) -> None:
    state = place.pleo.state
    company = state.records("companies")[0]["id"]
    mine = {entry["id"] for entry in state.records("accounting_entries", company)}
    kinds = iter(("image/png", "image/jpeg", "application/pdf", "image/heic", "text/xml", "unknown", "application/postscript"))
    for record in state.records("receipts"):
        kind = next(kinds, None) if record["accountingEntryId"] in mine else None
        if kind is None:
            state.remove("receipts", record["id"])
        else:
            state.put("receipts", record | {"mimeType": kind})


def fetch(place: Place, folder: Path, company: str | None = None, **choices: Any) -> FilesReport:
    report = run(place, folder, company, **choices)
    assert report.error is None
    assert report.files is not None
    return report.files


def run(place: Place, folder: Path, company: str | None = None, **choices: Any) -> sync.StreamReport:
    of = company or str(place.pleo.state.records("companies")[0]["id"])
    options = {"receipts": StreamOptions(files=ReceiptFiles(folder, **choices))}
    return place.run("receipts", options=options, companies=(of,)).streams["receipts"]


def asked_for(place: Place) -> int:
    return sum(count for path, count in place.pleo.state.counters()["by_path"].items() if path.startswith(FILES))


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file() and file.name != MARKER}


def test_each_file_is_whole_private_and_named_by_its_receipt_and_fetched_once(few: Place, folder: Path) -> None:
    report = fetch(few, folder)
    records = few.pleo.state.records("receipts")
    assert (report.fetched, report.left.total()) == (len(records), 0)
    endings = {"unknown": "bin", "text/xml": "xml", "image/jpeg": "jpg", "application/postscript": "ps"}
    wanted = {
        f"{record['id'][:2]}/{record['id']}.{endings.get(record['mimeType'], record['mimeType'].rpartition('/')[2])}": receipt_content(
            record
        )
        for record in records
    }
    assert files_in(folder) == {path: content for path, (content, _) in wanted.items()}
    rows = few.rows(
        "SELECT path, content_type, f.size_in_bytes, sha256, tries, failure FROM pleo.receipts r JOIN pleo.receipt_files f ON f.receipt_id = r.id"
    )
    assert sorted(rows) == sorted(
        (path, kind, len(content), hashlib.sha256(content).hexdigest(), 1, None) for path, (content, kind) in wanted.items()
    )
    assert {file.stat().st_mode & 0o777 for file in folder.rglob("*") if file.is_file()} == {0o600}
    assert {place.stat().st_mode & 0o777 for place in (folder, *folder.iterdir()) if place.is_dir()} == {0o700}
    few.pleo.state.reset_counters()
    again = fetch(few, folder)
    assert (again.fetched, again.adopted, again.left.total(), asked_for(few)) == (0, 0, 0, 0)
    assert few.requests("/v1/accounting-entries/receipts:search") == 1, "the rows alone"


@pytest.mark.slow
def test_without_the_option_nothing_is_fetched_and_no_table_made(few: Place) -> None:
    assert few.run("receipts").streams["receipts"].files is None
    assert asked_for(few) == 0
    assert few.rows("SELECT count(*) FROM duckdb_tables() WHERE table_name = 'receipt_files'") == [(0,)]


def test_a_run_fetches_so_many_originals_and_the_next_goes_on(few: Place, folder: Path) -> None:
    rendition, *originals = few.pleo.state.records("receipts")
    few.pleo.state.put("receipts", rendition | {"fileType": "THUMBNAIL"})
    first = fetch(few, folder, per_run=4)
    assert (first.fetched, dict(first.left)) == (4, {"waiting": 2})
    newest = sorted(originals, key=lambda record: str(record["createdAt"]))[2:]
    assert {str(key) for (key,) in few.rows("SELECT receipt_id FROM pleo.receipt_files")} == {record["id"] for record in newest}
    second = fetch(few, folder, per_run=4)
    assert (second.fetched, second.left.total()) == (2, 0)


def test_no_link_is_left_anywhere(few: Place, folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    one, other = few.pleo.state.records("receipts")[:2]
    few.pleo.state.set_faults(
        Fault("status", status=403, path=f"{FILES}{one['id']}"),
        Fault("cut", path=f"{FILES}{other['id']}"),
        Fault("reset", times=1, path=FILES),
    )
    caplog.set_level(logging.DEBUG)
    report = run(few, folder)
    assert report.files is not None
    assert dict(report.files.left) == {"waiting": 0, "refused": 1, "network": 1}
    message = f"{caplog.text}{[vars(record) for record in caplog.records]}{json.dumps(report.as_dict())}{report!r}".encode()
    assert b"receipts:search" in message, "what may be logged is"
    assert [secret for secret in SECRETS if secret in message + everything(few)] == []
    caplog.clear()
    logging.getLogger("httpx").info("heard")
    assert "heard" in caplog.text, "only the requests for files are silent"


def test_each_failure_has_its_word_and_is_tried_again(few: Place, folder: Path) -> None:
    state = few.pleo.state
    gone, refused, down, page, elsewhere, local, fine = state.records("receipts")
    state.put("receipts", elsewhere | {"url": "http://files.example/a"})
    state.put("receipts", local | {"url": f"http://user:word@{few.pleo.url.removeprefix('http://')}/a"})
    state.set_faults(
        *(Fault("status", status=status, path=f"{FILES}{record['id']}") for status, record in ((404, gone), (401, refused), (503, down))),
        Fault("html", path=f"{FILES}{page['id']}"),
    )
    report = fetch(few, folder)
    assert report.fetched == 1
    assert {name: count for name, count in report.left.items() if count} == {"gone": 1, "refused": 4, "network": 1}
    failed = dict(few.rows("SELECT receipt_id::VARCHAR, failure FROM pleo.receipt_files WHERE path IS NULL"))
    assert (failed[gone["id"]], failed[down["id"]], failed[page["id"]]) == ("gone", "network", "refused")
    assert [file.rpartition("/")[2].partition(".")[0] for file in files_in(folder)] == [fine["id"]]
    state.set_faults()
    state.reset_counters()
    again = fetch(few, folder)
    assert (again.fetched, asked_for(few)) == (1, 1), "the network's faults at once, the others after a week"
    assert {name: count for name, count in again.left.items() if count} == {"gone": 1, "refused": 4}
    with few.warehouse.transaction() as transaction:
        rows = transaction.read(RECEIPT_FILES).to_pandas()
        rows["tried_at"] = datetime.now(UTC) - timedelta(days=8)
        transaction.upsert(RECEIPT_FILES, rows)
    assert (fetch(few, folder).fetched, few.rows("SELECT max(tries) FROM pleo.receipt_files")) == (3, [(2,)])


@pytest.mark.slow
def test_links_that_have_ended_and_files_that_are_too_large_are_told(few: Place, folder: Path, tmp_path: Path) -> None:
    assert dict(fetch(few, folder, largest=10).left) == {"waiting": 0, "too large": 7}
    with sandbox(link_lifetime=0.0) as pleo:
        late = Place(tmp_path, pleo).beside("late")
        cut_down(late)
        assert dict(fetch(late, folder).left) == {"waiting": 0, "expired": 7}
    assert files_in(folder) == {}


def test_a_file_without_its_row_is_adopted(few: Place, folder: Path) -> None:
    """As after a kill between the two, or with a new warehouse."""
    fetch(few, folder)
    held = "SELECT receipt_id, path, content_type, size_in_bytes, sha256 FROM pleo.receipt_files ORDER BY 1"
    before = few.rows(held)
    with few.warehouse.transaction() as transaction:
        transaction.delete(RECEIPT_FILES, receipt_id=str(before[0][0]))
        transaction.delete(RECEIPT_FILES, receipt_id=str(before[1][0]))
    draft, fresh = (folder / before[0][1]).with_name("." + "a" * 32), (folder / before[0][1]).with_name("." + "b" * 32)
    draft.write_bytes(b"half")
    os.utime(draft, (0, 0))
    fresh.write_bytes(b"another run is at it")
    few.pleo.state.reset_counters()
    report = fetch(few, folder)
    assert (report.adopted, report.fetched, report.left.total(), asked_for(few)) == (2, 0, 0, 0)
    assert few.rows(held) == before
    assert (draft.exists(), fresh.exists()) == (False, True)


@pytest.mark.slow
def test_the_file_of_a_deleted_receipt_stays_unless_the_options_say_otherwise(few: Place, folder: Path) -> None:
    fetch(few, folder)
    gone = few.pleo.state.records("receipts")[0]
    few.pleo.state.remove("receipts", gone["id"])
    company = few.pleo.state.records("companies")[0]["id"]

    def full(of_deleted: FilesOfDeleted) -> FilesReport | None:
        options = {"receipts": StreamOptions(files=ReceiptFiles(folder, of_deleted=of_deleted))}
        report = few.run("receipts", options=options, companies=(company,), mode=sync.Mode.FULL, allow_mass_delete=True)
        return report.streams["receipts"].files

    kept = full(FilesOfDeleted.KEEP)
    assert kept is not None and (kept.removed, len(files_in(folder))) == (0, 7)
    removed = full(FilesOfDeleted.REMOVE)
    assert removed is not None and (removed.removed, removed.left.total(), len(files_in(folder))) == (1, 0, 6)
    assert few.rows("SELECT receipt_id::VARCHAR FROM pleo.receipt_files WHERE removed_at IS NOT NULL AND path IS NULL") == [(gone["id"],)]
    once = full(FilesOfDeleted.REMOVE)
    assert once is not None and once.removed == 0


def test_a_folder_with_other_things_in_it_is_left_alone(few: Place, folder: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "letter.txt").write_text("mine")
    before = folder.stat()
    with pytest.raises(ConfigurationError, match="holds other files"):
        run(few, folder)
    assert (list(folder.iterdir()), folder.stat().st_mtime_ns) == ([folder / "letter.txt"], before.st_mtime_ns)
    assert few.requests("/v1/accounting-entries/receipts:search") == 0, "refused before anything is read"


@pytest.mark.slow
def test_a_folder_that_refuses_fails_the_stream_and_its_rows_are_kept(few: Place, folder: Path) -> None:
    first = few.pleo.state.records("receipts")[0]["id"]
    fetch(few, folder, per_run=1)
    for record in few.pleo.state.records("receipts"):
        below = folder / record["id"][:2]
        if not below.exists():
            below.write_bytes(b"a file where a folder should be")
    report = run(few, folder)
    assert isinstance(report.error, ConfigurationError)
    assert str(folder) in str(report.error)
    assert few.rows(f"SELECT count(*) FROM pleo.receipts WHERE id = '{first}'") == [(1,)]
    assert report.files is not None and report.files.left["waiting"] == 6


@pytest.mark.slow
def test_pleo_refusing_links_costs_the_files_and_not_the_rows(few: Place, folder: Path) -> None:
    few.pleo.state.set_faults(Fault("status", status=403, path="/v1/accounting-entries/receipts:search", after=1))
    report = run(few, folder)
    assert (report.error, report.inserted) == (None, 7)
    assert report.files is not None and dict(report.files.left) == {"waiting": 7}
    assert "The files are left for the next run" in report.warnings[0]


@pytest.fixture(params=["postgres", "iceberg"])
def elsewhere(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    url = new_database() if request.param == "postgres" else f"iceberg:///{tmp_path}/lake"
    with sandbox() as pleo:
        yield Place(tmp_path, pleo, url)


@pytest.mark.slow
def test_other_warehouses_hold_the_same_table(elsewhere: Place, folder: Path) -> None:
    cut_down(elsewhere)
    assert fetch(elsewhere, folder, per_run=4).fetched == 4
    assert fetch(elsewhere, folder, per_run=4).fetched == 3
    with elsewhere.warehouse.transaction() as transaction:
        rows = transaction.read(RECEIPT_FILES).to_pylist()
        assert {row["path"] for row in rows} == set(files_in(folder))
        transaction.delete(RECEIPT_FILES, receipt_id=rows[0]["receipt_id"])
    again = fetch(elsewhere, folder)
    assert (again.adopted, again.fetched, again.left.total()) == (1, 0, 0)
