"""Each stream goes by its own options, and by nobody else's."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import dagster as dg
import pytest
from typer.testing import CliRunner

from pleo_connector import build_pleo_definitions
from pleo_connector.cli.app import app
from pleo_connector.errors import ConfigurationError, DriftError
from pleo_connector.settings import load
from pleo_connector.stream_options import DriftPolicy, StreamOptions, SweepPolicy
from tests.place import NOW, Place


def test_one_stream_freezes_and_the_others_evolve(place: Place) -> None:
    for name in ("vendors", "tax_codes"):
        place.pleo.state.put(name, place.pleo.state.records(name)[0] | {"brandNew": 1})
    report = place.run("vendors", "tax_codes", options={"vendors": StreamOptions(drift=DriftPolicy.FREEZE)})
    assert isinstance(report.failures["vendors"], DriftError)
    assert report.streams["tax_codes"].error is None
    assert report.streams["tax_codes"].inserted == len(place.pleo.state.records("tax_codes"))


def test_a_stream_sets_aside_changed_types_only_if_it_is_told_to(place: Place) -> None:
    for name in ("vendors", "tax_codes"):
        place.pleo.state.put(name, place.pleo.state.records(name)[0] | {"name": 7})
    report = place.run("vendors", "tax_codes", options={"vendors": StreamOptions(drift=DriftPolicy.QUARANTINE)})
    assert report.streams["vendors"].quarantined == 1
    assert report.streams["tax_codes"].quarantined == 0


def test_a_stream_reads_its_months_as_often_as_it_is_told(synced: Place) -> None:
    wide = {"accounting_entries": StreamOptions(SweepPolicy(hot_days=365, warm_days=365))}
    company = synced.pleo.state.records("companies")[0]["id"]

    def sweeps(**options: StreamOptions) -> int:
        report = synced.run("accounting_entries", now=NOW + timedelta(minutes=5), companies=(company,), options=options)
        return report.streams["accounting_entries"].sweeps

    plain, more, other = sweeps(), sweeps(**wide), sweeps(vendors=wide["accounting_entries"])
    assert plain == other < more


def test_a_stream_that_is_not_there_stops_the_run_before_it_begins(place: Place) -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'vendors'"):
        place.run("vendors", options={"vendor": StreamOptions()})
    assert place.pleo.counters()["by_path"] == {}


def test_the_command_reads_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLEO_CONFIG", str(tmp_path / "mine.toml"))
    (tmp_path / "mine.toml").write_text("[streams.vendor]\n", encoding="utf-8")
    result = CliRunner().invoke(app, ["sync", "vendors"])
    assert isinstance(result.exception, ConfigurationError)
    assert "mine.toml: [streams] there is no stream 'vendor'" in str(result.exception)


def test_dagster_takes_options_from_the_file_or_as_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pleo.toml").write_text("[streams.vendor]\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match="did you mean 'vendors'"):
        build_pleo_definitions(load({}, env_file=None))
    with pytest.raises(ConfigurationError, match="did you mean 'tags'"):
        build_pleo_definitions(load({}, env_file=None), options={"tagss": StreamOptions()})
    assert isinstance(build_pleo_definitions(load({}, env_file=None), options={}), dg.Definitions)
