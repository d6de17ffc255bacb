"""Options for streams: a TOML file, checked whole, and what the engine makes of it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from pleo_connector.catalogue import CATALOGUE
from pleo_connector.catalogue.options import check_options, options_of
from pleo_connector.column_rules import ColumnRule
from pleo_connector.errors import ConfigurationError
from pleo_connector.file_options import FilesOfDeleted, ReceiptFiles
from pleo_connector.stream_options import DriftPolicy, StreamOptions, SweepPolicy

EXAMPLE = Path(__file__).parents[1] / "docs" / "options.md"


def options(tmp_path: Path, text: str) -> dict[str, StreamOptions]:
    file = tmp_path / "pleo.toml"
    file.write_text(text, encoding="utf-8")
    return options_of(str(file))


def test_a_stream_wins_over_the_defaults_which_hold_for_all_streams(tmp_path: Path) -> None:
    found = options(
        tmp_path,
        """
        [defaults]
        drift = "quarantine"
        cold_every = "60d"

        [streams.accounting_entries]
        hot_days = 60
        warm_every = "12h"
        drift = "freeze"
        history = true

        [streams.accounting_entries.columns]
        note = "hash"
        accounting_entry_attendees.attendable_id = "drop"
        """,
    )
    assert set(found) == {stream.name for stream in CATALOGUE}
    assert found["vendors"] == StreamOptions(SweepPolicy(cold_every=timedelta(days=60)), DriftPolicy.QUARANTINE)
    assert found["accounting_entries"] == StreamOptions(
        SweepPolicy(hot_days=60, warm_every=timedelta(hours=12), cold_every=timedelta(days=60)),
        DriftPolicy.FREEZE,
        history=True,
        columns={"note": ColumnRule.HASH, "accounting_entry_attendees.attendable_id": ColumnRule.DROP},
    )


def test_without_defaults_only_the_streams_that_are_named_are_there(tmp_path: Path) -> None:
    assert options(tmp_path, "[streams.vendors]\nhistory = true") == {"vendors": StreamOptions(history=True)}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[default]\n", "there is no table 'default'; did you mean 'defaults'?"),
        ("[streams.vendor]\n", "[streams] there is no stream 'vendor'; did you mean 'vendors'?"),
        ("[streams.vendors]\nhot_day = 3", "[streams.vendors] there is no option 'hot_day'; did you mean 'hot_days'?"),
        ("[defaults]\nhot_days = '3'", "[defaults] hot_days must be a whole number of days, up to 36500, not '3'."),
        ("[defaults]\nhot_days = true", "[defaults] hot_days must be a whole number"),
        ("[defaults]\nhot_days = 120", "[defaults] hot_days (120) must not be above warm_days (100)"),
        ("[defaults]\nwarm_every = 'daily'", '[defaults] warm_every must be a time such as "30m", "12h" or "7d", not \'daily\'.'),
        ("[defaults]\nwarm_every = '0d'", "[defaults] warm_every, cool_every and cold_every must be more than nothing."),
        ("[streams.vendors]\nopen_days = -1", "[streams.vendors] hot_days and open_days cannot be negative."),
        ("[streams.vendors]\ndrift = 'frezee'", "[streams.vendors] drift cannot be 'frezee'; did you mean 'freeze'?"),
        ("[streams.vendors]\nhistory = 'yes'", "[streams.vendors] history must be true or false, not 'yes'."),
        ("[streams]\nvendors = 3", "[streams.vendors] must be a table, not 3."),
        ("[defaults.columns]\nid = 'drop'", "[defaults] columns belong to one stream"),
        ("[streams.vendors.columns]\nnmae = 'drop'", "[streams.vendors.columns] there is no column 'nmae'; did you mean 'name'?"),
        ("[streams.vendors.columns]\nname = 'hashed'", "[streams.vendors.columns] name cannot be 'hashed'; did you mean 'hash'?"),
        ("[streams.vendors.columns]\nid = 'drop'", "[streams.vendors.columns] id must be kept, because the sync itself uses it."),
        ("[streams.accounting_entries.columns]\nperformed_at = 'hash'", "performed_at must be kept"),
        ("nonsense", "is not TOML"),
    ],
)
def test_what_is_wrong_is_named_with_file_table_and_key(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        options(tmp_path, text)
    assert told in str(caught.value)
    assert str(tmp_path / "pleo.toml") in str(caught.value)


def test_a_file_that_is_named_must_be_there_and_the_default_one_need_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert options_of("") == {}
    with pytest.raises(ConfigurationError, match=r"elsewhere\.toml cannot be read: No such file"):
        options_of("elsewhere.toml")
    (tmp_path / "pleo.toml").write_text("[streams.vendors]\nhistory = true\n", encoding="utf-8")
    assert set(options_of("")) == {"vendors"}


def test_options_made_in_python_are_checked_against_the_catalogue_too() -> None:
    with pytest.raises(ConfigurationError, match="did you mean 'vendors'"):
        check_options({"vendor": StreamOptions()}, CATALOGUE)
    with pytest.raises(ConfigurationError, match="did you mean 'name'"):
        check_options({"vendors": StreamOptions(columns={"nmae": ColumnRule.DROP})}, CATALOGUE)


def test_the_example_of_the_documentation_is_taken(tmp_path: Path) -> None:
    example = EXAMPLE.read_text(encoding="utf-8").split("```toml\n")[1].split("```")[0]
    found = options(tmp_path, example)
    assert found["accounting_entries"].drift is DriftPolicy.QUARANTINE
    assert found["accounting_entries"].columns["note"] is ColumnRule.HASH


def test_files_of_receipts_are_chosen_where_receipts_are(tmp_path: Path) -> None:
    text = '[streams.receipts]\nfiles = "kept"\nfiles_per_run = 5\nfiles_largest_mb = 2\nfiles_of_deleted = "remove"'
    assert options(tmp_path, text) == {"receipts": StreamOptions(files=ReceiptFiles(Path("kept"), 5, 2_000_000, FilesOfDeleted.REMOVE))}
    assert options(tmp_path, '[streams.receipts]\nfiles = "kept"')["receipts"].files == ReceiptFiles(Path("kept"))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[streams.vendors]\nfiles = "kept"', "[streams.vendors] files is an option of receipts alone: write it in [streams.receipts]"),
        ('[defaults]\nfiles = "kept"', "[defaults] files is an option of receipts alone"),
        ("[streams.receipts]\nfiles = true", 'files must be a folder such as "receipts", not True'),
        ("[streams.receipts]\nfiles_per_run = 5", "name their folder (files) too"),
        ('[streams.receipts]\nfiles = "a"\nfiles_per_run = 0', "files_per_run must be a whole number from 1 to 1,000,000, not 0"),
        ('[streams.receipts]\nfiles = "a"\nfiles_of_deleted = "burn"', "files_of_deleted cannot be 'burn'; known: keep, remove"),
        ('[streams.receipts]\nfile = "a"', "did you mean 'files'?"),
        (
            '[streams.receipts]\nfiles = "a"\n[streams.receipts.columns]\naccounting_entry_id = "drop"',
            "accounting_entry_id must be kept, because the sync itself uses it",
        ),
    ],
)
def test_a_wrong_choice_about_files_is_told(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        options(tmp_path, text)
    assert told in str(caught.value)
    with pytest.raises(ConfigurationError, match="files can be fetched for receipts alone"):
        check_options({"vendors": StreamOptions(files=ReceiptFiles(Path("kept")))}, CATALOGUE)
