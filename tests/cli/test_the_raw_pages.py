"""`pleo-connector raw` and `replay` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.local import local


def test_size_purge_and_what_a_replay_says_then(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with local(tmp_path, capsys) as pleo:
        pleo.connect()
        assert "Raw pages: " in pleo.run("sync", "employees", "vendors").out
        told = json.loads(pleo.run("raw", "--json").out)
        assert {one["stream"] for one in told["streams"]} == {"employees", "vendors"}
        assert all(0 < one["stored"] < one["served"] for one in told["streams"])
        assert "Pleo was not asked" in pleo.run("replay", "employees").out
        purged = pleo.run("raw", "purge", "employees")
        assert "let go." in purged.out
        assert "employees" not in purged.out.split("let go")[0]
        assert pleo.run("raw", "prune").code == 0
        failed = pleo.run("replay", "employees", "--into", f"duckdb:///{pleo.warehouse.with_name('again.duckdb')}")
        assert failed.code == 2
        assert "Raw pages are missing for rows of the tables: employees (" in failed.errors[0]
