"""Tables made again from raw pages are the tables that the syncs made: column for column, in every history of Pleo."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest

from pleo_connector.catalogue import CATALOGUE, Storage
from pleo_connector.errors import ConfigurationError
from pleo_connector.stream_options import StreamOptions
from pleo_connector.sync import Mode, RawPolicy, loader, raw_reading, writing
from pleo_connector.sync.raw_policy import OFF
from pleo_connector.sync.raw_tables import RAW_TABLES
from pleo_connector.sync.replay import replay
from pleo_connector.sync.state_tables import STATE_TABLES
from pleo_connector.warehouses import Warehouse, open_warehouse
from tests.place import NOW, Place, sandbox
from tests.postgres_server import new_database
from tests.sync.looking import RUN_TIME, assert_same, tables_of


def edit(place: Place, stream: str, which: int, **values: Any) -> None:
    """Change a record at Pleo."""
    place.pleo.state.put(stream, place.pleo.state.records(stream)[which] | values)


class Days:
    """What happens at Pleo between the syncs: edits, deletions and their undoing, broken records and their mending."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._employee = place.pleo.state.records("employees")[0]
        self._vendor = place.pleo.state.records("vendors")[0]
        self._entry = place.pleo.state.records("accounting_entries")[-1]

    def pass_to(self, day: int) -> None:
        pleo = self._place.pleo.state
        match day:
            case 1:
                edit(self._place, "accounting_entries", -1, note="edited")
                pleo.remove("employees", self._employee["id"])
                pleo.put("vendors", self._vendor | {"createdAt": "never"})
            case 2:
                pleo.put("employees", self._employee | {"lastName": "Back"})
                pleo.put("vendors", self._vendor)
                edit(self._place, "tags", 0, surprise={"a": 1})
                pleo.remove("accounting_entries", self._entry["id"])
            case 3:
                edit(self._place, "receipts", 0, sizeInBytes="much")


DAYS = 4


def sync_for_days(place: Place, **options: Any) -> None:
    """Four days, of which every other one reads everything."""
    days = Days(place)
    for day in range(DAYS):
        days.pass_to(day)
        report = place.run(now=NOW + timedelta(days=day), mode=Mode.FULL if day % 2 else Mode.INCREMENTAL, **options)
        assert report.failures == {}


@pytest.fixture(scope="module")
def after_days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A warehouse after four days; the Pleo that it was read from is gone."""
    with sandbox() as pleo:
        place = Place(tmp_path_factory.mktemp("days"), pleo)
        sync_for_days(place, options={"employees": StreamOptions(history=True)})
    return place.file


def opened(file: Path) -> Warehouse:
    """The warehouse in a file."""
    return open_warehouse(f"duckdb:///{file}", "pleo")


def copied(after_days: Path, folder: Path) -> Path:
    """A file of its own with the same tables."""
    return Path(shutil.copy(after_days, folder / "w.duckdb"))


def test_loads_made_in_pieces_are_replayed_at_once_and_in_pieces(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    pieces: list[int] = []
    streams = ("employees", "vendors", "accounting_entries")

    def counted(loads: Sequence[writing.Load], at: datetime) -> writing.Load:
        pieces.append(len(loads))
        return writing.joined(loads, at)

    monkeypatch.setattr(loader, "PIECE", 5)
    monkeypatch.setattr(loader, "joined", counted)
    monkeypatch.setattr("pleo_connector.sync.replay.joined", counted)
    at_once, in_pieces = place.beside("at-once"), place.beside("in-pieces")
    company = place.pleo.state.records("companies")[0]["id"]
    report = place.run(*streams, companies=(company,), start=NOW - timedelta(days=150))
    assert report.failures == {} and max(pieces) > 2
    pieces.clear()
    replay(place.warehouse, at_once.warehouse, streams, raw=RawPolicy())
    assert max(pieces) == 1
    monkeypatch.setattr(raw_reading, "PAGES", 1)
    replay(place.warehouse, in_pieces.warehouse, streams, raw=RawPolicy())
    assert max(pieces) > 2
    assert_same(place.file, at_once.file)
    assert_same(place.file, in_pieces.file)


CUT = """
import sys
def cut(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.bind"):
        raise SystemExit(f"the network was used: {event} {arguments}")
sys.addaudithook(cut)
from pleo_connector.__main__ import main
sys.argv = ["pleo-connector", *sys.argv[1:]]
raise SystemExit(main())
"""


@pytest.mark.slow
def test_an_empty_warehouse_gets_the_same_tables_with_the_network_cut(after_days: Path, tmp_path: Path) -> None:
    (tmp_path / "pleo.toml").write_text("[streams.employees]\nhistory = true\n")
    settings = {
        "PLEO_WAREHOUSE": f"duckdb:///{after_days}",
        "PLEO_ENVIRONMENT": "production",
        "PLEO_MARTS": "off",  # the views and their table of categories are no tables of Pleo
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
    }
    command = [sys.executable, "-c", CUT, "replay", "--into", f"duckdb:///{tmp_path / 'again.duckdb'}", "--json"]
    ended = subprocess.run(command, env=settings, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["missing"] == {}
    assert_same(after_days, tmp_path / "again.duckdb")
    found = tables_of(after_days)
    assert [row for row in found["accounting_entries"] if "sweep_absent" in row], "the four days hold a deletion"
    assert [row for row in found["employees"] if "Back" in row], "and one that was undone"
    assert [row[1] for row in found["_quarantine"]] == ["receipts"]


@pytest.mark.slow
def test_in_place_every_table_stays_as_it_is(after_days: Path, tmp_path: Path) -> None:
    file = copied(after_days, tmp_path)
    report = replay(opened(file), raw=RawPolicy())
    assert report.pages > 0
    assert_same(after_days, file)


@pytest.mark.slow
def test_in_place_what_somebody_broke_is_mended(after_days: Path, tmp_path: Path) -> None:
    file = copied(after_days, tmp_path)
    with duckdb.connect(str(file)) as analyst:
        analyst.execute("UPDATE pleo.employees SET last_name = 'Broken', _row_hash = 'x'")
        analyst.execute("UPDATE pleo.accounting_entries SET note = NULL, _row_hash = 'x'")
        analyst.execute("DELETE FROM pleo.accounting_entry_splits")
    replay(opened(file), streams=["employees", "accounting_entries"], raw=RawPolicy())
    assert_same(after_days, file)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["postgres", "iceberg"])
def test_another_warehouse_gets_the_rows_that_duckdb_has_and_gives_them_back(after_days: Path, tmp_path: Path, kind: str) -> None:
    other = open_warehouse(new_database() if kind == "postgres" else f"iceberg:///{tmp_path}/lake", "pleo")
    replay(opened(after_days), other, raw=RawPolicy())
    assert rows_of(other) == rows_of(opened(after_days))
    replay(other, opened(tmp_path / "again.duckdb"), raw=RawPolicy())
    assert rows_of(opened(tmp_path / "again.duckdb")) == rows_of(opened(after_days))


@pytest.mark.slow
def test_days_of_syncs_into_iceberg_are_replayed_too(tmp_path: Path) -> None:
    with sandbox() as pleo:
        place = Place(tmp_path, pleo, f"iceberg:///{tmp_path}/lake")
        sync_for_days(place)
    expected = rows_of(place.warehouse)
    assert any("sweep_absent" in row for row in expected["accounting_entries"]), "the four days hold a deletion"
    replay(place.warehouse, raw=RawPolicy())
    assert rows_of(place.warehouse) == expected
    replay(place.warehouse, opened(tmp_path / "w.duckdb"), raw=RawPolicy())
    assert rows_of(opened(tmp_path / "w.duckdb")) == expected


def rows_of(warehouse: Warehouse) -> dict[str, list[str]]:
    """All rows, without what differs between runs, and without JSON: PostgreSQL writes that in its own way."""
    found = {}
    with warehouse.transaction() as work:
        for table in (*CATALOGUE.tables(), *STATE_TABLES, *RAW_TABLES):
            columns = [
                field.name for field in table.fields if field.name not in RUN_TIME.get(table.name, ()) and field.storage != Storage.JSON
            ]
            found[table.name] = sorted(map(str, work.read(table, columns).to_pylist()))
    return found


@pytest.mark.slow
def test_a_warehouse_with_rows_is_not_replayed_into(after_days: Path, tmp_path: Path) -> None:
    file = copied(after_days, tmp_path)
    with pytest.raises(ConfigurationError, match="has rows of companies already; name an empty one"):
        replay(opened(after_days), opened(file), raw=RawPolicy())


def test_the_sync_after_a_replay_goes_on_where_the_last_one_ended(synced: Place) -> None:
    moved = synced.beside("moved")
    replay(synced.warehouse, moved.warehouse, ["employees", "accounting_entries"], raw=RawPolicy())
    reports = [each.run("employees", "accounting_entries", now=NOW + timedelta(hours=1)) for each in (synced, moved)]
    assert [report.written for report in reports] == [0, 0]
    assert reports[0].requests == reports[1].requests
    assert reports[1].raw.new == 0, "the pages came with the rows"


def test_pages_that_were_not_kept_are_missed(place: Place) -> None:
    place.run("employees", raw=RawPolicy(OFF))
    empty = place.beside("again").warehouse
    with pytest.raises(ConfigurationError, match=r"employees \(\d+ sweeps\)"):
        replay(place.warehouse, empty, ["employees"], raw=RawPolicy())
    assert replay(place.warehouse, empty, ["employees"], raw=RawPolicy(), partial=True).missing.keys() == {"employees"}
    before = tables_of(place.file)["employees"]
    replay(place.warehouse, streams=["employees"], raw=RawPolicy())
    assert tables_of(place.file)["employees"] == before, "rows without pages stay"
    place.run("employees")
    edit(place, "employees", 0, lastName="Newer")
    place.run("employees", raw=RawPolicy(OFF))
    with pytest.raises(ConfigurationError, match="--mode full"):
        replay(place.warehouse, streams=["employees"], raw=RawPolicy(), partial=True)
    place.run("employees")
    replay(place.warehouse, streams=["employees"], raw=RawPolicy())
    assert place.rows("SELECT count(*) FROM pleo.employees WHERE last_name = 'Newer'") == [(1,)]
