"""A run that is killed while it fetches files leaves whole files or none, and the next runs end with all of them and their rows."""

from __future__ import annotations

import hashlib
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pleo_connector.sandbox.receipt_content import receipt_content
from tests.place import Place, sandbox
from tests.sync.looking import ask
from tests.sync.test_fetching_receipt_files import asked_for, fetch, files_in

KILLS = 4

PROGRAM = """
import sys, httpx
from pathlib import Path
from pleo_connector import ReceiptFiles, StreamOptions, sync
from pleo_connector.warehouses import open_warehouse
options = {"receipts": StreamOptions(files=ReceiptFiles(Path(sys.argv[3])))}
sync.run(
    sync.SyncPlan(("receipts",), companies=(sys.argv[4],), options=options),
    sync.Connection(sys.argv[1], httpx.BasicAuth("sandbox-api-key", ""), requests_per_minute=1_000_000),
    open_warehouse(sys.argv[2], "pleo"),
)
"""


def whole(folder: Path) -> int:
    return sum(not file.name.startswith(".") for file in folder.glob("*/*"))


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_no_kill_leaves_half_a_file_or_a_row_without_one(tmp_path: Path) -> None:
    chance = random.Random(34)
    folder, url = tmp_path / "kept", f"duckdb:///{tmp_path / 'w.duckdb'}"
    with sandbox(latency_ms=20) as pleo:
        place = Place(tmp_path, pleo, url)
        owners = [str(pleo.state.store.owner("receipts", record)) for record in pleo.state.records("receipts")]
        company = min(owners, key=owners.count)
        records = {record["id"]: record for record in pleo.state.records("receipts")}
        between = 0
        for _ in range(KILLS):
            before = whole(folder)
            with subprocess.Popen([sys.executable, "-c", PROGRAM, pleo.url, url, str(folder), company]) as process:
                more = chance.randrange(1, 30)
                while whole(folder) < before + more and process.poll() is None:
                    time.sleep(0.005)
                process.send_signal(signal.SIGKILL)
            files = files_in(folder)
            rows = dict(ask(url, "SELECT path, sha256 FROM pleo.receipt_files WHERE path IS NOT NULL"))
            for name, content in files.items():
                key = name.rpartition("/")[2].partition(".")[0]
                assert not key or content == receipt_content(records[key])[0], "a draft, which begins with a dot, or whole"
            assert {name: hashlib.sha256(files[name]).hexdigest() for name in rows} == rows
            between += whole(folder) - len(rows)
        assert between > 0, "at least one kill fell between a file and its row"
        already = whole(folder)
        pleo.state.reset_counters()
        last = fetch(place, folder, company=company)
        assert (last.left.total(), asked_for(place)) == (0, last.fetched)
        ((receipts,),) = ask(url, "SELECT count(*) FROM pleo.receipts")
        assert (last.fetched, whole(folder)) == (receipts - already, receipts)
        assert ask(url, "SELECT count(*) FROM pleo.receipt_files WHERE path IS NOT NULL") == [(receipts,)]
