"""`pleo-connector plan`: what is due and why, in lines or JSON, before anything is fetched."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.local import local


def test_a_plan_before_and_after_the_first_sync(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with local(tmp_path, capsys) as pleo:
        empty = pleo.run("plan")  # nobody is connected, and that does not matter
        assert empty.code == 0, empty.err
        assert "run `pleo-connector sync companies` first" in empty.err
        pleo.connect()
        assert pleo.run("sync", "companies", "vendors", "accounting_entries").code == 0
        pleo.sandbox.state.reset_counters()
        shown = pleo.run("plan", "vendors", "accounting_entries")
        company = pleo.sandbox.state.records("companies")[0]["name"]
        assert shown.code == 0, shown.err
        assert shown.out.split()[:9] == ["stream", "company", "months", "tier", "why", "last", "read", "walks", "rows"]
        assert any(line.startswith("vendors") and "every run" in line for line in shown.out.splitlines())
        assert any(company in line and " on " in line and "hot" in line for line in shown.out.splitlines())
        assert "less than a minute, at 100,000 requests a minute" in shown.out
        full = json.loads(pleo.run("plan", "accounting_entries", "--mode", "full", "--company", company, "--json").out)
        assert {walk["why"] for walk in full["walks"]} == {"every run", "full"}
        assert full["requests"] == sum(walk["requests"] for walk in full["walks"])
        part = json.loads(pleo.run("plan", "accounting_entries", "--from", "2026-03-01", "--to", "2026-03-11", "--json").out)
        assert {walk["from"] for walk in part["walks"] if walk["why"] == "asked for"} == {"2026-03-01T00:00:00+00:00"}
        assert pleo.run("plan", "vendor").code == 2
        assert pleo.sandbox.counters()["by_path"] == {}
