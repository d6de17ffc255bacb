"""What the asset `receipts` tells about the files that were fetched for it."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from pleo_connector import ReceiptFiles, StreamOptions
from pleo_connector.cli.sync import fetched
from pleo_connector.orchestration.metadata import stream_metadata
from pleo_connector.sandbox import Fault, SandboxConfig, running
from pleo_connector.sync import FilesReport, StreamReport
from tests.orchestration.place import Place, checks, failure, materialized

REPORT = FilesReport(fetched=1_200, adopted=3, removed=1, bytes=2_500_000, left=Counter({"waiting": 0, "too large": 2, "gone": 1}))


def test_files_are_numbers_and_those_left_have_their_reason() -> None:
    metadata = stream_metadata(StreamReport("receipts", files=REPORT), 500)
    assert {name: value for name, value in metadata.items() if "files" in name} == {
        "files_fetched": 1_200,
        "files_found": 3,
        "files_removed": 1,
        "files_left": 3,
        "bytes_of_files": 2_500_000,
        "files_left_gone": 1,
        "files_left_too_large": 2,
    }
    assert not [name for name in stream_metadata(StreamReport("vendors"), 500) if "files" in name]


def test_the_command_tells_them_in_a_sentence() -> None:
    assert fetched(REPORT) == (
        "Receipt files: 1,200 fetched (2.5 MB), 3 found in the folder, 1 of deleted receipts removed; 3 left (1 gone, 2 too large)."
    )
    assert fetched(FilesReport()) == "Receipt files: 0 fetched (0.0 kB); 0 left."


@pytest.mark.slow
def test_a_run_in_dagster_fetches_files_and_a_foreign_folder_fails_it(tmp_path: Path) -> None:
    folder = tmp_path / "files"
    options = {"receipts": StreamOptions(files=ReceiptFiles(folder, per_run=5))}
    with running(SandboxConfig(port=0, requests_per_minute=0)) as pleo:
        place = Place(tmp_path, pleo.url)
        pleo.state.set_faults(Fault("status", status=404, path="/files/receipts/", times=1))
        result = place.run(["receipts"], options=options)
        assert result.success
        metadata = materialized(result)["receipts"]
        receipts = len(pleo.state.records("receipts"))
        assert (metadata["files_fetched"], metadata["files_left"], metadata["files_left_gone"]) == (4, receipts - 4, 1)
        assert len([file for file in folder.glob("*/*") if file.is_file()]) == 4
        assert checks(result), "the table's checks come with it"
        (folder / "letter.txt").write_text("mine")
        (folder / ".pleo-receipts").unlink()
        refused = place.run(["receipts"], options=options)
        assert not refused.success
        assert "holds other files" in str(failure(refused).error)
