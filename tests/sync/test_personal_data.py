"""What is hashed or dropped is nowhere: not in a table, a raw page, quarantine, `_extra`, a message, or the file's own bytes."""

from __future__ import annotations

import hashlib
import hmac
import logging
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pytest
from pydantic import SecretStr

from pleo_connector.catalogue import CATALOGUE, Stream
from pleo_connector.catalogue.options import named_columns
from pleo_connector.catalogue.rules import under_rules
from pleo_connector.column_rules import ColumnRule
from pleo_connector.errors import ConfigurationError
from pleo_connector.stream_options import StreamOptions
from pleo_connector.sync import RawPolicy
from pleo_connector.sync.raw_packing import unpacked
from pleo_connector.sync.replay import replay
from tests.place import Place, sandbox
from tests.postgres_server import new_database

KEY = "a key of at least thirty-two bytes, for tests"
CANARY = "Zanzibar-Canary"
"""Part of every personal value that the tests give Pleo."""


def personal(stream: Stream) -> list[str]:
    """The tagged columns, as rules name them."""
    return [name for name, column in named_columns(stream) if column.personal]


def everywhere(rule: ColumnRule) -> dict[str, StreamOptions]:
    """The rule for every tagged column of every stream."""
    return {stream.name: StreamOptions(columns=dict.fromkeys(personal(stream), rule)) for stream in CATALOGUE if personal(stream)}


def plant(place: Place) -> None:
    """Canaries in every tagged field that the sample has, and in what a broken or newer Pleo might make of them."""
    state = place.pleo.state
    for stream, fields in {
        "employees": ("code", "email", "firstName", "lastName", "jobTitle", "phone"),
        "accounting_entries": ("note",),
    }.items():
        for number, record in enumerate(state.records(stream)):
            state.put(stream, record | {field: f"{CANARY} {field} {number % 3}" for field in fields})
    for record in state.records("accounting_entries"):
        if record.get("attendees"):
            attendees = [attendee | {"attendableId": f"{CANARY}-{attendee['attendableId']}"} for attendee in record["attendees"]]
            state.put("accounting_entries", record | {"attendees": attendees})
    first, second, third, *_ = state.records("employees")
    state.put("employees", first | {"code": {"work": CANARY}})
    state.put("accounting_entries", state.records("accounting_entries")[-1] | {"createdAt": "never"})
    state.put("employees", second | {"phone": [CANARY, 1]})
    state.put("employees", third | {"jobTitle": 17})
    state.put("subscriptions", state.records("subscriptions")[0] | {"deletedBy": CANARY})
    vendor, other = state.records("vendors")[:2]
    state.put("vendors", vendor | {"name": "Kept as it is"})
    undeclared = {"email": f"{CANARY}@x.example", "First_Name": CANARY, "phones": [{"phone": CANARY}], "deep": {"er": [{"note": CANARY}]}}
    state.put("vendors", other | {"contact": undeclared})
    state.put("accounting_entries", state.records("accounting_entries")[-2] | {"approver": undeclared, "createdAt": "never"})
    state.put("accounting_entries", state.records("accounting_entries")[-3] | {"approver": undeclared, "email": CANARY})
    for number, record in enumerate(state.records("accounting_entries")):
        if "employee" in record:
            inline = {field: f"{CANARY} {field} {number % 3}" for field in ("email", "firstName", "lastName", "jobTitle")}
            state.put("accounting_entries", record | {"employee": record["employee"] | inline})


def kept(place: Place) -> bytes:
    """All that the file holds: text of all tables, raw pages unpacked, and its own bytes."""
    tables = [name for (name,) in place.rows("SELECT table_name FROM duckdb_tables() WHERE schema_name = 'pleo'")]
    texts = [str(place.rows(f"SELECT t::VARCHAR FROM pleo.{name} t")) for name in tables]
    pages = [unpacked(page, size) for page, size in place.rows("SELECT page, size FROM pleo._raw_pages")]
    return "".join(texts).encode() + b"".join(pages) + place.file.read_bytes()


def hashed(value: str) -> str:
    """What anybody with the key computes."""
    return "hmac:" + hmac.new(KEY.encode(), value.encode(), hashlib.sha256).hexdigest()


@pytest.mark.slow
@pytest.mark.parametrize("rule", [ColumnRule.HASH, ColumnRule.DROP])
def test_nothing_of_it_is_kept_anywhere(place: Place, rule: ColumnRule, caplog: pytest.LogCaptureFixture) -> None:
    plant(place)
    caplog.set_level(logging.DEBUG)
    report = place.run(options=everywhere(rule), hash_key=SecretStr(KEY))
    assert report.failures == {}
    assert report.streams["accounting_entries"].quarantined == 2
    found = kept(place)
    assert CANARY.encode() not in found
    assert b"Kept as it is" in found
    for result in (caplog.text, str(report.as_dict()), repr(report)):
        assert CANARY not in result
        assert KEY not in result
    assert KEY.encode() not in found
    rows = place.rows("SELECT DISTINCT email FROM pleo.employees ORDER BY 1")
    notes = place.rows("SELECT DISTINCT note FROM pleo.accounting_entries ORDER BY 1")
    if rule is ColumnRule.DROP:
        assert rows == notes == [(None,)]
        assert place.rows("SELECT count(*) > 0 FROM pleo.accounting_entry_attendees") == [(True,)]
        assert not report.streams["employees"].drift.missing_required
    else:
        assert rows == sorted((hashed(f"{CANARY} email {number}"),) for number in range(3))
        assert notes == sorted((hashed(f"{CANARY} note {number}"),) for number in range(3))
        assert place.rows("SELECT _extra FROM pleo.employees WHERE _extra IS NOT NULL") == []
    assert place.run(options=everywhere(rule), hash_key=SecretStr(KEY)).written == 0
    again = place.beside("again")
    replay(place.warehouse, again.warehouse, raw=RawPolicy(), options=everywhere(rule), hash_key=KEY)
    for table in ("employees", "accounting_entries", "accounting_entry_attendees", "_quarantine"):
        assert again.rows(f"SELECT * FROM pleo.{table} ORDER BY ALL") == place.rows(f"SELECT * FROM pleo.{table} ORDER BY ALL")


def test_nothing_of_it_is_kept_in_postgres(tmp_path: Path) -> None:
    url = new_database()
    with sandbox() as pleo:
        place = Place(tmp_path, pleo, url)
        plant(place)
        company = pleo.state.records("accounting_entries")[-1]["companyId"]  # of those that are set aside
        rule = everywhere(ColumnRule.HASH)
        place.run("employees", "accounting_entries", "vendors", companies=(company,), options=rule, hash_key=SecretStr(KEY))
    with psycopg.connect(url) as analyst:
        names = analyst.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'pleo'").fetchall()
        texts = [str(analyst.execute(f'SELECT t::text FROM pleo."{name}" t').fetchall()) for (name,) in names]
        pages: list[Any] = analyst.execute("SELECT page, size FROM pleo._raw_pages").fetchall()
    found = "".join(texts).encode() + b"".join(unpacked(page, size) for page, size in pages)
    assert CANARY.encode() not in found
    assert hashed(f"{CANARY} email 0").encode() in found


def test_the_address_of_an_employee_is_nowhere_in_the_clear_when_employees_email_is_hashed(place: Place) -> None:
    state = place.pleo.state
    inline = next(record for record in state.records("accounting_entries") if "employee" in record)
    address = inline["employee"]["email"]
    state.put("accounting_entries", inline | {"owner": {"email": address}})
    rule = {"employees": StreamOptions(columns={"email": ColumnRule.HASH})}
    report = place.run("employees", "accounting_entries", companies=(inline["companyId"],), options=rule, hash_key=SecretStr(KEY))
    assert report.failures == {}
    assert address.encode() not in kept(place)
    where = f"WHERE id = '{inline['id']}'"
    assert place.rows(f"SELECT employee_email, _extra->>'$.owner.email' FROM pleo.accounting_entries {where}") == [(hashed(address),) * 2]
    joined = (
        "SELECT count(*) > 1 FROM pleo.accounting_entries e JOIN pleo.employees m ON e.employee_email = m.email AND e.employee_id = m.id"
    )
    assert place.rows(joined) == [(True,)]


def test_a_replay_under_a_rule_treats_undeclared_fields_of_older_pages_too(place: Place) -> None:
    vendor = place.pleo.state.records("vendors")[0]
    place.pleo.state.put("vendors", vendor | {"contact": {"email": CANARY}})
    place.run("vendors")
    extra = f"SELECT _extra->>'$.contact.email' FROM pleo.vendors WHERE id = '{vendor['id']}'"
    assert place.rows(extra) == [(CANARY,)]
    rule = {"employees": StreamOptions(columns={"email": ColumnRule.HASH})}
    replay(place.warehouse, streams=("vendors",), raw=RawPolicy(), options=rule, hash_key=KEY)
    assert place.rows(extra) == [(hashed(CANARY),)]


def test_a_key_is_needed_when_something_is_hashed_and_only_then(place: Place) -> None:
    hash_email = {"employees": StreamOptions(columns={"email": ColumnRule.HASH})}
    for key, says in (("", "PLEO_HASH_KEY is not set"), ("k" * 31, "at least 32 bytes, and this one has 31")):
        with pytest.raises(ConfigurationError, match=says) as refused:
            place.run("employees", options=hash_email, hash_key=SecretStr(key))
        assert "k" * 31 not in str(refused.value)
    assert place.run("employees", options={"employees": StreamOptions(columns={"email": ColumnRule.DROP})}).failures == {}


@pytest.mark.parametrize(
    ("stream", "column", "rule", "says"),
    [
        ("accounting_entries", "total_bill_value", ColumnRule.HASH, "of type money and cannot be hashed"),
        ("accounting_entries", "performed_at", ColumnRule.DROP, "must be kept"),
        ("accounting_entries", "accounting_entry_splits.id", ColumnRule.HASH, "must be kept"),
        ("employees", "id", ColumnRule.HASH, "must be kept"),
    ],
)
def test_a_rule_that_cannot_be_kept_is_refused(stream: str, column: str, rule: ColumnRule, says: str) -> None:
    with pytest.raises(ConfigurationError, match=says):
        under_rules(CATALOGUE, {stream: StreamOptions(columns={column: rule})}, KEY)


def test_columns_say_what_became_of_them() -> None:
    options = {"employees": StreamOptions(columns={"email": ColumnRule.HASH, "phone": ColumnRule.DROP})}
    ruled = under_rules(under_rules(CATALOGUE, options), options)
    fields = {field.name: field for field in ruled.table("employees").fields}
    assert fields["email"].description == "E-mail address. Hashed by choice: HMAC-SHA-256."
    assert fields["email"].personal
    assert fields["phone"].description == "Phone number. Dropped by choice: always NULL."
    assert not fields["phone"].personal
    assert fields["first_name"] == {field.name: field for field in CATALOGUE.table("employees").fields}["first_name"]
    assert repr(under_rules(CATALOGUE, options, KEY).stream("employees")).count(KEY) == 0


def test_with_duckdb_the_table_says_it_too(place: Place) -> None:
    place.run("employees", options={"employees": StreamOptions(columns={"email": ColumnRule.DROP})})
    with duckdb.connect(place.warehouse.location, read_only=True) as analyst:
        result = analyst.execute("SELECT comment FROM duckdb_columns() WHERE table_name = 'employees' AND column_name = 'email'").fetchall()
    assert result == [("E-mail address. Dropped by choice: always NULL.",)]
