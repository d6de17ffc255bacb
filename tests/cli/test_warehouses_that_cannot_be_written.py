"""`sync` and `doctor` say in one sentence why a warehouse takes nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pleo_connector.catalogue import CATALOGUE
from pleo_connector.sandbox import API_KEY
from pleo_connector.warehouses import open_warehouse
from tests.cli.local import Local, environment, local
from tests.disks import unprivileged


@pytest.fixture
def pleo(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Local]:
    with local(tmp_path, capsys) as found:
        found.environ["PLEO_API_KEY"] = API_KEY
        yield found


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("md:spend", "there is no token for MotherDuck; set the variable motherduck_token to one."),
        ("md:", "names no database of MotherDuck; write md:name."),
        ("s3://bucket/lake", "names an object store (s3://)"),
        ("iceberg:///s3://bucket/lake", "names an object store (s3://)"),
        ("duckdb:///gs://bucket/spend.duckdb", "names an object store (gs://)"),
    ],
)
def test_what_can_be_no_warehouse_is_a_fault_of_the_settings(pleo: Local, monkeypatch: pytest.MonkeyPatch, url: str, sentence: str) -> None:
    monkeypatch.delenv("motherduck_token", raising=False)
    monkeypatch.delenv("MOTHERDUCK_TOKEN", raising=False)
    ended = pleo.run("sync", "companies", PLEO_WAREHOUSE=url)
    (error,) = ended.errors
    assert ended.code == 2 and sentence in error
    ended = pleo.run("doctor", PLEO_WAREHOUSE=url)
    assert ended.code == 1 and sentence in " ".join(ended.out.split())


def test_a_missing_extension_of_duckdb_is_named(pleo: Local, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("motherduck_token", "any")
    monkeypatch.setenv("HOME", str(tmp_path))  # where DuckDB keeps its extensions
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")  # DuckDB downloads nothing in a test
    ended = pleo.run("sync", "companies", PLEO_WAREHOUSE="md:spend")
    (error,) = ended.errors
    assert ended.code == 1 and "md:spend needs DuckDB's extension motherduck, which could not be installed: run INSTALL motherduck" in error


@pytest.mark.parametrize("closed", ["catalog.db", "pleo/companies", "pleo/companies/metadata", "."])
def test_an_iceberg_folder_that_is_read_only_is_named_by_sync_and_doctor(pleo: Local, tmp_path: Path, closed: str) -> None:
    lake = tmp_path / "lake"
    with open_warehouse(f"iceberg:///{lake}", "pleo").transaction() as work:
        work.ensure(CATALOGUE.stream("companies").tables())
    environ = environment(pleo.environ | {"PLEO_WAREHOUSE": f"iceberg:///{lake}"})
    path = lake / closed
    (lake / "catalog.db.lock").unlink(missing_ok=True)
    path.chmod(0o400 if path.is_file() else 0o500)
    try:
        for command in ("sync companies", "doctor"):
            program = [*unprivileged(), sys.executable, "-m", "pleo_connector", *command.split()]
            ended = subprocess.run(program, env=environ | {"COLUMNS": "1000"}, cwd=tmp_path, capture_output=True, text=True, check=False)
            assert ended.returncode == 1, ended.stderr
            said = ended.stdout + ended.stderr
            assert (
                f"The warehouse {lake}" in said and "cannot be written" in said and "give this user write access" in " ".join(said.split())
            )
            assert "Traceback" not in said and "This is a bug" not in said
    finally:
        path.chmod(0o700)
